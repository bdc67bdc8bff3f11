/** The gaps between two durable acts, where a process is killed: what came before is there, what follows is not. */

/** The named gaps, and what lies on their two sides. */
export const gaps = {
  'commit/verdict': 'the log has committed an append, and its verdict has not left the gateway',
  'commit/publish': 'an entry is in the log, and the relay has not sent it to the broker',
  'publish/cursor': 'the broker has confirmed, and the relay has not saved its cursor',
  'append/settle': 'what came from the broker is in the log, and its message is not settled',
  'attempt/effect': 'an attempt is counted, and its effect is not committed',
  'effect/settle': 'an effect is committed, and its message is not settled',
  'step/compensation': 'a half of a saga’s step has worked, and the saga has not moved on',
} as const

/** A gap’s name. */
export type Gap = keyof typeof gaps

/** All names, in the order of an event’s way. */
export const gapNames = Object.keys(gaps) as readonly Gap[]

/** The kinds of processes that are killed. The relay lives in the gateway. */
export type Kind = 'gateway' | 'consumer'

/** The gaps that each kind of process passes. */
export const gapsOf: Readonly<Record<Kind, readonly Gap[]>> = {
  gateway: ['commit/verdict', 'commit/publish', 'publish/cursor', 'append/settle'],
  consumer: ['attempt/effect', 'effect/settle', 'step/compensation'],
}

/** The gaps that only the holder of the relay's lease passes. */
export const isRelays = (gap: Gap): boolean => gap === 'commit/publish' || gap === 'publish/cursor'
