/**
 * The port to a message broker. What crosses it are CloudEvents: the relay and the ingest turn entries
 * into messages and back (cloudevents.ts), an adapter maps them to what its broker calls headers,
 * properties and keys. A broker is not trusted to deliver once, nor to say what it has stored.
 */
import type { TidemarkError } from '@tidemark/shared'

/** A CloudEvents 1.0 message. */
export interface Message {
  /** The event's id at every hop, also when it is sent again. */
  readonly id: string
  /** `scope/stream`: messages of one key are handed out in the order they were sent. At most `keyLengthMax` long. */
  readonly key: string
  /** CloudEvents attributes and extensions by their plain names: `id`, `source`, `type`, `subject`, `time`, … */
  readonly attributes: Readonly<Record<string, string | number | boolean>>
  /** The body, UTF-8. */
  readonly body: Uint8Array
  readonly correlationId?: string
}

/** A message that was handed to us and waits to be settled. */
export interface Received extends Message {
  /** How often the broker says it handed this message out, from 1. It lies: a killed process does not count. */
  readonly deliveries: number
  /** When its lock ends, in ms since 1970 by the broker's clock. */
  readonly lockedUntil: number
}

/** What becomes of a received message. */
export type Settlement =
  | { readonly type: 'complete' }
  /** Hand it out again, at once. */
  | { readonly type: 'abandon' }
  | { readonly type: 'deadLetter'; readonly reason: string; readonly description: string }

/** Where to receive from. */
export interface ReceiverOptions {
  readonly topic: string
  readonly subscription: string
  /** Reads the subscription's dead letters instead. */
  readonly deadLetters?: boolean
  /**
   * Reads by session, so many at once, each message of a key after the one before it is settled.
   * Left out, messages come in any order.
   */
  readonly sessions?: number
}

/** A reader of a subscription. It heals itself: what it throws says that it has not yet. */
export interface Receiver {
  /**
   * Waits up to `waitMs` for messages and takes at most `max`. Nothing came: an empty list.
   * Throws `BROKER_UNAVAILABLE`, `BROKER_BUSY`, `BROKER_UNAUTHORIZED` or `ENTITY_MISSING`; call again later.
   */
  receive(max: number, waitMs: number): Promise<readonly Received[]>
  /** Settles one message. Throws `LOCK_LOST` where the broker will hand it out again whatever we say. */
  settle(message: Received, settlement: Settlement): Promise<void>
  /** Lets go of what is not settled. */
  close(): Promise<void>
}

/** A message broker. */
export interface Broker {
  readonly limits: {
    /** The largest message with its attributes, in bytes. */
    readonly messageBytesMax: number
    /** The longest key, in UTF-16 code units. */
    readonly keyLengthMax: number
  }
  /**
   * Sends messages to a topic, in order, and says for each how it went: `undefined` where the broker
   * confirmed it, an error where it did not. Past an error whose recovery is not `never`, later
   * messages of the same key are not sent. Never throws for what a broker may say.
   */
  publish(topic: string, messages: readonly Message[]): Promise<readonly PublishResult[]>
  receiver(options: ReceiverOptions): Receiver
  close(): Promise<void>
}

/** How one message went. */
export type PublishResult = TidemarkError | undefined
