/**
 * The port to a message broker. What crosses it are CloudEvents: the relay and the ingest turn entries
 * into messages and back (cloudevents.ts), an adapter maps them to what its broker calls headers,
 * properties and keys. A broker is not trusted to deliver once, nor to say what it has stored.
 */
import { TidemarkError } from '@tidemark/shared'

/**
 * The header of a message that was sent again on purpose. Its id then ends in `#` and what stands here, which
 * passes the broker's window of duplicates; a foreign id may end like that by itself.
 */
export const resendProperty = 'tidemark-resend'

/** The id that a message had when it was sent first. */
export function firstIdOf({ id, properties }: Received): string {
  const { [resendProperty]: mark } = properties
  return mark !== undefined && id.endsWith(`#${mark}`) ? id.slice(0, -`#${mark}`.length) : id
}

/** A CloudEvents 1.0 message. */
export interface Message {
  /** The event's id at every hop, also when it is sent again. */
  readonly id: string
  /** `scope/stream`: messages of one key are handed out in the order they were sent. At most `keyLengthMax` long. */
  readonly key: string
  /**
   * CloudEvents attributes and extensions by their plain names: `id`, `source`, `type`, `subject`, `time`, …
   * A message from elsewhere may have none but `datacontenttype`, which is the broker's content type.
   */
  readonly attributes: Attributes
  /** The body, UTF-8. */
  readonly body: Uint8Array
  readonly correlationId?: string | undefined
  /**
   * Set where a message is sent again on purpose, to another text for each time, so that the broker's
   * duplicate detection lets it pass. The attribute `id` stays as it was.
   */
  readonly resend?: string | undefined
  /** The broker's subject or label, where publishers who know no CloudEvents put the event's type. Left out: the attribute `type`. */
  readonly label?: string | undefined
  /** Headers that are no CloudEvents attributes: those of a foreign message that is sent again. */
  readonly properties?: Attributes
}

/** Names with plain values, as every broker can carry them. */
export type Attributes = Readonly<Record<string, string | number | boolean>>

/** A message that was handed to us and waits to be settled. */
export interface Received extends Message {
  /** Headers that are no CloudEvents attributes. Those of a dead letter say why: `DeadLetterReason`, `DeadLetterErrorDescription`. */
  readonly properties: Attributes
  /** The broker's number of this message, which grows in the order of arrival; text, because it may pass 2^53. */
  readonly sequence?: string | undefined
  /** When the broker took it, in ms since 1970 by the broker's clock. */
  readonly enqueuedAt: number
  /** How often the broker says it handed this message out, from 1. It lies: a killed process does not count. */
  readonly deliveries: number
  /** When its lock ends unless it is renewed, in ms since 1970 by the broker's clock. */
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
   * Reads by session, so many at once, each session with one receiver in the world. Messages of one
   * key come in their order; a list may hold several of them. Whoever abandons one abandons those of
   * its key that came with it after it too, or they overtake it. Left out, messages come in any order.
   */
  readonly sessions?: number | undefined
  /**
   * How long the lock of a message (or of its session) is renewed before the broker may hand it to
   * somebody else, in ms. Default: 300,000.
   */
  readonly holdMsMax?: number | undefined
  /**
   * How many messages may be handed to this receiver and not be settled, those that it fetches ahead
   * included. One that is never settled takes up its place. Default: 200.
   */
  readonly unsettledMax?: number | undefined
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
  /** Lets go of what is not settled: it is handed out again when its lock ends, if not before. */
  close(): Promise<void>
}

/** How long a receiver renews its locks unless it is told otherwise, in ms. */
export const defaultHoldMsMax = 300_000

/** How many unsettled messages a receiver has at most unless it is told otherwise. */
export const defaultUnsettledMax = 200

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
   * confirmed it, an error where it did not (it may be stored all the same). Past `ENTITY_MISSING` or an error
   * whose recovery is not `never`, later messages of the same key, or all, are not sent and get the same error.
   * Once the signal aborts nothing more is sent, which gets `BROKER_UNAVAILABLE`. Never throws for what a broker
   * may say. One call at a time for each key.
   */
  publish(
    topic: string,
    messages: readonly Message[],
    signal?: AbortSignal,
  ): Promise<readonly PublishResult[]>
  receiver(options: ReceiverOptions): Receiver
  close(): Promise<void>
}

/** A subscription, or its dead letters. */
export type Place = Pick<ReceiverOptions, 'topic' | 'subscription' | 'deadLetters'>

/** A broker whose messages can be looked at without taking them. */
export interface PeekableBroker extends Broker {
  /**
   * Up to `max` messages that lie in a place, oldest first, whatever their state; after the message
   * `after` (its `sequence`), or from the first on. Throws as `receive` does.
   */
  peek(place: Place, max: number, after?: string): Promise<readonly Received[]>
  /**
   * Takes the message with this `sequence` out of a place without sessions, hands it to `work` and settles
   * it as that says. Where `work` throws, the message stays and the error goes on. False: it is not there, or
   * somebody else has it. Throws as `receive` does.
   */
  pick(
    place: Place,
    sequence: string,
    work: (message: Received) => Promise<Settlement>,
  ): Promise<boolean>
}

/** How many messages `pick` looks through: those before the one that is meant have to be taken too. */
export const pickedThroughMax = 1_000

/** Why messages were not sent whose publish was called off. */
export const calledOff = (): TidemarkError =>
  new TidemarkError('BROKER_UNAVAILABLE', { reason: 'the publish was called off' })

/** How one message went. */
export type PublishResult = TidemarkError | undefined
