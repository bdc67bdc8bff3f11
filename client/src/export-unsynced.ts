/** What waits on this device, as a file: for another device, or for the gateway itself. */
import { type System, writeRescue } from '@tidemark/shared'
import type { Store } from './store/store.ts'

/** What exporting needs. */
export interface ExportPorts {
  readonly store: Store
  readonly system: System
  readonly user: string
  readonly scope: string
}

/** Writes the file. Everything that is durable when it is called is in it; nothing leaves the outbox. */
export async function exportUnsynced({ store, system, user, scope }: ExportPorts): Promise<string> {
  const { clientId } = await store.open()
  const { rows } = await store.load({ seq: 0, pending: [], logs: [] }, 0)
  return writeRescue({ clientId, user, scope, exportedAt: system.now() }, rows)
}
