/** A gateway of one log that judges as the real one does, in memory and when it is told to. */
import {
  type BatchVerdict,
  type ClientFrame,
  type Entry,
  type EventId,
  type FrameOf,
  logKey,
  parseClaim,
  parseEntry,
  type Position,
  type SubmittedBatch,
} from '@tidemark/shared'
import { type TestConnection, TestLog, welcome } from '../testing.ts'

interface Served {
  next: number
  /** Everything is ignored until `next` comes again. */
  isDeaf: boolean
  delivered: number
  isSubscribed: boolean
  /** What the subscription found, until it has been delivered. */
  met: number | undefined
}

/** Serves connections from one log. */
export class TestGateway {
  readonly log: TestLog
  readonly verdicts = new Map<EventId, BatchVerdict>()
  /** Refuses events of these ids for good. */
  readonly forbidden = new Set<EventId>()
  /** Delivers what is in the log; or says verdicts only. */
  isDelivering = true
  readonly #served = new Map<TestConnection, Served>()

  /** What is in the log already has its verdict. */
  constructor(log: TestLog) {
    this.log = log
    for (const line of log.lines) {
      const { id, batch, position, revision } = parseEntry(log.name, line)
      const first = this.verdicts.get(batch ?? id)
      this.verdicts.set(id, { position, revisions: [revision] })
      if (first && batch !== id) {
        this.verdicts.set(batch ?? id, {
          ...first,
          revisions: [...(first.revisions ?? []), revision],
        })
      }
    }
  }

  /** Takes what a connection has sent, answers, and delivers what it has not got. */
  serve(connection: TestConnection): void {
    if (connection.closed) return
    let served = this.#served.get(connection)
    if (!served) {
      served = { next: 1, isDeaf: false, delivered: 0, isSubscribed: false, met: undefined }
      this.#served.set(connection, served)
      connection.open()
      return
    }
    for (const frame of connection.received.splice(0)) this.#take(connection, served, frame)
    const { head } = this.log
    if (!this.isDelivering || !served.isSubscribed) return
    if (served.delivered < head) connection.send(this.log.deliver(served.delivered, head))
    served.delivered = head
    if (served.met !== undefined) connection.send(this.log.caughtUp())
    served.met = undefined
  }

  #take(connection: TestConnection, served: Served, frame: ClientFrame): void {
    switch (frame.type) {
      case 'hello':
        connection.send(welcome())
        return frame.subscriptions.forEach((each) => this.#subscribe(connection, served, each))
      case 'subscribe':
        return this.#subscribe(connection, served, frame)
      case 'ping':
        return connection.send({ type: 'pong' })
      case 'submit':
        return this.#judge(connection, served, frame)
    }
  }

  #subscribe(
    connection: TestConnection,
    served: Served,
    { topic, scope, cursor }: Omit<FrameOf<'subscribe'>, 'type'>,
  ): void {
    if (logKey({ topic, scope }) !== logKey(this.log.name)) return
    const { log } = this
    const { position = 0, id } = cursor ?? {}
    served.isSubscribed = position <= log.head && (position === 0 || log.idAt(position) === id)
    if (!served.isSubscribed) {
      const target = position > log.head ? log.head : this.#endOfBatch(Math.floor(position / 2))
      return connection.send({ type: 'reset', topic, scope, epoch: log.epoch, position: target })
    }
    served.delivered = position
    served.met = log.head
    connection.send(this.log.subscribed())
  }

  /** The last position up to this one after which a batch ends. */
  #endOfBatch(position: number): Position {
    const batchAt = (at: number): unknown => JSON.parse(this.log.lines[at - 1] ?? '{}').batch
    const torn = batchAt(position + 1)
    for (let end = position; ; end--) {
      if (end === 0 || torn === undefined || batchAt(end) !== torn) return end as Position
    }
  }

  #judge(connection: TestConnection, served: Served, frame: FrameOf<'submit'>): void {
    const lines = [...frame.events]
    for (const [at, batch] of frame.batches.entries()) {
      const mine = lines.splice(0, batch.size)
      const n = frame.n + at
      if (n !== served.next) continue
      const verdict = this.#verdict(batch, mine)
      if ('by' in verdict) return connection.send({ type: 'blocked', n, by: verdict.by })
      served.next += 1
      connection.send({ type: 'verdicts', n, verdicts: [verdict] })
    }
  }

  #verdict(batch: SubmittedBatch, lines: readonly string[]): BatchVerdict | { by: EventId } {
    const claims = lines.map((line) => parseClaim(line))
    const [first] = claims
    if (!first) throw new Error('an empty batch')
    const known = this.verdicts.get(first.id)
    if (known) return known
    const { after, expectedRevision } = batch
    const isAfter = after === undefined || this.verdicts.get(after)?.position !== undefined
    if (!isAfter) return { by: after }
    const actual = this.revision(first.stream)
    const verdict = this.forbidden.has(first.id)
      ? { refused: { id: first.id, code: 'NOT_ALLOWED' as const, details: { reason: 'no' } } }
      : expectedRevision !== undefined && expectedRevision !== actual
        ? {
            refused: {
              id: first.id,
              code: 'REVISION_CONFLICT' as const,
              details: { expected: expectedRevision, actual },
            },
          }
        : this.log.append(lines)
    for (const [at, { id }] of claims.entries()) {
      const { position } = verdict as { position?: Position }
      const placed = position === undefined ? {} : { position: (position + at) as Position }
      this.verdicts.set(id, { ...verdict, ...placed })
    }
    return verdict
  }

  /** The revision of a stream. */
  revision(stream: string): number {
    return this.log.lines.filter(
      (line) => (JSON.parse(line) as { event: { stream: string } }).event.stream === stream,
    ).length
  }
}

/** A copy of a log as it was when its head was at a position, or at the end of the batch there. */
export function copyOf(log: TestLog, upTo: number): TestLog {
  const copy = new TestLog(log.name, log.epoch)
  const batches = new Map<EventId, Pick<Entry, 'author' | 'source'> & { lines: string[] }>()
  for (const line of log.lines) {
    const { id, batch = id, author, source, position } = parseEntry(log.name, line)
    if (position > upTo && !batches.has(batch)) break
    const claim = line.slice(line.indexOf(',"event":') + 9, -1)
    const found = batches.get(batch)
    if (found) found.lines.push(claim)
    else batches.set(batch, { lines: [claim], author, source })
  }
  for (const { lines, author, source } of batches.values()) copy.append(lines, author, source)
  return copy
}
