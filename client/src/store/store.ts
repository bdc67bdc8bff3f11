/**
 * The port to the device's disk. Each method is exactly one transaction: it resolves when that is
 * complete, and where it throws, nothing was written. Several tabs may use one database at once; what
 * they append gets one order.
 */
import type { Cursor, EventId, LogName, Position, Refusal } from '@tidemark/shared'

/** What one `append` wrote: events that the gateway accepts or refuses as a whole. */
export interface Batch extends LogName {
  /** The events as their author wrote them. These bytes travel, and are kept until they have settled. */
  readonly lines: readonly string[]
  /** The newest pending event that the decision saw. */
  readonly after?: EventId
  /** The revision of the stream that the decision saw. */
  readonly expectedRevision?: number
}

/** A batch with its place in the order of everything appended on this device. */
export interface OutboxRow extends Batch {
  readonly seq: number
}

/** An event that will never be accepted, kept with its reason until the app discards it. */
export interface Refused extends LogName {
  readonly id: EventId
  /** The event as its author wrote it. */
  readonly line: string
  readonly refusal: Refusal
  /** When the device heard of it, in ms since 1970. */
  readonly refusedAt: number
}

/** Where an event of a log that is not subscribed to was accepted: nothing else on the device remembers it. */
export interface Accepted extends LogName {
  readonly id: EventId
  readonly position: Position
  readonly revision: number
}

/** Entries of one log that follow each other without a gap, as the lines that came over the wire. */
export interface Page extends LogName {
  /** The cursor that the entries continue from: nothing is written where the log has moved on from it. */
  readonly after: Position
  readonly lines: readonly string[]
  /** The log's cursor after them. */
  readonly cursor: Cursor
}

/** Who this database is to the gateway. */
export interface Identity {
  /** Random, made with the database. */
  readonly clientId: string
  /** Random, a new one whenever a database starts empty. */
  readonly incarnation: string
}

/** What a reader has seen, so that `load` can tell what is new. */
export interface Seen {
  /** Up to which outbox row. */
  readonly seq: number
  /** The rows that it holds as pending, by `seq`. */
  readonly pending: readonly number[]
  /** How far in each log. */
  readonly logs: readonly (LogName & { readonly position: Position; readonly rewinds: number })[]
}

/** What a log holds beyond what a reader has seen. */
export interface LoadedLog extends LogName {
  readonly cursor: Cursor | undefined
  /** How often entries were taken back. A reader that has seen fewer has to start again from 0. */
  readonly rewinds: number
  /** The entries after the position that was seen. */
  readonly lines: readonly string[]
  /** There is more than was loaded: ask again. */
  readonly more: boolean
}

/** What is new for a reader, as one moment saw it. */
export interface Loaded {
  readonly logs: readonly LoadedLog[]
  readonly rows: readonly OutboxRow[]
  /** Those of the reader's pending rows that have left the outbox. */
  readonly left: readonly number[]
  readonly refused: readonly Refused[]
}

/** What a settlement takes out of the outbox and where it goes. */
export interface Settlement {
  readonly seqs: readonly number[]
  readonly refused: readonly Refused[]
  readonly accepted: readonly Accepted[]
}

/** How sure a write is: `relaxed` survives a crash of the browser, `strict` a loss of power as well. */
export type Durability = 'relaxed' | 'strict'

/**
 * The device's disk. Any method may throw `STORAGE_UNAVAILABLE`, `STORAGE_FULL`, `STORAGE_BLOCKED`,
 * `STORAGE_LOST` or `STORE_TOO_NEW`.
 */
export interface Store {
  /** Opens the database, making it and its identity if it is not there. */
  open(): Promise<Identity>
  /** Puts batches at the end of the outbox, in order, all or none. Answers with their `seq`. */
  append(batches: readonly Batch[], durability?: Durability): Promise<readonly number[]>
  /** What is new for a reader, at most about `bytesMax` of entries for each log (but at least one segment). */
  load(seen: Seen, bytesMax: number): Promise<Loaded>
  /**
   * Writes entries and their cursors, and takes the rows that have settled with them out of the outbox.
   * Answers `false`, having written nothing, where a cursor is not the one that a page continues from.
   */
  apply(pages: readonly Page[], settled: readonly number[]): Promise<boolean>
  /** Takes rows out of the outbox, and writes down what became of their events. */
  settle(settlement: Settlement): Promise<void>
  /** Drops the entries of a log above the cursor's position, and puts the cursor there. */
  rewind(log: LogName, cursor: Cursor): Promise<void>
  /** Entries after `position`, at most about `bytesMax` of them (but at least one segment). */
  read(
    log: LogName,
    position: Position,
    bytesMax: number,
  ): Promise<{ readonly lines: readonly string[]; readonly more: boolean }>
  /** What `settle` wrote down of an accepted event. */
  accepted(id: EventId): Promise<Accepted | undefined>
  /** Forgets refused events. */
  discard(ids: readonly EventId[]): Promise<void>
  close(): Promise<void>
}
