/** What a namespace consists of: queues, topics and their subscriptions, with every property that the core keeps to. */
import type { RuleOptions } from './rule.ts'

/** How a queue or a subscription hands out its messages. Left out: the default that Service Bus has. */
export interface MailboxOptions {
  /** How long a message or a session stays with its receiver, in ms. Default: 60,000. */
  readonly lockMs?: number
  /** A message that came back so often is dead-lettered. Default: 10. */
  readonly maxDeliveryCount?: number
  /** Hands out by session, each to one receiver at a time. Default: false. */
  readonly requiresSession?: boolean
  /** The longest life of a message, in ms. Default: for ever. */
  readonly ttlMs?: number
  /** Dead-letters what expires; else it is dropped. Default: false. */
  readonly deadLettersExpired?: boolean
  /** Sends everything that arrives on to this queue or topic. */
  readonly forwardTo?: string
}

/** How a queue or a topic takes messages. */
export interface DestinationOptions {
  readonly name: string
  /** Drops a message whose id was seen so many ms ago or less. Default: 0, never. */
  readonly duplicateWindowMs?: number
}

/** A queue. */
export interface QueueOptions extends MailboxOptions, DestinationOptions {}

/** A subscription of a topic. */
export interface SubscriptionOptions extends MailboxOptions {
  readonly name: string
  /** It takes what fits one of them. Default: one rule that lets everything in. */
  readonly rules?: readonly RuleOptions[]
}

/** A topic. */
export interface TopicOptions extends DestinationOptions {
  readonly ttlMs?: number
  readonly subscriptions: readonly SubscriptionOptions[]
}

/** A whole namespace. */
export interface Topology {
  readonly queues?: readonly QueueOptions[]
  readonly topics?: readonly TopicOptions[]
  /** The largest message, in bytes. Default: 262,144, as in the Standard tier. */
  readonly messageBytesMax?: number
}
