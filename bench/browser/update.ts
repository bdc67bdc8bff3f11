/** From an append to the snapshot that somebody who subscribes to a model gets. */
import { type Cancel, system } from '@tidemark/shared'
import { quantile } from '../bench.ts'
import { inventory, makeData } from '../inventory.ts'
import { fillDevice } from './apply.ts'
import { keysCount, offline, openStock } from './device.ts'

const user = 'update'
const warmups = 10

/** Times of many appends, in ms. */
export interface Update {
  readonly p50: number
  readonly p95: number
}

type Device = ReturnType<typeof openStock>

/** Makes the device. */
export const updateFill = (): Promise<void> => fillDevice(user, keysCount)

/** Appends to one key after the other, while somebody looks at all of them in the order of an index. */
export const updateList = (count: number): Promise<Update> =>
  measureUpdates(count, (client) => client.model.stock.list({ orderBy: 'picked' }))

/** Appends to one key after the other, while somebody looks at that one. */
export const updateKey = (count: number): Promise<Update> =>
  measureUpdates(count, (client, key) => client.model.stock(key))

/** What both have of `Live`. */
interface Looked {
  getSnapshot(): unknown
  subscribe(changed: () => void): Cancel
}

async function measureUpdates(
  count: number,
  lookAt: (client: Device, key: string) => Looked,
): Promise<Update> {
  const client = openStock(user, offline)
  await isReady(client)
  const times: number[] = []
  for (let n = 0; n < warmups + count; n += 1) {
    // All over the keys, and so all over the list.
    const key = `sku-${(n * 7_919) % keysCount}`
    times.push(await measureUpdate(client, key, lookAt(client, key)))
    await system.breathe()
  }
  await client.close()
  const measured = times.slice(warmups)
  return { p50: quantile(measured, 0.5), p95: quantile(measured, 0.95) }
}

async function measureUpdate(client: Device, key: string, looked: Looked): Promise<number> {
  const before = looked.getSnapshot()
  const heard = new Promise<number>((resolve) => {
    const stop = looked.subscribe(() => {
      if (looked.getSnapshot() === before) return
      stop()
      resolve(performance.now())
    })
  })
  const startMs = performance.now()
  await client.append(inventory.stream(key).StockPicked(makeData(1)))
  return (await heard) - startMs
}

async function isReady(client: Device): Promise<void> {
  const list = client.model.stock.list()
  await new Promise<void>((resolve) => {
    const look = (): void => {
      if (list.getSnapshot().items.length !== keysCount) return
      stop()
      resolve()
    }
    const stop = list.subscribe(look)
    look()
  })
}
