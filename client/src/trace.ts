/**
 * The way of one event, from this device to whatever answered it, as far as this device knows. What comes
 * back to a device is events, so the chain is still there hours later and after a reload.
 */
import {
  type Claim,
  type Denial,
  type DomainEvent,
  type Entry,
  type EventId,
  parseClaim,
  type Position,
} from '@tidemark/shared'
import type { Client } from './client.ts'
import { type Inside, insideOf } from './inside.ts'
import { findVerdict } from './lookup.ts'
import type { ModelView } from './model-view.ts'
import type { PublishedLog } from './replica.ts'
import { searchEntries } from './search.ts'
import type { Refusal } from './store/store.ts'

/** One step on the way of an event. Times are in ms since 1970. */
export type TraceStep =
  /** By the author's clock. */
  | { readonly type: 'appended'; readonly at: number }
  /**
   * Handed to a link; the answer may still be on its way. What was refused has this step too, also where the
   * device itself refused it before any link had it.
   */
  | { readonly type: 'submitted' }
  | { readonly type: 'accepted'; readonly position: Position; readonly revision: number }
  | { readonly type: 'refused'; readonly refusal: Refusal<Denial> }
  /** A command was decided again: go on with these events. */
  | { readonly type: 'superseded'; readonly by: readonly EventId[] }
  | { readonly type: 'withdrawn' }
  /** The gateway has brought it to the broker. Known while there is a link, and after the gateway has said it again. */
  | { readonly type: 'published' }
  /** The broker did not take its stream: the gateway has set that aside. */
  | { readonly type: 'parked'; readonly code: string }
  /** What named it as its cause: an answer, what took it back, or a consumer's word that it was set aside. */
  | { readonly type: 'answered' | 'compensated' | 'dead-lettered'; readonly by: Entry }

/** The way of an event. */
export interface Trace {
  readonly id: EventId
  /** The event that it answers. That may be one that this device does not hold. */
  readonly causationId?: EventId
  /** In order; empty where this device knows nothing of the event. */
  readonly steps: readonly TraceStep[]
}

interface Found {
  /** The entry of the event, where this device holds it. */
  readonly entry: Entry | undefined
  /** The entries that name it as their cause, in the order of their logs. */
  readonly effects: readonly Entry[]
}

/**
 * The way of an event, from its append to what answered it, after a reload too. Rejects with one of the
 * `STORAGE_` codes.
 *
 * @example
 * const { steps } = await trace(client, id)
 */
export async function trace(client: Pick<Client, 'verdict'>, id: EventId): Promise<Trace> {
  const inside = insideOf(client)
  const { replica } = inside
  const knowledge = await findVerdict(inside, id)
  const { entry, effects } = await search(inside, id)
  const claim = entry ?? claimOf(inside, id)
  const steps: TraceStep[] = []
  if (claim) steps.push({ type: 'appended', at: claim.occurredAt })
  const isJudged = knowledge.type === 'accepted' || knowledge.type === 'refused'
  if (isJudged || replica.outbox.isSubmitted(id)) steps.push({ type: 'submitted' })
  if (knowledge.type !== 'pending' && knowledge.type !== 'unknown') steps.push(knowledge)
  const published = entry && toPublished(entry, replica.publishedOf(entry))
  if (published) steps.push(published)
  for (const by of effects) steps.push({ type: typeOf(inside, entry, by), by })
  const causationId = claim?.causationId
  return { id, ...(causationId !== undefined && { causationId }), steps }
}

async function search({ store, logs }: Inside, id: EventId): Promise<Found> {
  const found: Entry[] = []
  for (const log of logs) {
    found.push(...(await searchEntries(store, log, id)).map((each) => each.entry))
  }
  return {
    entry: found.find((each) => each.id === id),
    effects: found.filter((each) => each.causationId === id),
  }
}

/** The event as the outbox or the list of refused ones has it. */
function claimOf({ replica }: Inside, id: EventId): Claim | undefined {
  const pending = replica.outbox.batchOf(id)?.events.find((each) => each.id === id)
  const refused = replica.refused.getSnapshot().find((each) => each.id === id)
  return pending ?? (refused && parseClaim(refused.line))
}

/** Events that come from the broker are there already. */
function toPublished(
  { source, position, stream, revision }: Entry,
  published: PublishedLog | undefined,
): TraceStep | undefined {
  if (source === 'broker') return { type: 'published' }
  if (!published || position > published.upTo) return undefined
  const parked = published.parked.find((each) => each.stream === stream)
  if (!parked || revision < parked.fromRevision) return { type: 'published' }
  return { type: 'parked', code: parked.code }
}

function typeOf(
  { views }: Inside,
  entry: DomainEvent | undefined,
  by: Entry,
): 'answered' | 'compensated' | 'dead-lettered' {
  if (by.type === 'tidemark.DeadLettered') return 'dead-lettered'
  const isTakenBack =
    entry && by.source === 'client' && views.some((view) => isCompensation(view, entry, by))
  return isTakenBack ? 'compensated' : 'answered'
}

/** Is this what a model declares to take an event back? */
function isCompensation(view: ModelView, event: DomainEvent, by: DomainEvent): boolean {
  const { topic, compensations } = view.model
  const compensation = topic.name === event.topic ? compensations[event.type] : undefined
  if (!compensation || by.stream !== event.stream) return false
  try {
    return [compensation(event, topic.stream(event.stream))]
      .flat()
      .some(({ type }) => type === by.type)
  } catch (error) {
    view.degrade(error)
    return false
  }
}
