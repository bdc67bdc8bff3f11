/** The part of the port that keeps streams which do not flow: their events lie here, in order, and the broker is rid of them. */
import type { Due } from './due.ts'

/** Why a stream does not flow. */
export interface Hold {
  /** `retrying`: its first event is tried again at `dueAt`. `parked`: it waits for a person. */
  readonly state: 'retrying' | 'parked'
  /** What the last attempt at its first event failed with: the app's code, or one from the table of errors. */
  readonly code: string
  readonly reason: string
  /** Attempts at its first event. */
  readonly attempts: number
  /** When its first event failed for the first and for the last time, in ms since 1970. */
  readonly firstAt: number
  readonly lastAt: number
  /** When it was first parked for this event, in ms since 1970. The author has been told once this is set. */
  readonly parkedAt?: number | undefined
  /** When it may be tried again, in ms since 1970. */
  readonly dueAt: number
}

/** A stream that does not flow: its events lie in this database, in order, and the broker is rid of them. */
export interface HeldStream extends Hold {
  readonly consumer: string
  /** `scope/stream`; where a consumer takes events in any order, the event's id. */
  readonly key: string
  /** The events that are set aside: the one that failed, and those behind it. */
  readonly events: number
}

/** An event as a message brought it, without the message. */
export interface Kept {
  readonly id: string
  readonly topic: string
  readonly scope: string
  readonly author: string
  /** The event as a claim line. */
  readonly line: string
  /** True where it was sent again from history. */
  readonly replayed: boolean
}

/** An event that waits in a held stream. */
export interface AsideEvent extends Kept {
  readonly seq: number
  /** When it was set aside, in ms since 1970. */
  readonly at: number
}

/** Which held streams to list. */
export interface HeldFilter {
  readonly consumer?: string | undefined
  readonly state?: Hold['state'] | undefined
  /** The last key of the page before, with its consumer. */
  readonly after?: { readonly consumer: string; readonly key: string } | undefined
  readonly max: number
}

/** What a transaction does for held streams. */
export interface Holds {
  /** Which of these streams are held; locks them until the transaction ends. */
  held(consumer: string, keys: readonly string[]): Promise<ReadonlyMap<string, HeldStream>>
  /** Holds a stream, or says anew why it is held. */
  hold(consumer: string, key: string, hold: Hold): Promise<void>
  /** Lets a stream flow again. Only where nothing is set aside in it. */
  release(consumer: string, key: string): Promise<void>
  /** Sets an event aside, behind the others of its stream. Once: the same id again changes nothing. */
  setAside(consumer: string, key: string, event: Kept, now: number): Promise<void>
  /** Events that are set aside in a stream, oldest first. */
  aside(consumer: string, key: string, max: number): Promise<readonly AsideEvent[]>
  /** An event that is set aside, with the key of its stream. */
  find(consumer: string, id: string): Promise<(AsideEvent & { readonly key: string }) | undefined>
  /** Takes an event out of what is set aside. */
  takeBack(consumer: string, id: string): Promise<void>
  /** The retrying stream that has waited longest, locked until the transaction ends; others' locks are passed by. */
  due(consumer: string, now: number): Promise<Due<HeldStream>>
  /** Held streams by key, after `after`. Every consumer's where none is named. */
  list(filter: HeldFilter): Promise<readonly HeldStream[]>
}
