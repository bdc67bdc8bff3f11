import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { doubles, idsAndHashes, readDevice, readLog } from './evidence.ts'
import { bookOn, fillIn, goOffline, goOnline, onHand, openItem, outboxSays } from './hands.ts'
import { type Rig, startSmallRig, synced } from './rig.ts'

let rig: Rig
let tablet: Page

beforeAll(async () => {
  rig = await startSmallRig({ 'sku-1': 10, 'sku-2': 10 })
  tablet = await rig.open('a')
})
afterAll(() => rig?.close())

/** Signs out who is there, keeping what they have not sent, and somebody else in. */
async function signIn(user: 'ada' | 'ben', name: string): Promise<void> {
  await tablet.getByLabel('Signed in').selectOption({ label: name })
  await tablet.waitForURL(`**user=${user}`)
  await expect
    .poll(() => tablet.evaluate(() => window.tidemark.status.getSnapshot().storage))
    .toBe('ok')
}

const waits = (user: string) => readDevice(tablet, 'inventory', user)
const by = (author: string) => readLog(rig.dataFolder).filter((trace) => trace.author === author)

test('[U1] two people share a tablet without a network: five are one’s and three the other’s, on the device and in the log', async () => {
  // Ben has worked on it before: his own database knows the items.
  await signIn('ben', 'Ben')
  await synced(tablet)
  await signIn('ada', 'Ada')
  await synced(tablet)
  await tablet.waitForFunction(
    async () => navigator.serviceWorker.controller && (await caches.match('/device.html')),
  )
  await goOffline(tablet)
  await tablet.context().setOffline(true)

  for (let n = 1; n <= 5; n++) {
    await bookOn(tablet, 'sku-1', 'Receive', n)
    await outboxSays(tablet, `${n} waiting`)
  }
  await signIn('ben', 'Ben')
  await outboxSays(tablet, 'Nothing waiting')
  expect(await onHand(tablet, 'sku-1')).toBe(10)
  for (let n = 1; n <= 3; n++) {
    await bookOn(tablet, 'sku-1', 'Pick', n)
    await outboxSays(tablet, `${n} waiting`)
  }
  expect(await onHand(tablet, 'sku-1')).toBe(4)
  const [adas, bens] = [(await waits('ada')).outbox, (await waits('ben')).outbox]
  expect([new Set(adas).size, new Set(bens).size, new Set([...adas, ...bens]).size]).toEqual([
    5, 3, 8,
  ])

  // Both return. Each sends what is theirs, and nothing of the other's.
  await tablet.context().setOffline(false)
  await goOnline(tablet)
  expect([by('ada'), by('ben').map(({ id }) => id)]).toEqual([[], bens])
  expect((await waits('ada')).outbox).toEqual(adas)
  await signIn('ada', 'Ada')
  await synced(tablet)
  expect(by('ada').map(({ id }) => id)).toEqual(adas)
  expect(by('ben').map(({ id }) => id)).toEqual(bens)
  const log = readLog(rig.dataFolder)
  expect(doubles(log)).toEqual([])
  const { entries, outbox, refused } = await waits('ada')
  expect(idsAndHashes(entries)).toEqual(idsAndHashes(log))
  expect([outbox, refused]).toEqual([[], []])
  expect(await onHand(tablet, 'sku-1')).toBe(10 + 15 - 6)
})

test('[U1] what one was refused is on nobody else’s list', async () => {
  await signIn('ben', 'Ben')
  await synced(tablet)
  await openItem(tablet, 'sku-2')
  await fillIn(tablet, 'Count', 99)
  await tablet.getByRole('link', { name: '1 refused' }).waitFor()
  await signIn('ada', 'Ada')
  await synced(tablet)
  expect(await tablet.getByRole('link', { name: '1 refused' }).count()).toBe(0)
  expect(await tablet.evaluate(() => window.tidemark.refused.getSnapshot())).toEqual([])
  expect([(await waits('ada')).refused.length, (await waits('ben')).refused.length]).toEqual([0, 1])
  await signIn('ben', 'Ben')
  await tablet.getByRole('link', { name: '1 refused' }).waitFor()
})
