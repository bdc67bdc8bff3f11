/**
 * The port to the device's disk. Each method is exactly one transaction: it resolves when that is
 * complete, and where it throws, nothing was written. Several tabs may use one database at once; what
 * they append gets one order.
 */
import type {
  Cursor,
  Denial,
  EventId,
  IndexValue,
  LogName,
  Position,
  Refusal as GatewayRefusal,
} from '@tidemark/shared'
import type { Range } from '../order.ts'

/** What one `append` wrote: events that the gateway accepts or refuses as a whole. */
export interface Batch extends LogName {
  /** The events as their author wrote them. These bytes travel, and are kept until they have settled. */
  readonly lines: readonly string[]
  /** The newest pending event that the decision saw. */
  readonly after?: EventId | undefined
  /** The revision of the stream that the decision saw. */
  readonly expectedRevision?: number | undefined
  /** What was asked for, where a command decided on these events: it can be asked again. */
  readonly decision?: Decision | undefined
}

/** A command as it was called, and how often it has been decided. */
export interface Decision {
  /** The model's name in this client. */
  readonly model: string
  readonly key: string
  readonly command: string
  /** As JSON reads it back. */
  readonly input: unknown
  /** The ids of its events are derived from it, the attempt, and their place. */
  readonly commandId: string
  /** 0 for what was decided first. */
  readonly attempt: number
}

/**
 * A batch with its place in the order of everything appended on this device. What was accepted once and is
 * offered again has a place below 0, and so comes before everything else.
 */
export interface OutboxRow extends Batch {
  readonly seq: number
}

/** Was this batch accepted once, by a gateway whose log was restored without it? */
export const isOfferedAgain = ({ seq }: OutboxRow): boolean => seq < 0

/** The gateway's reason; or a command's own, where it was decided again and did not hold any more. */
export type Refusal<Denied extends Denial = never> = GatewayRefusal | Denied

/** An event that will never be accepted, kept with its reason until the app has dealt with it. */
export interface Refused<Denied extends Denial = never> extends LogName {
  readonly id: EventId
  /** The event as its author wrote it. */
  readonly line: string
  readonly refusal: Refusal<Denied>
  /** When the device heard of it, in ms since 1970. */
  readonly refusedAt: number
  /** What was asked for, where a command had decided on it. */
  readonly decision?: Decision | undefined
  /** What it was decided on, and what there was when it was refused. */
  readonly sides?: Sides | undefined
  /** The pending events that rested on it. */
  readonly dependents?: readonly EventId[]
}

/** The two sides of a conflict. */
export interface Sides {
  /** The stream's revision that the decision had seen. */
  readonly expectedRevision: number
  /** The stream's revision and state on this device when the refusal came, without what is pending. */
  readonly revision: number
  readonly state: unknown
}

/** What a store holds of a refused event: a denial may be of any command. */
export type AnyRefused = Refused<Denial>

/**
 * What became of events of which no other list speaks: others took their place, the app took them back, or it
 * has dealt with their refusal, of which a tab that slept may not have heard.
 */
export interface Fate extends LogName {
  readonly type: 'superseded' | 'withdrawn' | 'resolved'
  readonly ids: readonly EventId[]
  /** The events that took their place, where they were superseded. */
  readonly by: readonly EventId[]
  /** Why they had been refused, where that has been dealt with. */
  readonly refusal?: Refusal<Denial>
}

/** What is remembered of a refused event that leaves its list. What a consumer set aside was accepted, which its log says. */
export const toResolved = ({ topic, scope, id, refusal }: AnyRefused): Fate | undefined =>
  refusal.code === 'DEAD_LETTERED'
    ? undefined
    : { type: 'resolved', topic, scope, ids: [id], by: [], refusal }

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

/**
 * How far a build has been written. A build is one folding of a model: another version of it, or a log that
 * was rewound, is another build, and its states are others.
 */
export interface Checkpoint {
  /** Unique among all builds of this device. */
  readonly build: string
  /** The model's name in this client. */
  readonly model: string
  /** Every entry up to this position is in its states. */
  readonly position: Position
  /** It has once held everything that its log did, so that it can be shown. */
  readonly isComplete: boolean
}

/** The state of one key in a build. */
export interface StateRow {
  readonly key: string
  /** Of the newest entry in it. */
  readonly position: Position
  /** Its stream's revision then; 0 where the model's keys are not streams. */
  readonly revision: number
  /** As the structured clone algorithm copies it; `undefined` where there are only entries that the model does not fold. */
  readonly state: unknown
  /** By the names of the model's indexes. */
  readonly indexed: Readonly<Record<string, IndexValue>>
}

/** Rows in the order of an index, or of their keys where there is none. */
export interface StateRange extends Range {
  readonly index?: string | undefined
  readonly descending?: boolean | undefined
  /** A whole number, 0 too, or `Infinity`. */
  readonly rowsMax: number
}

/** What a reader wants of a build: the states of some keys, as far as they are there, or of a range. */
export type Want = { readonly build: string } & (
  | { readonly keys: readonly string[] }
  | { readonly range: StateRange }
)

/** What a reader has seen, so that `load` can tell what is new. */
export interface Seen {
  /** Up to which fate; before the first load, none is of interest. */
  readonly fate?: number | undefined
  /** Up to which outbox row. 0: none, not even of those that are offered again. */
  readonly seq: number
  /** The rows that it holds as pending, by `seq`. */
  readonly pending: readonly number[]
  /** How far in each log; where there is no position, no entries are of interest. */
  readonly logs: readonly (LogName & {
    readonly position: Position | undefined
    readonly rewinds: number
  })[]
  /** States to read, of the same moment. */
  readonly wants?: readonly Want[]
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
  /** There are more rows than were loaded: ask again from the last of them. */
  readonly moreRows: boolean
  /** Those of the reader's pending rows that have left the outbox. */
  readonly left: readonly number[]
  readonly refused: readonly AnyRefused[]
  /** The fates after the one that was seen, and the number of the newest. */
  readonly fates: { readonly upTo: number; readonly rows: readonly Fate[] }
  /** For each of the reader's `wants` what there is; nothing where the build is gone. */
  readonly states: readonly (readonly StateRow[] | undefined)[]
}

/** What a settlement takes out of the outbox and where it goes. */
export interface Settlement {
  readonly seqs: readonly number[]
  readonly refused: readonly AnyRefused[]
  readonly accepted: readonly Accepted[]
}

/** How sure a write is: `relaxed` survives a crash of the browser, `strict` a loss of power as well. */
export type Durability = 'relaxed' | 'strict'

/**
 * The device's disk. Any method may throw `STORAGE_UNAVAILABLE`, `STORAGE_FULL`, `STORAGE_BLOCKED`,
 * `STORAGE_LOST`, `STORE_TOO_NEW` or `STORE_DELETED`.
 */
export interface Store {
  /** Opens the database, making it and its identity if it is not there. */
  open(): Promise<Identity>
  /**
   * Puts batches at the end of the outbox, in order, all or none. Answers with their `seq`. Refused events
   * that the app has dealt with by them leave their list in the same transaction; where one is not on it any
   * more, this throws `NOT_REFUSED`.
   */
  append(
    batches: readonly Batch[],
    durability?: Durability,
    resolved?: readonly EventId[],
  ): Promise<readonly number[]>
  /** What is new for a reader, at most about `bytesMax` of rows, and of entries for each log (but at least one segment). */
  load(seen: Seen, bytesMax: number): Promise<Loaded>
  /**
   * Writes entries and their cursors, and takes the rows that have settled with them out of the outbox. What
   * they say consumers have set aside enters the list of refused events. Answers `false`, having written
   * nothing, where a cursor is not the one that a page continues from.
   */
  apply(
    pages: readonly Page[],
    settled: readonly number[],
    setAside?: readonly AnyRefused[],
  ): Promise<boolean>
  /** Takes rows out of the outbox, and writes down what became of their events. */
  settle(settlement: Settlement): Promise<void>
  /**
   * Takes a row out of the outbox before it has a verdict, writes down its fate, and puts `next` at the end
   * in its place. Answers `false`, having written nothing, where the row has left already.
   */
  replace(seq: number, fate: Fate, next: Batch): Promise<boolean>
  /** As `replace`, with nothing in its place, and only while the row cannot have been handed to a link. */
  withdraw(seq: number, fate: Fate): Promise<boolean>
  /**
   * Writes down that a link takes from the outbox from now on, or does no more. What was appended before
   * the end of a link may have been handed to it.
   */
  linked(isLinked: boolean): Promise<void>
  /** What became of an event that left the outbox without a verdict. */
  fate(id: EventId): Promise<Fate | undefined>
  /**
   * Drops the entries of a log above the position of `to`, and puts its cursor there. What is offered again
   * of them enters the outbox before everything that is in it, in order. Answers `false`, having written
   * nothing, where the log does not stand at `from`.
   */
  rewind(
    log: LogName,
    from: Cursor | undefined,
    to: Cursor,
    offered: readonly Batch[],
  ): Promise<boolean>
  /** Entries after `position`, at most about `bytesMax` of them (but at least one segment). */
  read(
    log: LogName,
    position: Position,
    bytesMax: number,
  ): Promise<{ readonly lines: readonly string[]; readonly more: boolean }>
  /** How far the builds of all models are, in the order in which they were begun. */
  checkpoints(): Promise<readonly Checkpoint[]>
  /**
   * Writes states and how far they are, where the build is still at `after`; `undefined` means that it has not
   * been begun. Answers with the position that it is at then: another one than wanted where another tab was
   * first, `undefined` where the build is gone. Of the other builds of its model, only the newest outlives its
   * completion. Throws `STATE_NOT_STORABLE`.
   */
  writeStates(
    to: Checkpoint,
    after: Position | undefined,
    rows: readonly StateRow[],
  ): Promise<Position | undefined>
  /** What `settle` wrote down of an accepted event. */
  accepted(id: EventId): Promise<Accepted | undefined>
  /** Takes refused events off their list. */
  discard(ids: readonly EventId[]): Promise<void>
  close(): Promise<void>
  /** Deletes the database with everything in it, and closes. Whoever opens it again finds an empty one. */
  destroy(): Promise<void>
}
