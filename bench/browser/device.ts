/** A device as an app has it, but for the socket. */
import { createClient } from '@tidemark/client'
import { type Connect, model } from '@tidemark/shared'
import { inventory, log } from '../inventory.ts'

/** How many keys the models that are measured have. */
export const keysCount = 10_000

/** What was picked of each stream, and for which order last. */
export const stock = model(inventory, {
  version: 1,
  initial: { picked: 0, order: '' },
  on: {
    StockPicked: ({ picked }, { data }) => ({ picked: picked + data.quantity, order: data.order }),
  },
  indexes: { picked: ({ picked }) => picked },
})

/** A network that never answers: everything stays pending. */
export const offline: Connect = () => ({ send: () => undefined, close: () => undefined })

const optionsOf = (user: string, connect: Connect) => ({
  url: 'ws://gateway.invalid',
  user,
  scope: log.scope,
  connect,
  onError: (error: unknown) => console.error(error),
})

/** A device that reads the log and folds nothing. */
export const openPlain = (user: string, connect: Connect) =>
  createClient({ ...optionsOf(user, connect), topics: [inventory] })

/** A device with a model. */
export const openStock = (user: string, connect: Connect) =>
  createClient({ ...optionsOf(user, connect), models: { stock } })

/** The name of a user's database. */
export const databaseOf = (user: string): string => `tidemark/${user}/${log.scope}`

/** Deletes every database of the page. */
export async function deleteDatabases(): Promise<void> {
  for (const { name } of await indexedDB.databases()) {
    if (name !== undefined) indexedDB.deleteDatabase(name)
  }
}
