/** Takes back what no link can have been handed yet. What may be on its way is the gateway's to judge. */
import type { EventId } from '@tidemark/shared'
import type { Client } from './client.ts'
import { insideOf } from './inside.ts'

/** What became of the wish to take an event back: it is gone with its batch, or it is too late, or not known here as pending. */
export type Withdrawn =
  | { readonly ok: true; readonly ids: readonly EventId[] }
  | { readonly ok: false; readonly code: 'HANDED_OVER' | 'NOT_PENDING' }

/**
 * Takes back an event, and with it the others of its batch, while no link can have been handed it. Rejects with
 * one of the `STORAGE_` codes.
 *
 * @example
 * const { ok } = await withdraw(client, id)
 */
export async function withdraw(client: Pick<Client, 'status'>, id: EventId): Promise<Withdrawn> {
  const { store, replica, catchUp, onWritten, onGap } = insideOf(client)
  await catchUp()
  const batch = replica.outbox.batchOf(id)
  if (!batch) return { ok: false, code: 'NOT_PENDING' }
  // A disk that is full may not have taken it down, and the link was handed it all the same.
  if (replica.outbox.isSubmitted(id)) return { ok: false, code: 'HANDED_OVER' }
  const { topic, scope, seq, events } = batch
  const ids = events.map((event) => event.id)
  const isTaken = await store.withdraw(seq, { type: 'withdrawn', topic, scope, ids, by: [] })
  if (!isTaken) return { ok: false, code: 'HANDED_OVER' }
  onWritten()
  try {
    await catchUp()
  } catch {
    // It is done. This tab shows it as soon as its disk can be read again.
    onGap()
  }
  return { ok: true, ids }
}
