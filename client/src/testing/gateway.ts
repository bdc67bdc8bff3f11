/** A gateway of one log that judges as the real one does, in memory and when it is told to. */
import {
  type BatchVerdict,
  type ClientFrame,
  type EventId,
  type FrameOf,
  logKey,
  parseClaim,
  type Position,
  type SubmittedBatch,
} from '@tidemark/shared'
import { type TestConnection, type TestLog, welcome } from '../testing.ts'

interface Served {
  next: number
  /** Everything is ignored until `next` comes again. */
  isDeaf: boolean
  delivered: number
  isSubscribed: boolean
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

  constructor(log: TestLog) {
    this.log = log
  }

  /** Takes what a connection has sent, answers, and delivers what it has not got. */
  serve(connection: TestConnection): void {
    if (connection.closed) return
    let served = this.#served.get(connection)
    if (!served) {
      served = { next: 1, isDeaf: false, delivered: 0, isSubscribed: false }
      this.#served.set(connection, served)
      connection.open()
      return
    }
    for (const frame of connection.received.splice(0)) this.#take(connection, served, frame)
    const { head } = this.log
    if (!this.isDelivering || !served.isSubscribed || served.delivered >= head) return
    connection.send(this.log.deliver(served.delivered, head))
    served.delivered = head
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
    served.isSubscribed = true
    served.delivered = cursor?.position ?? 0
    connection.send(this.log.subscribed(), this.log.caughtUp())
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
