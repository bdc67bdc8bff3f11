/**
 * The port to the gateway's log: the only truth. Everything else reads it with a cursor or writes to it
 * idempotently. Verdicts, entries and stream heads commit together; positions become visible in order
 * and without gaps, per log.
 */
import type {
  Cursor,
  Epoch,
  ErrorCode,
  EventId,
  LogName,
  Position,
  Refusal,
  Source,
} from '@tidemark/shared'

/** One event of an attempt. */
export interface AttemptEvent {
  readonly id: EventId
  readonly stream: string
  /** The author's own line. Other bytes under a known id are `ID_REUSED`. */
  readonly line: string
}

/** Why a check before the log did not let an attempt pass. It counts only where the ids are not known yet. */
export type Denial =
  | { readonly type: 'refused'; readonly id: EventId; readonly refusal: Refusal }
  | { readonly type: 'held'; readonly reason: string }

/** A batch that somebody wants in the log, whole or not at all. */
export interface Attempt {
  readonly log: LogName
  readonly author: string
  readonly source: Source
  /** At least one. */
  readonly events: readonly AttemptEvent[]
  /** The event that this one rests on: unless that is accepted, the outcome is `blocked`. */
  readonly after?: EventId | undefined
  /** The revision that the stream of the first event must have. */
  readonly expectedRevision?: number | undefined
  /** A refusal is stored; a hold stops the chain, and stores nothing. A batch that has a verdict still gets that. */
  readonly denied?: Denial | undefined
}

/** What became of an attempt. Accepted and refused are verdicts: the same again for the same ids, for ever. */
export type Outcome =
  | {
      readonly type: 'accepted'
      /** The position of the first event; the others follow it. */
      readonly position: Position
      readonly revisions: readonly number[]
      /** True where this very call appended it. */
      readonly fresh: boolean
    }
  | {
      readonly type: 'refused'
      /** The event of the batch that was the reason. */
      readonly id: EventId
      readonly refusal: Refusal
      /** True where this very call refused it. */
      readonly fresh: boolean
    }
  | { readonly type: 'blocked'; readonly by: EventId }
  | { readonly type: 'held'; readonly reason: string }

/** Where a log ends. */
export interface Head {
  readonly epoch: Epoch
  /** 0 where it has no entries. */
  readonly position: Position
  /** It takes the place of another log on purpose: what readers had of that is not wanted back. */
  readonly isStartedOver?: boolean
}

/** A run of entries in order. It never holds a part of a batch. */
export interface Page {
  /** The position of the last entry, or the one asked for where there is nothing after it. */
  readonly upTo: Position
  /** Entry lines, many in one string with line feeds between them, as they go into a frame. */
  readonly chunks: readonly string[]
  /** False where the log ended here when it was read. */
  readonly more: boolean
}

/** A stream that the relay has stopped at: its entries from here on wait for a redrive. */
export interface Parked {
  readonly stream: string
  readonly fromPosition: Position
  readonly fromRevision: number
  readonly code: ErrorCode
  /** What the error said, for people. */
  readonly reason: string
  /** How often the entry at `fromPosition` was offered to the broker. */
  readonly attempts: number
  /** What a person has asked for and the relay has not done yet. */
  readonly remedy?: Remedy['action'] | undefined
}

/** What a person decides about a parked stream. The relay does it, under its lease, so that the stream's order is kept. */
export interface Remedy {
  readonly stream: string
  /** Where the stream was parked when they decided. It counts only while it is still parked there. */
  readonly fromRevision: number
  /** `redrive`: publish again from there. `discard`: never publish the event there, and go on with the next. */
  readonly action: 'redrive' | 'discard'
}

/** What a person did, or asked for. */
export interface AuditRecord {
  /** When, in ms since 1970. */
  readonly at: number
  /** Who. */
  readonly by: string
  /** What: `redrive`, `discard`, `replay`. */
  readonly action: string
  /** To what. */
  readonly subject: string
  /** Why. */
  readonly note: string
}

/** What the relay writes down when it moves on, in one transaction. */
export interface RelayProgress {
  /** Everything up to here is confirmed by the broker, or parked. */
  readonly cursor: Position
  /** Streams that are parked, or parked anew. */
  readonly parked: readonly Parked[]
  /** Streams that go on. */
  readonly unparked: readonly string[]
}

/** The right to do something alone, a relay's for one log. A later holder has a higher term, and writes of a lower one are refused. */
export interface Lease {
  readonly name: string
  readonly term: number
}

/** The gateway's log. Every method throws `LOG_UNAVAILABLE` while the disk or the database does not take it. */
export interface Log {
  /**
   * Judges and appends attempts in one durable transaction. Each chain is judged in its order, up to its
   * first attempt that is blocked or held: what follows that is not looked at and has no outcome.
   */
  append(chains: readonly (readonly Attempt[])[]): Promise<readonly (readonly Outcome[])[]>
  head(log: LogName): Promise<Head>
  /** Entries after `position`, up to about `bytesMax` (but at least one batch). */
  read(log: LogName, position: Position, bytesMax: number): Promise<Page>
  /**
   * Where a reader with this cursor may go on: at the cursor's own position where its entry stands there,
   * else at an earlier one, where it may ask again. Asking again and again ends at 0 at the latest.
   */
  locate(log: LogName, cursor: Cursor): Promise<Position>
  /** All logs that have entries. */
  logs(): Promise<readonly LogName[]>

  /**
   * Takes or keeps a lease for `ms` milliseconds of the log's own clock. Its holder keeps the term, a new
   * one has a higher. `undefined`: somebody else has it.
   */
  lease(name: string, holder: string, ms: number): Promise<Lease | undefined>
  /** Gives a lease back, so that the next holder need not wait. Does nothing where it is lost already. */
  release(lease: Lease): Promise<void>
  /** How far the relay has come, and what it has parked. */
  relayed(log: LogName): Promise<{ readonly cursor: Position; readonly parked: readonly Parked[] }>
  /** Moves the relay on. Throws `LEASE_LOST` where the lease is not the newest of its name. */
  saveRelayed(lease: Lease, log: LogName, progress: RelayProgress): Promise<void>
  /**
   * Writes down what a person decided about a parked stream, for the relay to do, with its audit record.
   * False, and nothing is written, where the stream is not parked there any more or something has been
   * asked for already.
   */
  remedy(log: LogName, remedy: Remedy, record: AuditRecord): Promise<boolean>
  /** Keeps an audit record, for ever. */
  audit(record: AuditRecord): Promise<void>
  /** What people did, newest first. */
  audits(max: number): Promise<readonly AuditRecord[]>

  /** Calls `heard` after each commit with the logs that grew. A hint: readers poll as well. */
  onAppend(heard: (logs: readonly LogName[]) => void): () => void
  close(): Promise<void>
}
