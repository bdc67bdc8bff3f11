/**
 * Events and what surrounds them: an event is an immutable fact, an entry is an event with its place
 * in a log, a verdict is the gateway's final answer on one. Ids are minted by `System.uuid` alone.
 */
import type { ErrorCode, ErrorDetails } from './errors.ts'

declare const brand: unique symbol
type Branded<Base, Name extends string> = Base & { readonly [brand]: Name }

/** A UUID in lower case; Tidemark mints version 7 and accepts any. It names the event at every hop. */
export type EventId = Branded<string, 'EventId'>
/** An entry's place in its log: 1, 2, 3, … without a gap. 0 stands before the first. */
export type Position = Branded<number, 'Position'>
/** A random UUID that a log keeps until it is restored from a copy. */
export type Epoch = Branded<string, 'Epoch'>

/** A log's name: the unit of position, cursor, subscription and read permission. */
export interface LogName {
  readonly topic: string
  /** Whose events these are: a tenant, a shop, a workspace; `default` where an app has one. */
  readonly scope: string
}

/** `topic/scope`, for maps and messages. Names hold no slash, so it is unique. */
export const logKey = ({ topic, scope }: LogName): string => `${topic}/${scope}`

/** The log that a `logKey` names. */
export function parseLogKey(key: string): LogName {
  const slash = key.indexOf('/')
  return { topic: key.slice(0, slash), scope: key.slice(slash + 1) }
}

/** What an app hands to `append`: an event before it has an id. Built by `topic.stream(name).Type(data)`. */
export interface Draft<
  Topic extends string = string,
  Type extends string = string,
  Data = unknown,
> {
  readonly topic: Topic
  readonly stream: string
  readonly type: Type
  readonly version: number
  readonly data: Data
}

/** What the author says of an event. These fields travel as one line of JSON, and those bytes are never changed. */
export interface Claim<Type extends string = string, Data = unknown> {
  readonly id: EventId
  /** The entity inside the log, `sku-42`: the unit of order and of concurrency. */
  readonly stream: string
  readonly type: Type
  /** The version of the type's schema, from 1. */
  readonly version: number
  readonly data: Data
  /** When it happened by the author's clock, in ms since 1970. Claimed: never used for an order. */
  readonly occurredAt: number
  /** The event that this one answers. */
  readonly causationId?: EventId | undefined
  /** The conversation that this event belongs to: the id of the first event in it, where it is left out. */
  readonly correlationId?: string | undefined
  /** W3C Trace Context. */
  readonly traceparent?: string | undefined
}

/** An immutable fact of one log. */
export interface DomainEvent<Type extends string = string, Data = unknown>
  extends LogName, Claim<Type, Data> {
  /** Who appended it: what the gateway's `authenticate` returned, or the name of the service that published it. */
  readonly author: string
}

/** Where an entry came into the log: a client's submit, or a message from the broker. */
export type Source = 'client' | 'broker'

/** An event with its place in the log. */
export interface Entry<Type extends string = string, Data = unknown> extends DomainEvent<
  Type,
  Data
> {
  readonly position: Position
  /** The event's place in its stream: 1, 2, 3, … */
  readonly revision: number
  /** When the gateway appended it, in ms since 1970. Never goes back within a log. */
  readonly receivedAt: number
  readonly source: Source
  /** The id of the first event of its batch, where the batch had several: they stand side by side. */
  readonly batch?: EventId
}

/** Where a reader of a log stands: after the entry `id` at `position`. The entry is checked, so a restored log is noticed. */
export interface Cursor {
  readonly epoch: Epoch
  readonly position: Position
  /** Absent only at position 0. */
  readonly id?: EventId | undefined
  /** Of that entry. A restored log may have taken it at the same position again, behind others than before. */
  readonly receivedAt?: number | undefined
}

/** Why an event was refused. */
export type Refusal = {
  [Code in ErrorCode]: { readonly code: Code; readonly details: ErrorDetails[Code] }
}[ErrorCode]

/** The gateway's final answer on one event: the same for the same id, for ever. */
export type Verdict =
  | { readonly type: 'accepted'; readonly position: Position; readonly revision: number }
  | { readonly type: 'refused'; readonly refusal: Refusal }

/** Anything with these characters and nothing else may name a topic, a scope or an event type. */
export const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]*$/
/** A UUID in lower case. */
export const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** The line that an author submits. Its bytes are kept to the last hop. */
export function writeClaim(claim: Claim): string {
  const { id, stream, type, version, data, occurredAt, causationId, correlationId, traceparent } =
    claim
  return JSON.stringify({
    id,
    stream,
    type,
    version,
    occurredAt,
    causationId,
    correlationId,
    traceparent,
    data,
  })
}

/** What the gateway adds to a claim when it appends it. */
export interface Placement {
  readonly position: number
  readonly revision: number
  readonly receivedAt: number
  readonly source: Source
  readonly author: string
  readonly batch?: string | undefined
}

/** The line that a subscriber reads: the placement, with the author's own bytes spliced in unread. */
export function writeEntry(placement: Placement, claimLine: string): string {
  const { position, revision, receivedAt, source, author, batch } = placement
  // Written by hand, since each event passes here: `author` alone may hold what JSON has to escape.
  const where = `"position":${position},"revision":${revision},"receivedAt":${receivedAt}`
  const whose = `"source":"${source}","author":${JSON.stringify(author)}`
  const inBatch = batch === undefined ? '' : `,"batch":"${batch}"`
  return `{${where},${whose}${inBatch},"event":${claimLine}}`
}
