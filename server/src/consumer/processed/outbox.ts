/** The part of the port that keeps resulting events from the transaction that made them until the broker has them. */
import type { Message } from '../../broker/broker.ts'

/** A resulting event that is committed and not yet confirmed by the broker. */
export interface Outgoing {
  readonly seq: number
  readonly topic: string
  readonly message: Message
  /** Set where the broker will never take it: why. It stays here until a person sends or discards it. */
  readonly refusedCode?: string | undefined
}

/** Which resulting events to publish. */
export interface PendingFilter {
  readonly consumer: string
  /** Who publishes: what it has committed itself, … */
  readonly owner: string
  /** … and what anybody has left behind before this moment, in ms since 1970. */
  readonly strayBefore: number
  /** Topics that cannot be published to for now, so that they hold up no other. */
  readonly exceptTopics?: readonly string[]
  readonly max: number
}

/** What a transaction does for resulting events. */
export interface Outbox {
  /** Keeps resulting events until the broker has confirmed them, for `owner` to publish. */
  enqueue(
    consumer: string,
    owner: string,
    results: readonly { readonly topic: string; readonly message: Message }[],
    now: number,
  ): Promise<void>
  /**
   * What is to be published, oldest first. What somebody else has committed before for the same key, and may
   * be publishing now, comes first: until it is confirmed or left behind, what follows it is not listed.
   */
  pending(filter: PendingFilter): Promise<readonly Outgoing[]>
  /** The broker has confirmed these. */
  confirm(seqs: readonly number[]): Promise<void>
  /** The broker will never take this one. Without a code: it is to be tried again. */
  refuse(seq: number, code: string | undefined): Promise<void>
  /** The refused one of this number, locked until the transaction ends. */
  findRefused(consumer: string, seq: number): Promise<Outgoing | undefined>
  /** Resulting events that the broker will never take, oldest first. */
  refused(consumer: string, max: number): Promise<readonly Outgoing[]>
}
