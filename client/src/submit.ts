/**
 * Hop 2, outbox to link. Batches are numbered on each link and answered in order (go-back-N); a row and
 * its exact bytes stay in the outbox until its verdict, and what it shows until its entry is applied.
 */
import {
  backoffMs,
  badFrame,
  type BatchVerdict,
  type EventId,
  type FrameOf,
  isTidemarkError,
  type Limits,
  logKey,
  type LogName,
  type Position,
  type Refusal,
  sleep,
  type SubmittedBatch,
} from '@tidemark/shared'
import { batchBytes, findExcess, frameHeadBytesMax } from './bytes.ts'
import { catchUp, persist, unlessGone } from './persist.ts'
import { Redecide, type RedecidePorts } from './redecide.ts'
import { type Reason, refuseBatch } from './refuse.ts'
import { inOrder, type PendingBatch } from './outbox.ts'
import { toAccepted } from './outcomes.ts'
import type { Session } from './session.ts'
import { settle, type SettlePorts } from './settle.ts'
import type { StatusCell } from './status.ts'
import type { Accepted, AnyRefused } from './store/store.ts'

/** What submitting needs. */
export interface SubmitPorts extends RedecidePorts, SettlePorts {
  readonly status: StatusCell
}

/** What the gateway did not take for now is offered again after this time. */
const asideMs = 60_000
const laterJitter = { firstMs: 500, maxMs: 500 }

interface GatewayReason extends Reason {
  readonly refusal: Refusal
}

/** The submitting side of one link. */
export class Submit {
  readonly #ports: SubmitPorts
  readonly #session: Session
  readonly #limits: Limits
  /** Without an answer yet; the first of them is batch `n` of this link. */
  #sent: PendingBatch[] = []
  #n = 1
  #sentEvents = 0
  /** To be sent, in order. */
  #unsent: PendingBatch[] = []
  /** What the gateway does not take for now, and what its log is to be read for before. */
  #aside: PendingBatch[] = []
  readonly #heldLogs = new Set<string>()
  /** Logs that have not been read far enough: what was lost in a restore comes before what was appended since. */
  readonly #unread: Set<string>
  /** Refused on this link. The disk may not have been told yet. */
  readonly #refused = new Set<EventId>()
  #isOfferDue = false
  #isWaitingForLater = false
  #isOpen = false
  readonly #redecide: Redecide

  constructor(ports: SubmitPorts, session: Session, limits: Limits, logs: readonly LogName[]) {
    this.#ports = ports
    this.#session = session
    this.#limits = limits
    this.#unread = new Set(logs.map(logKey))
    ports.replica.outbox.offerAll()
    this.#redecide = new Redecide(ports, session, () => {
      this.#offerAside()
      this.pump()
    })
    ports.replica.onFolded(() => this.#redecide.pump())
    // What one link was told to hold, another may take.
    for (const topic of Object.keys(ports.status.getSnapshot().logs)) {
      ports.status.forbid(topic, 'write', false)
    }
    void this.#open()
  }

  /** Is an answer due? */
  isWaiting(): boolean {
    return this.#sent.length > 0
  }

  /** Is there anything that should be moving? */
  hasWork(): boolean {
    return this.#sent.length + this.#unsent.length + this.#redecide.size > 0
  }

  /** Sends what there is, as far as it fits into the window. */
  pump(): void {
    if (this.#session.signal.aborted || !this.#isOpen) return
    this.#offer(this.#ports.replica.takeRows())
    while (!this.#isWaitingForLater) {
      const batches = this.#takeBatches()
      if (batches.length === 0) return
      const n = this.#n + this.#sent.length
      this.#sent.push(...batches)
      for (const { seq } of batches) this.#ports.replica.outbox.submitted(seq)
      this.#sentEvents += countEvents(batches)
      const events = batches.flatMap((batch) => batch.lines)
      this.#session.send({ type: 'submit', n, batches: batches.map(toSubmitted), events })
    }
  }

  /** The gateway has judged the oldest batches that were sent. */
  verdicts({ n, verdicts }: FrameOf<'verdicts'>): void {
    if (n !== this.#n || verdicts.length > this.#sent.length) {
      throw badFrame('verdicts: on what was not sent')
    }
    const judged = this.#sent.splice(0, verdicts.length)
    this.#n += judged.length
    this.#sentEvents -= countEvents(judged)
    const seqs: number[] = []
    const refused: AnyRefused[] = []
    const accepted: Accepted[] = []
    for (const [at, row] of judged.entries()) {
      const verdict = verdicts[at] ?? {}
      this.#ports.status.forbid(row.topic, 'write', false)
      const reason = verdict.refused && readReason(verdict.refused)
      if (reason && this.#isDoubtful(row, reason)) continue
      if (reason) refused.push(...this.#refuse(row, reason))
      else accepted.push(...this.#accept(row, verdict))
      if (reason || this.#isLast(row, verdict)) seqs.push(row.seq)
    }
    if (seqs.length > 0) void this.#settle(seqs, refused, accepted)
    this.#session.onProgress('upload')
    this.pump()
  }

  /** An answer that is not a verdict: what was sent from `n` on has been ignored, and is sent again. */
  goBack(frame: FrameOf<'blocked' | 'hold' | 'later'>): void {
    const at = frame.n - this.#n
    const row = this.#sent[at]
    if (!row) return
    const ignored = this.#sent.splice(at)
    this.#sentEvents -= countEvents(ignored)
    this.#unsent = [...ignored, ...this.#unsent]
    switch (frame.type) {
      case 'later':
        return void this.#waitForLater(frame.retryAfterMs)
      case 'hold':
        this.#hold(row)
        break
      case 'blocked':
        this.#block(row, frame.by)
    }
    this.pump()
  }

  /** A log has been read far enough, and what waits for that is put in line; or it has to be read again first. */
  read(log: LogName, isBehind?: boolean): void {
    this.#unread[isBehind ? 'add' : 'delete'](logKey(log))
    this.#sift()
    this.pump()
  }

  /** Puts rows in line, but for those whose log is held or has not been read. */
  #offer(rows: readonly PendingBatch[]): void {
    const last = this.#unsent.at(-1)
    const isInOrder = !last || !rows[0] || last.seq < rows[0].seq
    for (const row of rows) {
      const key = logKey(row)
      if (this.#heldLogs.has(key) || this.#unread.has(key)) this.#aside.push(row)
      else this.#unsent.push(row)
    }
    if (!isInOrder) this.#unsent.sort(inOrder)
  }

  /** Puts what was put aside in line again, in the order it was appended. */
  #offerAside(): void {
    if (this.#aside.length > 0) this.#sift()
  }

  /** Puts everything in line anew, but for what has to wait. */
  #sift(): void {
    const rows = [...this.#aside, ...this.#unsent].sort(inOrder)
    this.#aside = []
    this.#unsent = []
    this.#offer(rows)
  }

  #hold(row: PendingBatch): void {
    this.#heldLogs.add(logKey(row))
    this.#ports.status.forbid(row.topic, 'write', true)
    this.#sift()
    void this.#offerAgain()
  }

  /**
   * Nothing is handed to a link before it is written down that one takes: then what is still here may be
   * withdrawn. A disk that is too full even for that must not keep what it holds from being uploaded, nor a
   * database that is gone what memory holds.
   */
  async #open(): Promise<void> {
    const { store, onStorage } = this.#ports
    const { signal } = this.#session
    const mark = unlessGone(() => store.linked(true))
    try {
      await mark()
    } catch (error) {
      onStorage(error)
      const marking = persist(this.#ports, signal, mark)
      if (!isTidemarkError(error, 'STORAGE_FULL')) await marking
    }
    // Something may have been withdrawn of which this tab has not heard yet.
    await catchUp(this.#ports, signal)
    this.#isOpen = true
    this.pump()
  }

  /** A command whose stream has moved on is decided again, not refused. */
  #isDoubtful(row: PendingBatch, { refusal }: GatewayReason): boolean {
    if (!row.decision || refusal.code !== 'REVISION_CONFLICT') return false
    const { actual: revision } = refusal.details as { readonly actual: number }
    this.#redecide.add({ row, refusal, revision })
    return true
  }

  /** What rests on an event that is still to come is kept for then; a command on one that never does is decided again. */
  #block(row: PendingBatch, by: EventId): void {
    this.#unsent.shift()
    if (this.#isGone(by) && row.decision) {
      this.#doubt(row, by)
      // What rests on this one would be blocked as well.
      const rows = this.#unsent
      this.#unsent = []
      for (const each of rows) {
        const { decision, after } = each
        if (decision && after && this.#redecide.has(after)) this.#doubt(each, after)
        else this.#unsent.push(each)
      }
    } else void this.#blockFact(row, by)
  }

  /** Will it never pass as it is? */
  #isGone(id: EventId): boolean {
    const isPending = this.#ports.replica.isPending(id)
    return !isPending || this.#refused.has(id) || this.#redecide.has(id)
  }

  #doubt(row: PendingBatch, by: EventId): void {
    this.#redecide.add({ row, refusal: { code: 'BATCH_REFUSED', details: { by } }, revision: 0 })
  }

  /** A fact that rests on an event that never passes does not pass either. */
  async #blockFact(row: PendingBatch, by: EventId): Promise<void> {
    const { replica, store } = this.#ports
    const findFate = (): Promise<unknown> => store.fate(by)
    const isGone =
      this.#refused.has(by) ||
      replica.isRefused(by) ||
      (await persist(this.#ports, this.#session.signal, findFate))
    if (isGone) {
      const refusal = { code: 'BATCH_REFUSED', details: { by } } as const
      const refused = row.events.flatMap(({ id }) =>
        refuseBatch(this.#ports.deciding, row, { id, refusal }).filter((each) => each.id === id),
      )
      return void this.#settle([row.seq], refused, [])
    }
    this.#aside.push(row)
    void this.#offerAgain()
  }

  /** Offers what was put aside again after a while. */
  async #offerAgain(): Promise<void> {
    if (this.#isOfferDue) return
    this.#isOfferDue = true
    await sleep(this.#ports.system, asideMs, this.#session.signal)
    this.#isOfferDue = false
    this.#heldLogs.clear()
    this.#offerAside()
    this.pump()
  }

  async #waitForLater(retryAfterMs: number): Promise<void> {
    const { system } = this.#ports
    this.#isWaitingForLater = true
    await sleep(
      system,
      backoffMs(laterJitter, 0, system.random, retryAfterMs),
      this.#session.signal,
    )
    this.#isWaitingForLater = false
    this.pump()
  }

  /** The next batches, as many as fit into one frame and into the window. */
  #takeBatches(): readonly PendingBatch[] {
    const { submitEventsMax, frameBytesMax, unansweredEventsMax } = this.#limits
    const taken: PendingBatch[] = []
    let room = Math.min(submitEventsMax, unansweredEventsMax - this.#sentEvents)
    let bytes = frameHeadBytesMax
    let seen = 0
    for (const row of this.#unsent) {
      if (!this.#ports.replica.outbox.has(row.seq)) {
        // Its entry came before its verdict, which says as much.
        this.#ports.status.forbid(row.topic, 'write', false)
      } else if (!this.#settleTooLarge(row)) {
        bytes += batchBytes(row.lines)
        room -= row.lines.length
        if (room < 0 || bytes > frameBytesMax) break
        taken.push(row)
      }
      seen += 1
    }
    this.#unsent.splice(0, seen)
    return taken
  }

  /** What this gateway will never take was appended while another limit was known. It is refused here. */
  #settleTooLarge(row: PendingBatch): boolean {
    const excess = findExcess(row.lines, this.#limits)
    if (!excess) return false
    const { code, details } = excess.error
    const id = row.events[excess.at]?.id
    const refused = id ? this.#refuse(row, { id, refusal: { code, details } as Refusal }) : []
    void this.#settle([row.seq], refused, [])
    return true
  }

  #refuse(row: PendingBatch, reason: GatewayReason): readonly AnyRefused[] {
    for (const { id } of row.events) this.#refused.add(id)
    return refuseBatch(this.#ports.deciding, row, reason)
  }

  /** Tells who waits. Of a log that is read here, the entry itself will say so again. */
  #accept(row: PendingBatch, { position, revisions }: BatchVerdict): readonly Accepted[] {
    if (position === undefined || revisions?.length !== row.events.length) {
      throw badFrame('verdicts: no positions')
    }
    const { topic, scope } = row
    const accepted = row.events.map(({ id }, at) => {
      const revision = revisions[at] ?? 0
      return { topic, scope, id, position: (position + at) as Position, revision }
    })
    for (const each of accepted) this.#ports.replica.answered(each.id, toAccepted(each))
    return this.#ports.replica.reads(row) ? [] : accepted
  }

  /** Is the verdict the last that is heard of a row? Its log is not read here, or had its entries before the row came. */
  #isLast(row: PendingBatch, { position }: BatchVerdict): boolean {
    const { replica, status } = this.#ports
    // Where the log may not be read, it may be another than this device has stood in.
    const isKnown = !status.getSnapshot().logs[row.topic]?.forbidden
    const upTo = (isKnown && replica.cursor(row)?.position) || 0
    return !replica.reads(row) || (position ?? Infinity) + row.lines.length - 1 <= upTo
  }

  /** Writes down what became of rows, until the disk takes it or the link ends. They are asked about again then. */
  async #settle(
    seqs: readonly number[],
    refused: readonly AnyRefused[],
    accepted: readonly Accepted[],
  ): Promise<void> {
    const settlement = { seqs, refused, accepted }
    const write = (): Promise<void> => this.#ports.turns(() => settle(this.#ports, settlement))
    try {
      await persist(this.#ports, this.#session.signal, write)
    } catch (error) {
      this.#session.fail(error)
    }
  }
}

/** A code may be newer than this client; whoever decides by it has to expect that. */
const readReason = ({
  id,
  code,
  details,
}: NonNullable<BatchVerdict['refused']>): GatewayReason => ({
  id,
  refusal: { code, details } as Refusal,
})

const countEvents = (batches: readonly PendingBatch[]): number =>
  batches.reduce((sum, batch) => sum + batch.lines.length, 0)

const toSubmitted = ({
  topic,
  scope,
  lines,
  after,
  expectedRevision,
}: PendingBatch): SubmittedBatch => ({
  topic,
  scope,
  size: lines.length,
  after,
  expectedRevision,
})
