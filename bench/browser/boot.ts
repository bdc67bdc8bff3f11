/** The start of a page on a device that holds a log and the states of a model. */
import { system } from '@tidemark/shared'
import { fillDevice } from './apply.ts'
import { keysCount, offline, openStock } from './device.ts'
import { countReads, readAll, type Reads } from './requests.ts'

const rowsShown = 100

const userOf = (entries: number): string => `boot-${entries}`

/** Makes a device with a log of so many entries. */
export const bootFill = (entries: number): Promise<void> => fillDevice(userOf(entries), entries)

/** Starts a client and shows the first rows of a list. Says after how many ms a frame had them. */
export async function boot(entries: number): Promise<number> {
  const startMs = performance.now()
  const client = openStock(userOf(entries), offline)
  await showList(client)
  const ms = (await nextFrame()) - startMs
  await client.close()
  return ms
}

/** Starts a client, waits until it leads and has nothing more to read, and says what it has read until then. */
export async function bootReads(entries: number): Promise<Reads> {
  const reads = countReads()
  let onConnected: () => void = () => undefined
  const connected = new Promise<void>((resolve) => (onConnected = resolve))
  const client = openStock(userOf(entries), (...args) => {
    onConnected()
    return offline(...args)
  })
  await showList(client)
  await connected
  await system.breathe()
  const { position } = client.status.getSnapshot().logs['inventory'] ?? {}
  if (position !== entries) throw new Error(`started at position ${position}`)
  await client.close()
  return reads.stop()
}

/** Opens the same database, reads the same states with one `getAll`, and says how many ms that took. */
export async function bootRaw(entries: number): Promise<number> {
  const startMs = performance.now()
  const states = await readAll(userOf(entries), 'states')
  const ms = performance.now() - startMs
  if (states.length !== keysCount) throw new Error(`there are ${states.length} states`)
  return ms
}

async function showList(client: ReturnType<typeof openStock>): Promise<void> {
  const list = client.model.stock.list({ orderBy: 'picked', descending: true, limit: rowsShown })
  await new Promise<void>((resolve) => {
    const show = (): void => {
      const { status, items } = list.getSnapshot()
      if (status !== 'ready') return
      stop()
      document.body.replaceChildren(
        ...items.map(({ key, state }) => {
          const row = document.createElement('p')
          row.textContent = `${key}: ${state.picked}, last for ${state.order}`
          return row
        }),
      )
      resolve()
    }
    const stop = list.subscribe(show)
    show()
  })
  const { length } = document.body.children
  if (length !== rowsShown) throw new Error(`${length} rows are shown`)
}

const nextFrame = (): Promise<number> =>
  new Promise((resolve) => requestAnimationFrame(() => resolve(performance.now())))
