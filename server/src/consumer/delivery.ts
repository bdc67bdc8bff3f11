/** What a consumer makes of a message before anything is done with it. */
import {
  type Claim,
  type Topic,
  type DomainEvent,
  isReservedType,
  logKey,
  TidemarkError,
} from '@tidemark/shared'
import type { Received } from '../broker/broker.ts'
import { fromMessage } from '../cloudevents.ts'
import type { Kept } from './processed/holds.ts'

/** An event that waits for its effect, with the messages that brought it. */
export interface Delivery {
  readonly event: DomainEvent
  readonly kept: Kept
  /** What is held when it fails: its stream, or itself where order does not matter. */
  readonly key: string
  /** The same event twice in one hand is one delivery. Empty where it comes from what was set aside. */
  readonly received: Received[]
}

/** What to do with an event before its handler is asked: `ignore` what it is not interested in. */
export type Interest = 'handle' | 'ignore' | 'unknown-type' | 'unknown-version'

/** The event that a message brings. Throws `MESSAGE_MALFORMED`. */
export function openMessage(topic: Topic, ordered: boolean, received: Received): Delivery {
  const { scope, author, line, claim } = fromMessage(topic.name, received)
  const mark = received.attributes['replayed'] ?? received.properties['replayed']
  const kept: Kept = {
    id: claim.id,
    topic: topic.name,
    scope,
    author,
    line,
    replayed: mark === true || mark === 'true',
  }
  const event = { ...claim, topic: topic.name, scope, author }
  return { event, kept, key: keyOf(ordered, event), received: [received] }
}

/** The event that was set aside. */
export function openKept(kept: Kept, key: string): Delivery {
  const { topic, scope, author, line } = kept
  return { event: { ...readLine(line), topic, scope, author }, kept, key, received: [] }
}

/** The event on a line that was checked when its message was read. */
const readLine = (line: string): Claim => JSON.parse(line)

const keyOf = (ordered: boolean, { id, scope, stream }: DomainEvent): string =>
  ordered ? logKey({ topic: scope, scope: stream }) : id

/** Whether a consumer with these handlers knows an event, and cares. */
export function interestIn(
  topic: Topic,
  on: Readonly<Record<string, unknown>>,
  { type, version }: DomainEvent,
): Interest {
  const isHandled = Object.hasOwn(on, type) && on[type] !== undefined
  if (isReservedType(type)) return isHandled ? 'handle' : 'ignore'
  if (!Object.hasOwn(topic.versions, type)) return 'unknown-type'
  if (!isHandled) return 'ignore'
  return version > (topic.versions[type] ?? 0) ? 'unknown-version' : 'handle'
}

/** The failure of an event that this consumer does not know. */
export const unknownEvent = ({ topic, type, version }: DomainEvent): TidemarkError =>
  new TidemarkError('UNKNOWN_TYPE', { topic, type, version })
