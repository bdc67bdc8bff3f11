/** What an app does about refused events beside discarding them: append another in its place, or take back what was done. */
import {
  type Denial,
  type DomainEvent,
  type Draft,
  type EventId,
  parseClaim,
  TidemarkError,
} from '@tidemark/shared'
import { type Appended, type AppendOptions, toAppended } from './append.ts'
import type { Client } from './client.ts'
import { type Inside, insideOf } from './inside.ts'
import { prepare } from './prepare.ts'
import type { Refused } from './store/store.ts'

/**
 * Appends other events in the place of a refused one, which leaves the list in the same transaction; they
 * name it as their cause. Rejects with `NOT_REFUSED`, and with what `append` rejects with.
 *
 * @example
 * await resubmit(client, refused.id, inventory.stream('sku-1').StockPicked({ quantity: 1 }))
 */
export async function resubmit(
  client: Pick<Client, 'status'>,
  id: EventId,
  drafts: Draft | readonly Draft[],
  options: Omit<AppendOptions, 'causationId'> = {},
): Promise<Appended> {
  const inside = insideOf(client)
  const refused = await find(inside, id)
  return append(inside, refused, 'topic' in drafts ? [drafts] : drafts, options)
}

/**
 * Takes back what an accepted event has done that a consumer has set aside, by what its model declares as
 * compensation. Rejects with `NOT_REFUSED`, `NO_COMPENSATION`, and with what `append` rejects with.
 */
export async function compensate(client: Pick<Client, 'status'>, id: EventId): Promise<Appended> {
  const inside = insideOf(client)
  const refused = await find(inside, id)
  return append(inside, refused, compensationOf(inside, refused), {})
}

async function find({ replica, catchUp }: Inside, id: EventId): Promise<Refused<Denial>> {
  await catchUp()
  const refused = replica.refused.getSnapshot().find((each) => each.id === id)
  if (!refused) throw new TidemarkError('NOT_REFUSED', { id })
  return refused
}

/** Appends what answers a refused event, in the conversation that it belongs to. */
async function append(
  inside: Inside,
  { id, line }: Refused<Denial>,
  drafts: readonly Draft[],
  options: AppendOptions,
): Promise<Appended> {
  const { correlationId = id } = parseClaim(line)
  const ties = { correlationId, ...options, causationId: id }
  const prepared = prepare(inside, drafts, ties, options)
  const { durability } = options
  return toAppended(
    await inside.writer.write({ prepare: () => prepared, durability, resolves: [id] }),
  )
}

/** What was refused has done nothing that could be taken back; what is set aside was accepted. */
function compensationOf(
  { views, user }: Inside,
  { topic, scope, line, refusal }: Refused<Denial>,
): readonly Draft[] {
  if (refusal.code !== 'DEAD_LETTERED') {
    throw new TidemarkError('NO_COMPENSATION', { reason: 'it was never accepted' })
  }
  const event: DomainEvent = { topic, scope, author: user, ...parseClaim(line) }
  for (const { model } of views) {
    const compensation = model.topic.name === topic ? model.compensations[event.type] : undefined
    if (!compensation) continue
    const drafts = compensation(event, model.topic.stream(event.stream))
    return Array.isArray(drafts) ? (drafts as readonly Draft[]) : [drafts as Draft]
  }
  throw new TidemarkError('NO_COMPENSATION', { reason: `no model declares one for ${event.type}` })
}
