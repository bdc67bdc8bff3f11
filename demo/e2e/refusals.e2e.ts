import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readDevice, readLog } from './evidence.ts'
import { bookOn, goOffline, goOnline, onHand, openItem, outboxSays } from './hands.ts'
import { eventually, type Rig, startSmallRig, synced } from './rig.ts'

let rig: Rig
let ada: Page
let ben: Page

beforeAll(async () => {
  rig = await startSmallRig({ 'sku-1': 3, 'sku-2': 10, 'sku-3': 10 })
  ;[ada, ben] = await Promise.all([rig.open('a'), rig.open('b')])
})
afterAll(() => rig?.close())

const refusedOn = (page: Page) => page.getByRole('link', { name: '1 refused' })
const newOf = (before: number) => readLog(rig.dataFolder).slice(before)
const logLength = () => readLog(rig.dataFolder).length

test('[S5] one refused event stops nothing but itself; it stays over a reload, and goes when it is discarded', async () => {
  const before = logLength()
  await goOffline(ben)
  await bookOn(ben, 'sku-2', 'Count', 99)
  await bookOn(ben, 'sku-2', 'Receive', 1)
  await bookOn(ben, 'sku-3', 'Pick', 2)
  await outboxSays(ben, '3 waiting')
  await goOnline(ben)
  expect(newOf(before).map(({ stream, type }) => `${stream} ${type}`)).toEqual([
    'sku-2 StockReceived',
    'sku-3 StockPicked',
  ])
  await refusedOn(ben).click()
  await ben.reload()
  await ben.getByText('Only Ada may count.').waitFor()
  expect([await onHand(ben, 'sku-2'), await onHand(ben, 'sku-3')]).toEqual([11, 8])
  await ben.getByRole('button', { name: 'Discard' }).click()
  await ben.getByText('Nothing was refused.').waitFor()
  await ben.reload()
  await ben.getByText('Nothing was refused.').waitFor()
  expect((await readDevice(ben)).refused).toEqual([])
})

test('[S11] a pick that came too late is sent again with another quantity, and names the one it replaces', async () => {
  for (const page of [ada, ben]) await goOffline(page)
  await bookOn(ada, 'sku-1', 'Pick', 2)
  await bookOn(ben, 'sku-1', 'Pick', 2)
  await goOnline(ada)
  await goOnline(ben)
  await refusedOn(ben).click()
  await ben.getByText('Somebody was quicker: only 1 on hand.').waitFor()
  const [old] = (await readDevice(ben)).refused
  // Once more without a network: what is edited waits as everything else does.
  await goOffline(ben)
  await ben.getByRole('button', { name: 'Pick 1', exact: true }).click()
  await ben.getByText('Nothing was refused.').waitFor()
  await ben.reload()
  await outboxSays(ben, '1 waiting')
  const before = logLength()
  await goOnline(ben)
  const [again, ...others] = newOf(before)
  expect(others).toEqual([])
  expect(again).toMatchObject({ stream: 'sku-1', author: 'ben', causationId: old })
  expect(again?.id).not.toBe(old)
  expect(await onHand(ben, 'sku-1')).toBe(0)
  expect((await readDevice(ben)).refused).toEqual([])
})

test('[S12] an order that its service has set aside is taken back by whoever placed it, by what the model declares', async () => {
  await openItem(ada, 'sku-3')
  await ada.getByRole('button', { name: 'Order from supplier' }).click()
  await ada.getByRole('combobox', { name: 'Supplier' }).selectOption({ label: 'from Ghost Yard' })
  await ada.getByRole('spinbutton', { name: 'How many to order' }).fill('5')
  await ada.getByRole('button', { name: 'Order 5' }).click()
  await refusedOn(ada).click()
  await ada.reload()
  await ada.getByText('Order desk has set it aside after 3 tries.').waitFor()
  await ada.getByRole('button', { name: 'Take it back' }).click()
  await ada.getByText('Nothing was refused.').waitFor()
  const orders = () => readLog(rig.dataFolder, 'orders')
  await eventually(() => orders().length === 3 || undefined, 'the order is withdrawn')
  const [placed, aside, withdrawn] = orders()
  expect(aside?.type).toBe('tidemark.DeadLettered')
  expect(withdrawn).toMatchObject({
    type: 'OrderWithdrawn',
    author: 'ada',
    causationId: placed?.id,
  })
  await synced(ada)
  await ada.reload()
  await synced(ada)
  expect((await readDevice(ada, 'orders')).refused).toEqual([])
  await openItem(ben, 'sku-3')
  await ben.locator('.order-mark').getByText('Taken back').waitFor()
  await ben.getByText('Nothing was done for it.').waitFor()
})
