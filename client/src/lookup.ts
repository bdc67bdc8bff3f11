/** Answers about the past, from the disk. */
import {
  type Denial,
  type EntryOf,
  type EventId,
  type LogName,
  parseEntry,
  type Position,
  type Topic,
} from '@tidemark/shared'
import type { Outcome } from './append.ts'
import type { Replica } from './replica.ts'
import { findAccepted } from './search.ts'
import type { Store } from './store/store.ts'

/**
 * What is known of one event: what became of it, `superseded` by the events of a later decision, `pending`
 * before there is an outcome, `unknown` on this device.
 */
export type Knowledge<Denied extends Denial = Denial> =
  | Outcome<Denied>
  | { readonly type: 'superseded'; readonly by: readonly EventId[] }
  | { readonly type: 'pending' }
  | { readonly type: 'unknown' }

/** What looking up needs. */
export interface LookupPorts {
  readonly store: Store
  readonly replica: Replica
  readonly logs: readonly LogName[]
  /** Resolves when everything that is on the disk now is in memory. */
  readonly catchUp: () => Promise<void>
}

/** What one call reads, in bytes. */
const bytesMax = 1_048_576

/** The entries of a topic after a position. */
export async function readEntries<T extends Topic>(
  { store }: LookupPorts,
  { topic, scope }: { readonly topic: T; readonly scope: string },
  after: number,
): Promise<readonly EntryOf<T>[]> {
  const log = { topic: topic.name, scope }
  const { lines } = await store.read(log, after as Position, bytesMax)
  return lines.map((line) => parseEntry(log, line) as EntryOf<T>)
}

/** What became of an event. Searches the entries on the disk where memory does not know. */
export async function findVerdict(ports: LookupPorts, id: EventId): Promise<Knowledge> {
  const { store, replica, logs, catchUp } = ports
  await catchUp()
  if (replica.isPending(id)) return { type: 'pending' }
  const refused = replica.refused.getSnapshot().find((each) => each.id === id)
  // What a consumer has set aside was accepted.
  if (refused && refused.refusal.code !== 'DEAD_LETTERED') {
    return { type: 'refused', refusal: refused.refusal }
  }
  const fate = await store.fate(id)
  if (fate?.type === 'superseded') return { type: 'superseded', by: fate.by }
  if (fate?.refusal) return { type: 'refused', refusal: fate.refusal }
  if (fate) return { type: 'withdrawn' }
  return (await findAccepted(store, logs, id)) ?? { type: 'unknown' }
}
