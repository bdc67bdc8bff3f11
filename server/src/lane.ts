/**
 * One link's submits, in their order (go-back-N). Batches are numbered; the number that is expected goes
 * on, any other is ignored. After an answer that is no verdict the lane expects that number again, and
 * whatever had followed it is dropped, so nothing overtakes.
 */
import {
  type BatchVerdict,
  type FrameOf,
  type GatewayFrame,
  isTidemarkError,
  type Limits,
  type SubmittedBatch,
  TidemarkError,
  unreachable,
} from '@tidemark/shared'
import type { Attempt, Outcome } from './log/log.ts'

/** What a lane needs of its session and of accept. */
export interface LaneOptions {
  readonly limits: Limits
  prepare(batch: SubmittedBatch, lines: readonly string[]): Attempt | Promise<Attempt>
  /** Something is ready to be taken. */
  onReady(): void
  answer(frame: GatewayFrame): void
  /** A batch could not be prepared for a reason that is not the batch's. Says how long to wait. */
  onTrouble(error: unknown): number
  /** A submit was against the rules of the wire, and the link ends. */
  onViolation(error: TidemarkError): void
}

interface Waiting {
  readonly batch: SubmittedBatch
  readonly lines: readonly string[]
}

/**
 * Lines that one link may have under way, in UTF-16 code units. What would be more is asked for again when
 * they have their answers: allowed are thousands of events, and each may be large.
 */
const unansweredLengthMax = 16_777_216

/** How much an attempt holds. */
export interface Size {
  readonly events: number
  /** Of its lines, in UTF-16 code units. */
  readonly length: number
}

/** How much these attempts hold together. */
export function sizeOf(attempts: readonly Attempt[]): Size {
  const lines = attempts.flatMap(({ events }) => events.map(({ line }) => line))
  return { events: lines.length, length: lengthOf(lines) }
}

const lengthOf = (lines: readonly string[]): number =>
  lines.reduce((sum, line) => sum + line.length, 0)

/** Where one link's batches wait for their verdicts. */
export class Lane {
  readonly #options: LaneOptions
  /** The number that the next submit must start with. */
  #expected = 1
  /** The number of the first batch without an answer. */
  #unanswered = 1
  #unansweredEvents = 0
  #unansweredLength = 0
  #waiting: Waiting[] = []
  #ready: Attempt[] = []
  /** Where the lane ends for now: what came next could not be prepared or kept, and has to come again after a wait. */
  #trouble: { readonly retryAfterMs: number } | undefined
  #taken = 0
  #preparing = false
  /** Rises with each rewind, so that what was prepared for an older one is dropped. */
  #round = 0
  #closed = false

  constructor(options: LaneOptions) {
    this.#options = options
  }

  /** Takes a submit. Throws `BAD_FRAME` or `TOO_MANY`. */
  submit({ n, batches, events }: FrameOf<'submit'>): void {
    const { submitEventsMax, unansweredEventsMax } = this.#options.limits
    const total = batches.reduce((sum, { size }) => sum + size, 0)
    if (total !== events.length || batches.length === 0) {
      throw new TidemarkError('BAD_FRAME', { reason: 'the batches are not of the events’ size' })
    }
    if (total > submitEventsMax) {
      throw new TidemarkError('TOO_MANY', { what: 'events in a submit', max: submitEventsMax })
    }
    if (n !== this.#expected || this.#closed) return
    // The numbers of what is to come again belong to nothing else.
    if (this.#trouble) return
    const length = lengthOf(events)
    if (this.#unansweredLength > 0 && this.#unansweredLength + length > unansweredLengthMax) {
      this.#trouble = { retryAfterMs: 0 }
      return
    }
    this.#unansweredEvents += total
    this.#unansweredLength += length
    if (this.#unansweredEvents > unansweredEventsMax) {
      throw new TidemarkError('TOO_MANY', { what: 'events under way', max: unansweredEventsMax })
    }
    this.#expected += batches.length
    let at = 0
    for (const batch of batches) {
      this.#waiting.push({ batch, lines: events.slice(at, (at += batch.size)) })
    }
    this.#prepare()
  }

  /** Takes what is ready, about as much of it as there is room. It has to be settled before more is taken. */
  take(room: Size): readonly Attempt[] {
    if (this.#closed || this.#taken > 0) return []
    let { events, length } = room
    let count = 0
    for (const attempt of this.#ready) {
      if (events <= 0 || length <= 0) break
      const size = sizeOf([attempt])
      events -= size.events
      length -= size.length
      count += 1
    }
    this.#taken = count
    return this.#ready.splice(0, count)
  }

  /** Is there something to take? */
  get ready(): boolean {
    return !this.#closed && this.#ready.length > 0
  }

  /** Answers what was taken with what became of it, after the commit. */
  settle(attempts: readonly Attempt[], outcomes: readonly Outcome[]): void {
    this.#taken = 0
    if (this.#closed) return
    const verdicts: BatchVerdict[] = []
    const n = this.#unanswered
    for (const outcome of outcomes) {
      if (outcome.type === 'blocked' || outcome.type === 'held') break
      verdicts.push(toVerdict(outcome))
    }
    const { events, length } = sizeOf(attempts.slice(0, verdicts.length))
    this.#unansweredEvents -= events
    this.#unansweredLength -= length
    this.#unanswered += verdicts.length
    if (verdicts.length > 0) this.#options.answer({ type: 'verdicts', n, verdicts })
    const last = outcomes.at(-1)
    if (last?.type === 'blocked') this.#rewind({ type: 'blocked', n: 0, by: last.by })
    if (last?.type === 'held') {
      const log = attempts[outcomes.length - 1]?.log
      if (log) this.#rewind({ type: 'hold', n: 0, ...log, reason: last.reason })
    }
    this.#tellTrouble()
  }

  /** Answers what was taken with `later`: nothing of it was stored. */
  later(retryAfterMs: number): void {
    this.#taken = 0
    if (!this.#closed) this.#rewind({ type: 'later', n: 0, retryAfterMs })
  }

  /** Answers nothing any more. */
  close(): void {
    this.#closed = true
    this.#drop()
  }

  #prepare(): void {
    while (!this.#preparing && !this.#closed) {
      const next = this.#waiting.shift()
      if (!next) return
      try {
        const attempt = this.#options.prepare(next.batch, next.lines)
        if (attempt instanceof Promise) this.#await(attempt)
        else this.#push(attempt)
      } catch (error) {
        this.#fail(error)
      }
    }
  }

  #await(attempt: Promise<Attempt>): void {
    const round = this.#round
    this.#preparing = true
    const settled = (then: () => void): void => {
      if (round !== this.#round) return
      this.#preparing = false
      then()
      this.#prepare()
    }
    attempt.then(
      (attempt) => settled(() => this.#push(attempt)),
      (error: unknown) => settled(() => this.#fail(error)),
    )
  }

  #push(attempt: Attempt): void {
    this.#ready.push(attempt)
    this.#options.onReady()
  }

  /** Nothing behind a batch that failed may pass it; what is before it gets its answer first. */
  #fail(error: unknown): void {
    if (isTidemarkError(error, 'BAD_FRAME')) return this.#options.onViolation(error)
    this.#waiting = []
    this.#trouble = { retryAfterMs: this.#options.onTrouble(error) }
    this.#tellTrouble()
  }

  #tellTrouble(): void {
    if (!this.#trouble || this.#taken > 0 || this.#ready.length > 0) return
    if (this.#preparing || this.#waiting.length > 0) return
    this.#rewind({ type: 'later', n: 0, ...this.#trouble })
  }

  /** Says what is not a verdict on the first unanswered batch, and expects that one again. */
  #rewind(frame: FrameOf<'blocked' | 'hold' | 'later'>): void {
    this.#drop()
    this.#expected = this.#unanswered
    this.#options.answer({ ...frame, n: this.#unanswered })
  }

  #drop(): void {
    this.#round += 1
    this.#preparing = false
    this.#waiting = []
    this.#ready = []
    this.#trouble = undefined
    this.#unansweredEvents = 0
    this.#unansweredLength = 0
  }
}

function toVerdict(outcome: Exclude<Outcome, { type: 'blocked' | 'held' }>): BatchVerdict {
  switch (outcome.type) {
    case 'accepted':
      return { position: outcome.position, revisions: outcome.revisions }
    case 'refused':
      return { refused: { id: outcome.id, ...outcome.refusal } }
    default:
      return unreachable(outcome)
  }
}
