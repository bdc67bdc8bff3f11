import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { doubles, idsAndHashes, readDevice, readLog, readPurchasing } from './evidence.ts'
import { eventually, type Rig, reaches, startRig, synced } from './rig.ts'

let rig: Rig
let ada: Page
let ben: Page

beforeAll(async () => {
  rig = await startRig(join(import.meta.dirname, '../items.csv'))
  ada = await rig.open('a')
  ben = await rig.open('b')
})
afterAll(() => rig?.close())

const sessions = async (): Promise<number> => {
  const response = await fetch(`${rig.world.url}/readyz`)
  return (await response.json()).sessions
}
const network = (page: Page) => page.getByRole('switch', { name: 'Network' })
const outbox = (page: Page) => page.getByTestId('outbox')

test('a booking made offline survives a reload, arrives once, and is answered to both', async () => {
  const before = readLog(rig.dataFolder).length

  // The switch really cuts the socket: the gateway has one session less.
  expect(await sessions()).toBe(2)
  await network(ada).click()
  await eventually(async () => ((await sessions()) === 1 ? true : undefined), 'one session less')

  await ada.getByRole('button', { name: 'Bow shackle, 5 mm, galvanised' }).click()
  await ada.getByRole('button', { name: 'One more' }).click()
  await ada.getByRole('button', { name: 'Pick 2' }).click()
  await ada.getByText('Waiting on this device').waitFor()
  await expect.poll(() => outbox(ada).textContent()).toBe('1 waiting')

  // With the network of the whole browser gone, the page comes from the device itself.
  await ada.waitForFunction(
    async () => navigator.serviceWorker.controller && (await caches.match('/device.html')),
  )
  await ada.context().setOffline(true)
  await ada.reload()
  const reach = () =>
    fetch('/readyz').then(
      () => 'reached',
      () => 'gone',
    )
  expect(await ada.evaluate(reach)).toBe('gone')
  await ada.getByText('Waiting on this device').waitFor()
  await expect.poll(() => outbox(ada).textContent()).toBe('1 waiting')
  const [pick] = (await readDevice(ada)).outbox
  expect(readLog(rig.dataFolder).length).toBe(before)

  await ada.context().setOffline(false)
  await network(ada).click()
  await synced(ada)
  await reaches(ada, before + 2)
  await reaches(ben, before + 2)

  // The purchasing service's event is caused by exactly this pick, in both browsers.
  const log = readLog(rig.dataFolder)
  const answer = log.find(({ type }) => type === 'ReorderRequested')
  expect(answer?.causationId).toBe(pick)
  const [onAda, onBen] = [await readDevice(ada), await readDevice(ben)]
  for (const { entries, outbox: waiting } of [onAda, onBen]) {
    expect(idsAndHashes(entries)).toEqual(idsAndHashes(log))
    expect(doubles(entries)).toEqual([])
    expect(entries.find(({ id }) => id === answer?.id)?.causationId).toBe(pick)
    expect(waiting).toEqual([])
  }
  expect(log.length).toBe(before + 2)
  const effects = readPurchasing(rig.dataFolder)
  expect(effects.filter(({ id }) => id === pick)).toEqual([{ id: pick, type: 'StockPicked' }])
  expect(doubles(effects)).toEqual([])

  // And people can see it.
  await ben.getByRole('button', { name: 'Bow shackle, 5 mm, galvanised' }).click()
  await ben.getByText('In answer to “Picked 2, sold” by Ada').waitFor()
  await ada.getByText('In answer to “Picked 2, sold” by Ada').waitFor()
})

test('a refused count says why, stays over a reload, and goes when it is discarded', async () => {
  await ben.goto(`${rig.world.url}/device.html?device=b#item/sku-0002`)
  await ben.getByRole('radio', { name: 'Count' }).check({ force: true })
  await ben.getByRole('button', { name: 'One more' }).click()
  await ben.getByRole('button', { name: 'Count 37' }).click()
  await ben.getByRole('link', { name: '1 refused' }).click()
  await ben.getByText('Only Ada may count.').waitFor()
  await ben.reload()
  await ben.getByText('Only Ada may count.').waitFor()
  // What was refused is not on the shelf.
  expect(await ben.evaluate(() => window.tidemark.model.item('sku-0002').get()?.onHand)).toBe(36)
  await ben.getByRole('button', { name: 'Discard' }).click()
  await ben.getByText('Nothing was refused.').waitFor()
  expect((await readDevice(ben)).refused).toEqual([])
})

test('over a thousand items are on the shelves, and only those in sight are in the page', async () => {
  await ada.goto(`${rig.world.url}/device.html?device=a`)
  await ada.getByText('1,157 items').waitFor()
  expect(await ada.locator('.row').count()).toBeLessThan(40)
  await ada.locator('.rows').evaluate((rows) => (rows.scrollTop = rows.scrollHeight))
  await ada.getByRole('button', { name: 'sku-1157' }).waitFor()
  expect(await ada.locator('.row').count()).toBeLessThan(40)
})

test('the list is walked with the arrow keys, and a closed item gives the focus back', async () => {
  await ada.goto(`${rig.world.url}/device.html?device=a`)
  await ada.getByRole('button', { name: 'sku-0001' }).focus()
  for (let step = 0; step < 30; step++) await ada.keyboard.press('ArrowDown')
  const focused = ada.locator('.row-open:focus')
  await expect.poll(() => focused.textContent()).toContain('sku-0031')
  await ada.keyboard.press('Enter')
  await ada.getByRole('heading', { name: 'History' }).waitFor()
  await ada.getByRole('button', { name: 'Items' }).click()
  await expect.poll(() => focused.textContent()).toContain('sku-0031')
})

test('the page with both devices ticks off what was tried', async () => {
  const page = await rig.openPanes()
  const device = page.frameLocator('#device-a')
  const current = page.locator('[aria-current="step"]')
  await device.getByText('1,157 items').waitFor()
  await current.getByText('switch the network off').waitFor()
  await device.getByRole('switch', { name: 'Network' }).click()
  await current.getByText('Pick 2').waitFor()
  await device.getByRole('button', { name: 'Bow shackle, 6 mm, galvanised' }).click()
  await device.getByRole('button', { name: 'Pick 1' }).click()
  await current.getByText('Reload').waitFor()
  await page.getByRole('button', { name: 'Reload Ada’s tablet' }).click()
  await current.getByText('Switch the network on').waitFor()
  await device.getByRole('switch', { name: 'Network' }).click()
  await page.getByText('That is all there is to it.').waitFor()
})
