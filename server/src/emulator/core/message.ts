/** Messages as the broker's core sees them: what it must know to route and to hand out, and a payload that it never reads. */

/** The properties that a message has beside its application properties; filters read them. */
export interface MessageFields {
  readonly messageId: string
  readonly sessionId?: string | undefined
  readonly correlationId?: string | undefined
  /** Also called the label. */
  readonly subject?: string | undefined
  readonly to?: string | undefined
  readonly replyTo?: string | undefined
  readonly replyToSessionId?: string | undefined
  readonly contentType?: string | undefined
}

/** A message as it was sent. One envelope is shared by every subscription that it reaches. */
export interface Envelope extends MessageFields {
  /** Its size on the wire, in bytes. */
  readonly bytes: number
  /** How long after its arrival it expires, in ms. */
  readonly ttlMs?: number | undefined
  /** When it shall arrive, in ms since 1970. */
  readonly scheduledAt?: number | undefined
  /** The application properties. Read only where a filter asks, so an adapter may decode them then. */
  readonly properties: Readonly<Record<string, unknown>>
  /** What the adapter needs to hand it out again; the core never looks inside. */
  readonly payload: unknown
}

/** The right to settle a message, until a point in time. */
export interface Lock {
  /** A UUID. */
  readonly token: string
  /** When it ends, in ms since 1970, as its holder is told. */
  until: number
  /** When it ends by the monotonic clock, in ms: no jump of the wall clock makes it longer. */
  endsAt: number
}

/** Where a stored message stands: waiting, handed out, put aside by its number, or not here any more. */
export type State = 'ready' | 'locked' | 'deferred' | 'gone'

/** A message in one mailbox. */
export interface Stored {
  readonly envelope: Envelope
  /** Its number in this mailbox: 1, 2, 3, … in the order of arrival. */
  readonly sequence: number
  /** In ms since 1970. */
  readonly enqueuedAt: number
  /** In ms since 1970, or `Infinity`. */
  readonly expiresAt: number
  /** How often it was handed out and came back. */
  failures: number
  state: State
  lock: Lock | undefined
  /** Application properties that were set after it was sent, by an abandon or by dead-lettering. */
  changes: Readonly<Record<string, unknown>> | undefined
  /** The mailbox that it was dead-lettered from. */
  readonly deadLetterSource: string | undefined
  /** A put-aside message does not become ready again when its lock ends. */
  wasDeferred: boolean
}

/** Why something was refused: an AMQP error condition and a sentence for people. */
export interface Refused {
  readonly condition: Condition
  readonly description: string
}

/** The AMQP error conditions that Service Bus answers with. */
export type Condition =
  | 'amqp:not-found'
  | 'amqp:not-allowed'
  | 'amqp:not-implemented'
  | 'amqp:internal-error'
  | 'amqp:unauthorized-access'
  | 'amqp:resource-limit-exceeded'
  | 'amqp:link:message-size-exceeded'
  | 'amqp:link:detach-forced'
  | 'amqp:connection:forced'
  | 'com.microsoft:server-busy'
  | 'com.microsoft:timeout'
  | 'com.microsoft:entity-disabled'
  | 'com.microsoft:message-not-found'
  | 'com.microsoft:message-lock-lost'
  | 'com.microsoft:session-lock-lost'
  | 'com.microsoft:session-cannot-be-locked'
  | 'com.microsoft:argument-error'
