/**
 * The outbox as memory holds it: the batches that have not settled, in the order in which they were appended,
 * with what is asked of them by event, by what they rest on, and by whether a link has taken them.
 */
import type { DomainEvent, EventId } from '@tidemark/shared'
import { Overlay } from './overlay.ts'
import { isOfferedAgain, type OutboxRow } from './store/store.ts'

/** A batch that has not settled, with its events. */
export interface PendingBatch extends OutboxRow {
  readonly events: readonly DomainEvent[]
}

/** Those who show what is pending. */
export interface Overlaid {
  readonly topic: string
  /** Lays an event over what is confirmed; it may have been accepted once, and be offered again. */
  lay(event: DomainEvent, isOfferedAgain: boolean): void
  lift(id: EventId): void
}

type Placed = Pick<DomainEvent, 'topic' | 'stream'>

const placeOf = ({ topic, stream }: Placed): string => `${topic}/${stream}`

/** The pending batches of a tab. */
export class Outbox {
  readonly #overlaid: readonly Overlaid[]
  /** The events of each stream, of whichever type. */
  readonly #streams = new Overlay()
  /** By `seq`, in its order. */
  readonly #rows = new Map<number, PendingBatch>()
  readonly #seqsById = new Map<EventId, number>()
  /** What the link has not taken. */
  readonly #untaken = new Set<number>()
  /** What this tab has handed to a link. */
  readonly #submitted = new Set<number>()
  /** What may leave without an entry that this tab sees. */
  readonly #quiet = new Set<number>()
  /** By the event that they rest on. */
  readonly #resting = new Map<EventId, Set<number>>()
  /** The highest number among them all. */
  #last = 0

  constructor(overlaid: readonly Overlaid[]) {
    this.#overlaid = overlaid
  }

  /** How many events there are. */
  get events(): number {
    return this.#seqsById.size
  }

  get oldest(): PendingBatch | undefined {
    const [oldest] = this.#rows.values()
    return oldest
  }

  /** The numbers of all batches. */
  seqs(): Iterable<number> {
    return this.#rows.keys()
  }

  /** The numbers of what may leave without an entry that this tab sees. */
  quiet(): ReadonlySet<number> {
    return this.#quiet
  }

  has(seq: number): boolean {
    return this.#rows.has(seq)
  }

  /** The number of the batch that an event is in. */
  seqOf(id: EventId): number | undefined {
    return this.#seqsById.get(id)
  }

  /** The batch that an event is in. */
  batchOf(id: EventId): PendingBatch | undefined {
    const seq = this.#seqsById.get(id)
    return seq === undefined ? undefined : this.#rows.get(seq)
  }

  /**
   * The events on a stream in order, without those in `except`: a decision names the newest that it saw, and
   * counts them to say at which revision its own events will be.
   */
  pendingOn(stream: Placed, except: ReadonlySet<EventId>): readonly EventId[] {
    return [...this.#streams.of(placeOf(stream)).keys()].filter((id) => !except.has(id))
  }

  /** The batches that rest on these events, and on those again. */
  restingOn(ids: readonly EventId[]): readonly PendingBatch[] {
    const ground = [...ids]
    const resting = new Map<number, PendingBatch>()
    for (const id of ground) {
      for (const seq of this.#resting.get(id) ?? []) {
        const row = this.#rows.get(seq)
        if (!row || resting.has(seq)) continue
        resting.set(seq, row)
        for (const event of row.events) ground.push(event.id)
      }
    }
    return [...resting.values()].sort(inOrder)
  }

  /** Adds a batch behind all others. */
  add(row: PendingBatch, isQuiet: boolean): void {
    const { seq, after } = row
    this.#untaken.add(seq)
    if (isQuiet) this.#quiet.add(seq)
    if (after !== undefined) {
      const resting = this.#resting.get(after)
      if (resting) resting.add(seq)
      else this.#resting.set(after, new Set([seq]))
    }
    this.#lay(row, isOfferedAgain(row))
  }

  /** Adds batches, in order, in their places: those behind them are laid on top of them again. */
  insert(rows: readonly PendingBatch[], isQuiet: (row: PendingBatch) => boolean): void {
    const first = rows[0]?.seq
    if (first === undefined) return
    const later =
      this.#last < first ? [] : [...this.#rows.values()].filter((row) => row.seq > first)
    for (const row of later) this.#lift(row)
    const isNew = new Set(rows)
    for (const row of [...rows, ...later].sort(inOrder)) {
      if (isNew.has(row)) this.add(row, isQuiet(row))
      else this.#lay(row, false)
    }
  }

  /** Takes a batch out. Answers with it, if it was there. */
  remove(seq: number): PendingBatch | undefined {
    const row = this.#rows.get(seq)
    if (!row) return undefined
    for (const seqs of [this.#submitted, this.#untaken, this.#quiet]) seqs.delete(seq)
    if (row.after !== undefined) {
      const resting = this.#resting.get(row.after)
      if (resting?.delete(seq) && resting.size === 0) this.#resting.delete(row.after)
    }
    this.#lift(row)
    return row
  }

  /** A link begins: everything is there to be taken. */
  offerAll(): void {
    for (const seq of this.#rows.keys()) this.#untaken.add(seq)
  }

  /** What no link has taken, up to a number, in order. */
  take(upTo: number): readonly PendingBatch[] {
    const taken: PendingBatch[] = []
    for (const seq of this.#untaken) {
      const row = this.#rows.get(seq)
      if (!row || seq > upTo) continue
      this.#untaken.delete(seq)
      taken.push(row)
    }
    return taken.sort(inOrder)
  }

  /** A batch has been handed to a link. */
  submitted(seq: number): void {
    this.#submitted.add(seq)
  }

  isSubmitted(id: EventId): boolean {
    const seq = this.#seqsById.get(id)
    return seq !== undefined && this.#submitted.has(seq)
  }

  #lay(row: PendingBatch, isOffered: boolean): void {
    this.#rows.set(row.seq, row)
    this.#last = Math.max(this.#last, row.seq)
    for (const event of row.events) {
      this.#seqsById.set(event.id, row.seq)
      this.#streams.lay(placeOf(event), event)
      for (const each of this.#overlaid) if (each.topic === row.topic) each.lay(event, isOffered)
    }
  }

  #lift(row: PendingBatch): void {
    this.#rows.delete(row.seq)
    for (const event of row.events) {
      this.#seqsById.delete(event.id)
      this.#streams.lift(event.id)
      for (const each of this.#overlaid) each.lift(event.id)
    }
  }
}

/** In the order in which they were appended. */
export const inOrder = (a: OutboxRow, b: OutboxRow): number => a.seq - b.seq
