/** What waits on this device, as a file: for another device, or for the gateway itself. */
import { writeRescue } from '@tidemark/shared'
import type { Client } from './client.ts'
import { insideOf } from './inside.ts'
import { noDisk } from './sync.ts'

/**
 * What waits on this device as a file, for `importUnsynced` of another or `tidemark rescue import`. Everything
 * that is durable when it is called is in it; nothing leaves the outbox. Rejects with one of the `STORAGE_`
 * codes.
 */
export async function exportUnsynced(client: Pick<Client, 'status'>): Promise<string> {
  const { store, system, user, scope } = insideOf(client)
  if (!store) throw noDisk()
  const { clientId } = await store.open()
  const { rows } = await store.load({ seq: 0, pending: [], logs: [] }, Infinity)
  return writeRescue({ clientId, user, scope, exportedAt: system.now() }, rows)
}
