/** In a real Chromium: the contract, and what only a real IndexedDB does. */
import { uuidPattern } from '@tidemark/shared'
import { expect, test } from 'vitest'
import { createClient } from '../client.ts'
import { inventory, item, received } from '../testing/inventory.ts'
import { dexieStore } from './dexie.ts'
import { storeContract } from './store.contract.ts'

let places = 0
const nextName = () => `place-${performance.timeOrigin}-${places++}`

storeContract('Dexie in Chromium', () => {
  const name = nextName()
  return { open: () => dexieStore({ name }) }
})

test('[A1] what was appended is there for a client that is opened after the page has gone away', async () => {
  const name = nextName()
  const open = () =>
    createClient({
      url: 'ws://127.0.0.1:9',
      user: 'ann',
      name,
      models: { item },
      onError: () => {},
    })
  const first = open()
  const { ids } = await first.append([received(5), received(2)])
  expect(ids[0]).toMatch(uuidPattern)
  await first.close()
  const second = open()
  const sku = second.model.item('sku-1')
  await new Promise<void>((resolve) => {
    const stop = sku.subscribe(() => (stop(), resolve()))
  })
  expect(sku.getSnapshot()).toMatchObject({ state: { onHand: 7 }, pending: 2 })
  expect(await second.verdict(ids[0]!)).toEqual({ type: 'pending' })
  expect(await second.entries(inventory)).toEqual([])
  await second.close()
})

test('[T1] real tabs of one database have one leader, and the next one takes over', async () => {
  const name = nextName()
  const open = () =>
    createClient({
      url: 'ws://127.0.0.1:9',
      user: 'ann',
      name,
      models: { item },
      onError: () => {},
    })
  const tabs = [open(), open(), open()]
  const leaders = () => tabs.map((tab) => tab.status.getSnapshot().leader)
  const led = (at: number) =>
    expect.poll(() => leaders().indexOf(true), { timeout: 5_000 }).toBe(at)
  await led(0)
  expect(leaders()).toEqual([true, false, false])
  await tabs[2]?.append(received(5))
  await expect.poll(() => tabs[1]?.model.item('sku-1').get()?.onHand).toBe(5)
  await tabs[0]?.close()
  await led(1)
  await tabs[1]?.close()
  await led(2)
  await tabs[2]?.close()
})
