/** What an app does about refused events: append another in its place, take back what was done, or leave it at that. */
import {
  type Denial,
  type DomainEvent,
  type Draft,
  type EventId,
  parseClaim,
  TidemarkError,
} from '@tidemark/shared'
import { type Appended, type AppendOptions, toAppended, type Writer } from './append.ts'
import type { Live } from './live.ts'
import type { ModelView } from './model-view.ts'
import { prepare, type PreparePorts } from './prepare.ts'
import type { Replica } from './replica.ts'
import type { Refused } from './store/store.ts'
import type { Sync } from './sync.ts'

/** The refused events of this device. They stay until the app has dealt with them, over reloads too. */
export interface RefusedList<Denied extends Denial = never> extends Live<
  readonly Refused<Denied>[]
> {
  /** Leaves it at that. */
  discard(...ids: readonly EventId[]): Promise<void>
  /**
   * Appends other events in the place of a refused one, which leaves the list in the same transaction; they
   * name it as their cause. Rejects with `NOT_REFUSED`, and with what `append` rejects with.
   */
  resubmit(
    id: EventId,
    drafts: Draft | readonly Draft[],
    options?: Omit<AppendOptions, 'causationId'>,
  ): Promise<Appended>
  /**
   * Takes back what an accepted event has done that a consumer has set aside, by what its model declares as
   * compensation. Rejects with `NOT_REFUSED`, `NO_COMPENSATION`, and with what `append` rejects with.
   */
  compensate(id: EventId): Promise<Appended>
}

/** What dealing with refused events needs. */
export interface RefusedPorts extends PreparePorts {
  readonly replica: Replica
  readonly views: readonly ModelView[]
  readonly writer: Writer
  readonly sync: Pick<Sync, 'discard' | 'catchUp'>
}

/** Makes the list that apps see. */
export function createRefusedList(ports: RefusedPorts): RefusedList<Denial> {
  const { replica, sync } = ports
  const { getSnapshot, getInitialSnapshot, subscribe } = replica.refused
  return {
    getSnapshot,
    getInitialSnapshot,
    subscribe,
    discard: (...ids) => sync.discard(ids),
    async resubmit(id, drafts, options = {}) {
      const refused = await find(ports, id)
      return append(ports, refused, 'topic' in drafts ? [drafts] : drafts, options)
    },
    async compensate(id) {
      const refused = await find(ports, id)
      return append(ports, refused, compensationOf(ports, refused), {})
    },
  }
}

async function find({ replica, sync }: RefusedPorts, id: EventId): Promise<Refused<Denial>> {
  await sync.catchUp()
  const refused = replica.refused.getSnapshot().find((each) => each.id === id)
  if (!refused) throw new TidemarkError('NOT_REFUSED', { id })
  return refused
}

/** Appends what answers a refused event, in the conversation that it belongs to. */
async function append(
  ports: RefusedPorts,
  { id, line }: Refused<Denial>,
  drafts: readonly Draft[],
  options: AppendOptions,
): Promise<Appended> {
  const { correlationId = id } = parseClaim(line)
  const ties = { correlationId, ...options, causationId: id }
  const prepared = prepare(ports, drafts, ties, options)
  const { durability } = options
  return toAppended(
    await ports.writer.write({ prepare: () => prepared, durability, resolves: [id] }),
  )
}

/** What was refused has done nothing that could be taken back; what is set aside was accepted. */
function compensationOf(
  { views, user }: RefusedPorts,
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
