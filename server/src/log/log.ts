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

/** One event of an attempt, with the author's own line. */
export interface AttemptEvent {
  readonly id: EventId
  readonly stream: string
  readonly line: string
  /** SHA-256 of the line. Another hash under a known id is `ID_REUSED`. */
  readonly hash: Uint8Array
}

/** A batch that somebody wants in the log, whole or not at all. */
export interface Attempt {
  readonly log: LogName
  readonly author: string
  readonly source: Source
  readonly events: readonly AttemptEvent[]
  readonly after?: EventId | undefined
  readonly expectedRevision?: number | undefined
  /** Set where a check before the log refused it: the refusal is stored, unless the ids are known. */
  readonly refused?: { readonly id: EventId; readonly refusal: Refusal } | undefined
}

/** What became of an attempt. The same again for the same ids, for ever, but for `blocked`. */
export type Outcome =
  | {
      readonly type: 'accepted'
      /** The position of the first event; the others follow it. */
      readonly position: Position
      readonly revisions: readonly number[]
      /** True where this very call appended it. */
      readonly fresh: boolean
    }
  | { readonly type: 'refused'; readonly id: EventId; readonly refusal: Refusal }
  | { readonly type: 'blocked'; readonly by: EventId }

/** Where a log ends. */
export interface Head {
  readonly epoch: Epoch
  readonly position: Position
}

/** Entries in order, as the lines that subscribers read. Never a part of a batch. */
export interface Page {
  /** The position of the last entry, or the one asked for where there is nothing after it. */
  readonly upTo: Position
  readonly lines: readonly string[]
}

/** A stream that the relay has stopped at. */
export interface Parked {
  readonly stream: string
  readonly fromRevision: number
  readonly code: ErrorCode
  readonly attempts: number
}

/** The right to relay one log. A later holder has a higher term, and writes of a lower one are refused. */
export interface Lease {
  readonly name: string
  readonly term: number
}

/** The gateway's log. Every method throws `LOG_UNAVAILABLE` while the disk or the database does not take it. */
export interface Log {
  /** Judges and appends attempts in one durable transaction, in order. */
  append(attempts: readonly Attempt[]): Promise<readonly Outcome[]>
  /** The verdicts there are on these ids, so that a known event is never judged again. */
  verdicts(log: LogName, ids: readonly EventId[]): Promise<ReadonlyMap<EventId, Outcome>>
  head(log: LogName): Promise<Head>
  /** Entries after `position`, up to `bytesMax` (but at least one batch). */
  read(log: LogName, position: Position, bytesMax: number): Promise<Page>
  /** Where a reader with this cursor may go on: the cursor's own position where it is of this log, else an earlier one. */
  locate(log: LogName, cursor: Cursor): Promise<Position>
  /** All logs that have entries. */
  logs(): Promise<readonly LogName[]>

  /** Takes or keeps a lease for `ms` milliseconds of the log's own clock. `undefined`: somebody else has it. */
  lease(name: string, holder: string, ms: number): Promise<Lease | undefined>
  release(lease: Lease): Promise<void>
  /** How far the relay has come, and what it has parked. */
  relayed(log: LogName): Promise<{ readonly cursor: Position; readonly parked: readonly Parked[] }>
  /** Moves the relay on. Throws `LEASE_LOST` where the lease is not the newest. */
  saveRelayed(
    lease: Lease,
    log: LogName,
    cursor: Position,
    parked: readonly Parked[],
  ): Promise<void>

  /** Calls `heard` after each commit with the logs that grew. A hint: readers poll as well. */
  onAppend(heard: (logs: readonly LogName[]) => void): () => void
  close(): Promise<void>
}
