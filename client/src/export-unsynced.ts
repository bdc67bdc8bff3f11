/** What waits on this device, as a file: for another device, or for the gateway itself. */
import { writeRescue } from '@tidemark/shared'
import type { Client } from './client.ts'
import { type Inside, insideOf } from './inside.ts'
import type { Store } from './store/store.ts'

/**
 * What waits on this device as a file, for `importUnsynced` of another or `tidemark rescue import`. Everything
 * that is durable when it is called is in it; nothing leaves the outbox. Rejects with one of the `STORAGE_`
 * codes.
 */
export async function exportUnsynced(client: Pick<Client, 'status'>): Promise<string> {
  const inside = insideOf(client)
  return exportFrom(inside, inside.store)
}

/** The same, from a disk whose client may have ended. */
export async function exportFrom({ system, user, scope }: Inside, store: Store): Promise<string> {
  const { clientId } = await store.open()
  const { rows } = await store.load({ seq: 0, pending: [], logs: [] }, Infinity)
  return writeRescue({ clientId, user, scope, exportedAt: system.now() }, rows)
}
