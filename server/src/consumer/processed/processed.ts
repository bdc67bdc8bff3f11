/**
 * The port to a consumer's own database: what it has tried, what it has done, what it has set aside and
 * what it still has to say. The law it keeps: a handler's effect, the mark that it happened and the events
 * that result from it are written in one transaction, so a crash leaves all of them or none.
 */
import type { Holds } from './holds.ts'
import type { Outbox } from './outbox.ts'
import type { Sagas } from './sagas.ts'

/** How an event stands with a consumer. */
export interface Standing {
  /** Attempts begun so far. One that was made in company and never ended counts only until the event is tried alone. */
  readonly attempts: number
  /** True where the last attempt shared its transaction with other events, any of which may have ended the process. */
  readonly inCompany: boolean
  /** True once its effect is committed, or a person has discarded it: nothing more will be done. */
  readonly done: boolean
}

/** What a transaction does for attempts. */
export interface Attempts {
  /** How these events stand; locks what it reads until the transaction ends. Unknown ids are left out. */
  standing(consumer: string, ids: readonly string[]): Promise<ReadonlyMap<string, Standing>>
  /** Begins an attempt at each. After an attempt in company the next one does not count anew. */
  count(consumer: string, ids: readonly string[], inCompany: boolean): Promise<void>
  /** The attempt at this event failed by its own doing: it counts, also where it was made in company. */
  blame(consumer: string, id: string): Promise<void>
  /** Nothing more will be done for these events. */
  finish(consumer: string, ids: readonly string[], now: number): Promise<void>
  /** Forgets the attempts at an event, so that it has all of them again. */
  forgive(consumer: string, id: string): Promise<void>
  /** Forgets events that were done before `before` (ms since 1970). Returned: how many. They would be done again. */
  prune(consumer: string, before: number): Promise<number>
}

/** What a person did to what was set aside. */
export interface AuditRecord {
  readonly consumer: string
  /** When, in ms since 1970. */
  readonly at: number
  /** Who. */
  readonly by: string
  readonly action: 'redrive' | 'discard' | 'resume' | 'resend'
  /** What it was done to: a held stream's key, an event's id, a saga's id. */
  readonly subject: string
  readonly note: string
}

/** What a consumer counts in its database. */
export interface Backlog {
  readonly retryingStreams: number
  readonly retryingEvents: number
  readonly parkedStreams: number
  readonly parkedEvents: number
  /** Resulting events that the broker has not confirmed yet. */
  readonly outgoing: number
  /** Resulting events that the broker will never take. */
  readonly refused: number
}

/** One transaction. It is over when the work it was handed to is: afterwards every call throws. */
export interface Unit<Tx> {
  /** The app's own handle inside this transaction. */
  readonly tx: Tx
  readonly attempts: Attempts
  readonly holds: Holds
  readonly outbox: Outbox
  readonly sagas: Sagas
  /** Runs `work`; where it throws, what it wrote is undone and the error goes on. Throws `HANDLER_FAILED` where it swallowed an error that the database does not get over. Not nested. */
  savepoint<T>(work: () => Promise<T>): Promise<T>

  /** The revision that a read model stands at; 0 where it was never written. */
  revision(consumer: string, name: string): Promise<number>
  /** Moves a read model from `revision` to the next. Throws `REVISION_CONFLICT` where somebody else was faster. */
  advance(consumer: string, name: string, revision: number): Promise<void>

  audit(record: AuditRecord): Promise<void>
  /** What people did, newest first. */
  audits(consumer: string, max: number): Promise<readonly AuditRecord[]>
  backlog(consumer: string): Promise<Backlog>
}

/** A consumer's own database. */
export interface Processed<Tx> {
  /** How many transactions may be open side by side. */
  readonly transactionsMax: number
  /** Makes the tables where they are missing. Throws `PROCESSED_UNAVAILABLE`. */
  open(): Promise<void>
  /**
   * Runs `work` in one transaction and commits what it wrote, durably, before it resolves. Where `work`
   * throws, all of it is undone and the error goes on. Throws `HANDLER_FAILED` where the database is well and
   * refuses to commit what was written, and `PROCESSED_UNAVAILABLE` where it does not take anything.
   */
  transaction<T>(work: (unit: Unit<Tx>) => Promise<T>, options?: TransactionOptions): Promise<T>
}

/** What a commit has to survive. */
export interface TransactionOptions {
  /**
   * `machine`: a power failure, before it resolves. `process`: the death of this process; a power failure
   * may undo it. That is enough for what is only counted or claimed, and saves a wait for the disk.
   * Default: `machine`.
   */
  readonly survives?: 'machine' | 'process'
}
