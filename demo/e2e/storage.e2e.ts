import type { CDPSession, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readDevice, readLog } from './evidence.ts'
import { bookOn, fillIn, goOffline, goOnline, openItem, outboxSays } from './hands.ts'
import { type Rig, startSmallRig, synced } from './rig.ts'

let rig: Rig
let tablet: Page
let devTools: CDPSession

/** Runs before the page does: counts what is asked of the browser, and keeps its connections to the database. */
const watch = `
  window.asked = 0
  const { persist } = StorageManager.prototype
  StorageManager.prototype.persist = function () {
    window.asked += 1
    return persist.call(this)
  }
  window.connections = []
  const { transaction } = IDBDatabase.prototype
  IDBDatabase.prototype.transaction = function (...given) {
    if (!window.connections.includes(this)) window.connections.push(this)
    return transaction.apply(this, given)
  }
`

/** What the browser gives the app: its own files, and room for some events. */
const quotaSize = 2_000_000
const setQuota = (limit?: { readonly quotaSize: number }) =>
  devTools.send('Storage.overrideQuotaForOrigin', { origin: rig.world.url, ...limit })

beforeAll(async () => {
  rig = await startSmallRig({ 'sku-1': 10 })
  tablet = await rig.open('a', {
    async before(page) {
      await page.addInitScript(watch)
      devTools = await page.context().newCDPSession(page)
      await setQuota({ quotaSize })
    },
  })
})
afterAll(() => rig?.close())

const status = () => tablet.evaluate(() => window.tidemark.status.getSnapshot())
const asked = () => tablet.evaluate<number>('window.asked')
const logLength = () => readLog(rig.dataFolder).length

/** Leaves the app, deletes its database, and comes back, as after a browser has made room. */
async function evict(): Promise<void> {
  await tablet.goto(`${rig.world.url}/tidemark.svg`)
  await tablet.evaluate(async () => {
    for (const { name = '' } of await indexedDB.databases()) {
      await new Promise((resolve, reject) => {
        const request = indexedDB.deleteDatabase(name)
        request.addEventListener('success', resolve)
        request.addEventListener('error', reject)
      })
    }
  })
  await tablet.goto(`${rig.world.url}/device.html?device=a`)
}

/** Fills what is left of the browser's room, to the last hundred bytes. */
async function fillDisk(): Promise<void> {
  const filler = await new Promise<IDBDatabase>((resolve) => {
    const request = indexedDB.open('filler')
    request.onupgradeneeded = () =>
      request.result.createObjectStore('bytes', { autoIncrement: true })
    request.onsuccess = () => resolve(request.result)
  })
  for (let bytes = 50_000; bytes >= 50; bytes /= 10) {
    let fits = true
    while (fits) {
      const tx = filler.transaction('bytes', 'readwrite')
      tx.objectStore('bytes').add(crypto.getRandomValues(new Uint8Array(Math.min(bytes, 65_536))))
      fits = await new Promise((resolve) => {
        tx.oncomplete = () => resolve(true)
        tx.onabort = () => resolve(false)
      })
    }
  }
  filler.close()
}

test('[E1] the browser is asked to keep the database at the first unsynced append, and once', async () => {
  expect([await asked(), (await status()).persisted]).toEqual([0, undefined])
  await bookOn(tablet, 'sku-1', 'Receive', 1)
  await expect.poll(async () => typeof (await status()).persisted).toBe('boolean')
  expect(await asked()).toBe(1)
  await bookOn(tablet, 'sku-1', 'Pick', 1)
  await synced(tablet)
  expect(await asked()).toBe(1)
})

test('[E2] a database that was deleted behind the page’s back is said, with what went with it, until somebody has read it', async () => {
  await goOffline(tablet)
  await bookOn(tablet, 'sku-1', 'Receive', 1)
  await bookOn(tablet, 'sku-1', 'Receive', 2)
  await outboxSays(tablet, '2 waiting')
  // It is written down once a second at most.
  const key = 'tidemark-demo-a/ada/harbour/unsynced'
  const remembered = () => tablet.evaluate((name) => localStorage.getItem(name), key)
  await expect.poll(remembered).toContain('"events":2')
  await evict()
  const said = tablet.getByText('This browser deleted 2 bookings that had not been sent')
  await said.waitFor()
  await tablet.reload()
  await said.waitFor()
  await tablet.getByRole('button', { name: 'Understood' }).click()
  await said.waitFor({ state: 'detached' })
  // Deleted without a loss is nothing to speak of.
  await goOnline(tablet)
  await evict()
  await synced(tablet)
  expect((await status()).lost).toBe(undefined)
})

test('[E4] site data that is cleared while the page is open is said; the page takes nothing more until it is loaded again', async () => {
  await openItem(tablet, 'sku-1')
  const storage = { origin: rig.world.url, storageTypes: 'indexeddb' }
  await devTools.send('Storage.clearDataForOrigin', storage)
  await fillIn(tablet, 'Receive', 1)
  await tablet.getByText('Storage: STORE_DELETED').waitFor()
  await tablet.getByText('Nothing was booked.').waitFor()
  const before = logLength()
  await tablet.reload()
  await synced(tablet)
  await bookOn(tablet, 'sku-1', 'Receive', 1)
  await synced(tablet)
  expect(logLength()).toBe(before + 1)
})

test('[A1] on a full disk a booking says so and is not there; what was stored before is, and once there is room it goes on without a reload', async () => {
  await goOffline(tablet)
  await bookOn(tablet, 'sku-1', 'Receive', 1)
  await tablet.evaluate(fillDisk)
  await openItem(tablet, 'sku-1')
  await fillIn(tablet, 'Receive', 2)
  await tablet.getByText('This device is full. Nothing was booked').waitFor()
  await tablet.getByText('Storage: STORAGE_FULL').waitFor()
  await outboxSays(tablet, '1 waiting')
  expect((await readDevice(tablet)).outbox).toHaveLength(1)
  await setQuota()
  await fillIn(tablet, 'Receive', 3)
  await outboxSays(tablet, '2 waiting')
  const before = logLength()
  await goOnline(tablet)
  expect(logLength()).toBe(before + 2)
  expect((await status()).storage).toBe('ok')
})

test('[A8] a connection to the database that is lost behind the page’s back is opened again, and nobody notices', async () => {
  await goOffline(tablet)
  await bookOn(tablet, 'sku-1', 'Receive', 1)
  const closed = await tablet.evaluate<number>(
    'window.connections.splice(0).map((each) => each.close()).length',
  )
  expect(closed).toBeGreaterThan(0)
  await bookOn(tablet, 'sku-1', 'Receive', 2)
  await outboxSays(tablet, '2 waiting')
  await tablet.evaluate('window.connections.splice(0).map((each) => each.close()).length')
  const before = logLength()
  await goOnline(tablet)
  expect(logLength()).toBe(before + 2)
  expect((await status()).storage).toBe('ok')
  expect((await readDevice(tablet)).outbox).toEqual([])
})

test('[S1] a service worker that is stopped takes nothing with it: what waits is the page’s to send', async () => {
  await goOffline(tablet)
  await bookOn(tablet, 'sku-1', 'Receive', 1)
  await devTools.send('ServiceWorker.enable')
  await devTools.send('ServiceWorker.stopAllWorkers')
  const before = logLength()
  await goOnline(tablet)
  expect(logLength()).toBe(before + 1)
})
