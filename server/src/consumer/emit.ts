/**
 * Resulting events: what a handler answers with. Their ids follow from the cause, so a repeat is a
 * duplicate; they say what caused them, so the answer finds its way back to who asked.
 */
import {
  type Topic,
  assert,
  type DeadLettered,
  type DomainEvent,
  type Draft,
  type EventId,
  isReservedType,
  TidemarkError,
} from '@tidemark/shared'
import type { Attributes, Broker, Message } from '../broker/broker.ts'
import { sourceOf } from '../cloudevents.ts'
import { deriveId } from './derive.ts'
import type { SagaCause } from './processed/sagas.ts'

/** A resulting event on its way. */
export interface Result {
  readonly topic: string
  readonly message: Message
}

/** Where a resulting event goes, when not to the scope of its cause. */
export interface EmitOptions {
  readonly scope?: string
}

/** Answers with an event. Returned: its id. Throws `SCHEMA_INVALID`, `NOT_JSON`, `KEY_TOO_LONG` or `MESSAGE_TOO_LARGE`. */
export type Emit = (draft: Draft, options?: EmitOptions) => EventId

/** Who answers, and within which bounds. */
export interface Author {
  /** The consumer's name: the author of what it emits. */
  readonly name: string
  /** The topics whose schemas are known here: their drafts are checked before they leave. */
  readonly topics: readonly Topic[]
  readonly limits: Broker['limits']
  now(): number
}

/** What an event says of itself to its results. */
export const causeOf = (event: DomainEvent): SagaCause => ({
  id: event.id,
  topic: event.topic,
  scope: event.scope,
  stream: event.stream,
  correlationId: event.correlationId ?? event.id,
  traceparent: event.traceparent,
})

/** Collects what is emitted for one cause. `seed` tells apart several answers to it: their ids follow from cause, author, seed and index. */
export function createEmit(
  author: Author,
  cause: SagaCause,
  ...seed: readonly (string | number)[]
): { readonly emit: Emit; readonly results: readonly Result[]; end(): void } {
  const results: Result[] = []
  let isOver = false
  return {
    results,
    emit(draft, { scope = cause.scope } = {}) {
      assert(!isOver, 'a handler emits before it returns')
      assert(!isReservedType(draft.type), 'types that begin with tidemark. are not emitted by apps')
      const known = author.topics.find(({ name }) => name === draft.topic)
      known?.check(draft.type, draft.version, draft.data)
      const id = deriveId(cause.id, author.name, ...seed, results.length)
      results.push({ topic: draft.topic, message: toResult(author, cause, id, scope, draft) })
      return id
    },
    end() {
      isOver = true
    },
  }
}

/** The event that tells an author that a consumer has set their event aside. One for each event and consumer. */
export function deadLettered(author: Author, event: DomainEvent, data: DeadLettered): Result {
  const { topic, scope, stream } = event
  const draft: Draft = { topic, stream, type: 'tidemark.DeadLettered', version: 1, data }
  const id = deriveId(event.id, author.name, 'dead-lettered')
  return { topic, message: toResult(author, causeOf(event), id, scope, draft) }
}

function toResult(
  { name, limits, now }: Author,
  cause: SagaCause,
  id: EventId,
  scope: string,
  { topic, stream, type, version, data }: Draft,
): Message {
  const key = `${scope}/${stream}`
  if (key.length > limits.keyLengthMax) {
    throw new TidemarkError('KEY_TOO_LONG', { key, max: limits.keyLengthMax })
  }
  const attributes: Attributes = {
    specversion: '1.0',
    id,
    source: sourceOf({ topic, scope }),
    type,
    subject: stream,
    time: new Date(now()).toISOString(),
    datacontenttype: 'application/json',
    scope,
    schemaversion: String(version),
    author: name,
    causationid: cause.id,
    correlationid: cause.correlationId,
    ...(cause.traceparent === undefined ? {} : { traceparent: cause.traceparent }),
  }
  const body = new TextEncoder().encode(toJson(data))
  const bytes = sizeOf(key, attributes, body)
  if (bytes > limits.messageBytesMax) {
    throw new TidemarkError('MESSAGE_TOO_LARGE', { bytes, max: limits.messageBytesMax })
  }
  return { id, key, attributes, body, correlationId: cause.correlationId }
}

/** What a message weighs with its attributes, generously: the broker has the last word. */
const sizeOf = (key: string, attributes: Attributes, body: Uint8Array): number =>
  Object.entries(attributes).reduce(
    (sum, [name, value]) => sum + name.length + 3 * String(value).length + 32,
    body.byteLength + 3 * key.length + 256,
  )

function toJson(data: unknown): string {
  try {
    return JSON.stringify(data) ?? 'null'
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new TidemarkError('NOT_JSON', { reason }, { cause })
  }
}
