import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { idsAndHashes, readDevice, readHead, readLog } from './evidence.ts'
import { bookOn } from './hands.ts'
import { type PlainTab, startPlainBrowser } from './plain-browser.ts'
import { eventually, reaches, type Rig, startSmallRig, synced } from './rig.ts'

const failoverMsMax = 5_000

let rig: Rig

beforeAll(async () => {
  rig = await startSmallRig({ 'sku-1': 10 })
})
afterAll(() => rig?.close())

const sessions = async (): Promise<number> => {
  const response = await fetch(`${rig.world.url}/readyz`)
  return (await response.json()).sessions
}
const connectionsAre = (count: number) => expect.poll(sessions, { timeout: 5_000 }).toBe(count)
const leads = (tab: Page) => tab.evaluate(() => window.tidemark.status.getSnapshot().leader)
/** Goes back to the page that was left, or to one that was loaded in its place. */
async function comeBack(tab: Page): Promise<void> {
  await tab.goBack({ waitUntil: 'commit' })
  await tab.waitForFunction(() => window.tidemark)
}

test('[T9] a page that is kept for the way back has no connection, keeps what waits, and catches up when it is back', async () => {
  const [tablet, laptop] = await Promise.all([
    rig.open('a', { keepsLeftPages: true }),
    rig.open('b'),
  ])
  await connectionsAre(2)
  const openedAt = await tablet.evaluate(() => performance.timeOrigin)
  await tablet.goto(`${rig.world.url}/tidemark.svg`)
  await connectionsAre(1)
  await bookOn(laptop, 'sku-1', 'Receive', 5)
  await synced(laptop)
  await comeBack(tablet)
  // It is the same page: the browser had no reason to throw it away, and nothing was loaded anew.
  expect(await tablet.evaluate(() => performance.timeOrigin)).toBe(openedAt)
  await reaches(tablet, readHead(rig.dataFolder))
  await synced(tablet)
  await bookOn(tablet, 'sku-1', 'Pick', 1)
  await synced(tablet)
  const log = readLog(rig.dataFolder)
  expect(idsAndHashes((await readDevice(tablet)).entries)).toEqual(idsAndHashes(log))
  await connectionsAre(2)
  await Promise.all([tablet.context().close(), laptop.context().close()])
})

test('[T9] a leader that is left for the way back is replaced, and leaves the lead to the next when it is back', async () => {
  const leader = await rig.open('a', { keepsLeftPages: true })
  const other = await leader.context().newPage()
  await other.goto(leader.url())
  await synced(other)
  expect([await leads(leader), await leads(other)]).toEqual([true, false])
  const leftAt = performance.now()
  await leader.goto(`${rig.world.url}/tidemark.svg`)
  await eventually(async () => (await leads(other)) || undefined, 'the other one leads')
  expect(performance.now() - leftAt).toBeLessThan(failoverMsMax)
  await bookOn(other, 'sku-1', 'Receive', 5)
  await synced(other)
  await comeBack(leader)
  await reaches(leader, readHead(rig.dataFolder))
  await expect.poll(async () => [await leads(leader), await leads(other)]).toEqual([false, true])
  await connectionsAre(1)
  await leader.context().close()
})

test('[T7, T9] a hidden leader that the browser really freezes is replaced within 5 s by the tab in front, and wakes up as a follower', async () => {
  const browser = await startPlainBrowser()
  try {
    const url = `${rig.world.url}/device.html?device=a`
    const status = 'window.tidemark?.status.getSnapshot()'
    const isTrue = (tab: PlainTab, expression: string, what: string) =>
      eventually(async () => (await tab.evaluate<boolean>(expression)) || undefined, what)
    const online = `${status}?.link === 'online' && ${status}.pending === 0`
    const hidden = await browser.open(url)
    await isTrue(hidden, `${online} && ${status}.leader`, 'the first tab leads')
    const seen = await browser.open(url)
    await isTrue(seen, online, 'the second tab is online')
    expect(await hidden.evaluate('document.visibilityState')).toBe('hidden')
    await hidden.evaluate('(window.ticks = 0, setInterval(() => window.ticks++, 100), 0)')

    const frozenAt = performance.now()
    await hidden.setFrozen(true)
    await isTrue(seen, `${status}.leader`, 'the tab in front leads')
    expect(performance.now() - frozenAt).toBeLessThan(failoverMsMax)
    const receive = `{topic: 'inventory', stream: 'sku-1', type: 'StockReceived', version: 1, data: {quantity: 5}}`
    await seen.evaluate(`window.tidemark.append(${receive}).then(() => 0)`)
    await isTrue(seen, online, 'what was appended is accepted')
    // A transaction that the other one is frozen in would hold this up for a minute.
    expect(performance.now() - frozenAt).toBeLessThan(2 * failoverMsMax)
    const before = await hidden.evaluate<number>('window.ticks')
    expect(await hidden.evaluate<boolean>(`${status}.leader`)).toBe(false)
    await connectionsAre(1)

    await hidden.setFrozen(false)
    await isTrue(hidden, `window.ticks > ${before}`, 'it goes on')
    await isTrue(
      hidden,
      `${status}.logs.inventory.position === ${readHead(rig.dataFolder)}`,
      'it has what came meanwhile',
    )
    expect(await hidden.evaluate<boolean>(`${status}.leader`)).toBe(false)
    expect(await seen.evaluate<boolean>(`${status}.leader`)).toBe(true)
    expect(readLog(rig.dataFolder).at(-1)).toMatchObject({ type: 'StockReceived', author: 'ada' })
  } finally {
    await browser.close()
  }
})
