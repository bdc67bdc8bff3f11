/** What one consumer is made of, as its loops share it, and what its handlers are given. */
import type { Topic, DataOf, DeadLettered, Doorbell, DomainEvent, System } from '@tidemark/shared'
import type { Broker } from '../broker/broker.ts'
import type { Logger } from '../logger.ts'
import type { Author, Emit } from './emit.ts'
import type { RetryOptions } from './policy.ts'
import type { Processed } from './processed/processed.ts'
import type { Saga } from './saga.ts'

/** What a handler is given beside its event. */
export interface Context<Tx> {
  /** The app's handle inside the transaction: what is written through it happens once. */
  readonly tx: Tx
  /** Answers with an event, published once the effect is committed. */
  readonly emit: Emit
  /** 1 at the first attempt. */
  readonly attempt: number
  /** True where the event was sent again from history. Its effect still happens once. */
  readonly replayed: boolean
  /** Aborts when the handler has run out of time: its transaction is undone then. */
  readonly signal: AbortSignal
  /** The same at every attempt: the idempotency key for what cannot join the transaction. */
  readonly key: string
  /** The revision that a read model stands at; 0 where it was never written. */
  revision(name: string): Promise<number>
  /** Moves a read model on from the revision that was read. Throws `REVISION_CONFLICT`, which is tried again. */
  advance(name: string, revision: number): Promise<void>
  /** Starts a saga in the same transaction; `key` tells apart several of one event. Returned: its id. */
  start<Input>(saga: Saga<Input, Tx>, input: Input, key?: string): Promise<string>
}

/** Makes an event's effect. What it throws decides: an error worth another try, or one that parks the stream. */
export type Handler<Event, Tx> = (event: Event, context: Context<Tx>) => Promise<void> | void

/** What apps may handle beside their own types: another consumer has set an event of this topic aside. */
interface ReservedData {
  readonly 'tidemark.DeadLettered': DeadLettered
}

/** A handler for each event type that a consumer cares about. */
export type Handlers<T extends Topic, Tx> = {
  readonly [Type in (keyof T['schemas'] & string) | keyof ReservedData]?: Handler<
    DomainEvent<Type, Type extends keyof ReservedData ? ReservedData[Type] : DataOf<T, Type>>,
    Tx
  >
}

/** What becomes of an event that this version of the consumer does not know. */
export type UnknownPolicy = 'skip' | 'park' | 'halt'

/** Handlers, once their types have done their work. */
export type AnyHandlers<Tx> = Readonly<Record<string, Handler<DomainEvent, Tx> | undefined>>

/** One consumer, as its loops share it. */
export interface Settings<Tx> {
  readonly name: string
  /** This run of the consumer. */
  readonly owner: string
  readonly topic: Topic
  readonly on: AnyHandlers<Tx>
  readonly broker: Broker
  readonly processed: Processed<Tx>
  readonly system: System
  readonly logger: Logger
  readonly author: Author
  readonly retry: RetryOptions
  readonly attemptsMax: number
  readonly handlerMsMax: number
  readonly counts: Counts
  readonly bells: {
    /** A stream is held, or shall be tried again. */
    readonly retry: Doorbell
    /** Resulting events are committed. */
    readonly send: Doorbell
    /** A saga is started. */
    readonly sagas: Doorbell
  }
}

/** What a consumer has done since it started. */
export interface Counts {
  /** Messages that were handed to it. */
  received: number
  /** Events whose effect it committed. */
  processed: number
  /** Messages of events that were done already. */
  duplicates: number
  /** Events of types that it has no handler for. */
  ignored: number
  /** Events that it does not know, skipped by policy. */
  skipped: number
  /** Attempts that failed. */
  failed: number
  /** Events set aside behind one that failed. */
  aside: number
  /** Streams parked until a person looks. */
  parked: number
  /** Messages that are no events, dead-lettered at the broker. */
  malformed: number
  /** Messages whose lock was lost before they were settled: they come again, and nothing happens. */
  lockLost: number
  /** Resulting events that the broker confirmed. */
  published: number
}

/** All zero. */
export const createCounts = (): Counts => ({
  received: 0,
  processed: 0,
  duplicates: 0,
  ignored: 0,
  skipped: 0,
  failed: 0,
  aside: 0,
  parked: 0,
  malformed: 0,
  lockLost: 0,
  published: 0,
})
