import { expect, test } from 'vitest'
import { createDisk } from './store/memory.ts'
import { createTestSystem, createTestTabs } from './testing.ts'
import { inventoryLog, openBench, received } from './testing/inventory.ts'

type Tab = ReturnType<typeof openBench>
const status = (tab: Tab) => tab.client.status.getSnapshot()

/** Tabs of one database whose pages the test puts away and brings back. */
function openTabs(count: number, isSeen = true) {
  const disk = createDisk()
  const system = createTestSystem()
  const { locks, broadcast } = createTestTabs()
  return Array.from({ length: count }, () => {
    let tell = (_isAway: boolean): void => undefined
    const hints = {
      listen: () => () => undefined,
      isSeen: () => isSeen,
      onAway(told: (isAway: boolean) => void) {
        tell = told
        return () => (tell = () => undefined)
      },
    }
    const tab = openBench({ disk, system, locks, broadcast: broadcast(), hints })
    return { ...tab, putAway: (isAway: boolean) => tell(isAway) }
  })
}

test('[T9] a leader that the browser puts away lets go of the lead and the link at once, and goes on where it was when it is back', async () => {
  const [a, b] = openTabs(2)
  if (!a || !b) throw new Error('two tabs')
  const log = inventoryLog()
  await a.greet(log)
  await b.client.append(received(5))
  await a.system.settle()
  a.putAway(true)
  expect([status(a).leader, a.connection().closed?.code]).toEqual([false, undefined])
  await a.system.settle()
  expect(a.connection().closed).toEqual({ code: 1000, reason: '' })
  expect([status(a).leader, status(b).leader]).toEqual([false, true])
  await b.greet(log)
  const { events } = b.submit()
  b.connection().send({ type: 'verdicts', n: 1, verdicts: [log.append(events)] }, log.deliver())
  await b.system.settle()
  await a.system.advance(120_000)
  expect([a.connections.length, status(a).leader]).toEqual([1, false])

  a.putAway(false)
  await a.system.settle()
  expect(a.client.model.item('sku-1').getSnapshot()).toMatchObject({
    state: { onHand: 5 },
    pending: 0,
  })
  expect([status(a).leader, status(b).leader]).toEqual([false, true])
  b.putAway(true)
  await a.system.advance(1_000)
  expect([status(a).leader, status(b).leader]).toEqual([true, false])
  for (const tab of [a, b]) await tab.client.close()
})

test('[T9] a tab that is put away while it waits is not given the lead; one that was paused by the app stays so when it is back', async () => {
  const [a, b, c] = openTabs(3)
  if (!a || !b || !c) throw new Error('three tabs')
  await a.greet(inventoryLog())
  b.putAway(true)
  await a.client.close()
  await c.system.settle()
  expect([status(b).leader, status(c).leader]).toEqual([false, true])
  c.client.pause()
  c.putAway(true)
  await c.system.settle()
  b.putAway(false)
  c.putAway(false)
  await b.system.advance(2_000)
  expect([status(b).leader, status(c).leader]).toEqual([true, false])
  await b.client.close()
  await c.system.advance(2_000)
  expect([status(c).leader, status(c).link]).toEqual([false, 'paused'])
  c.client.resume()
  await c.system.advance(2_000)
  expect(status(c).leader).toBe(true)
  await c.client.close()
})

test('[L10] a paused tab says so whatever the link of another does, and says what that does once it is resumed, hidden too', async () => {
  const [a, b] = openTabs(2, false)
  if (!a || !b) throw new Error('two tabs')
  const log = inventoryLog()
  await a.greet(log)
  b.client.pause()
  await b.system.settle()
  a.connection().drop()
  await a.system.advance(2_000)
  await a.greet(log)
  expect([status(a).link, status(b).link]).toEqual(['online', 'paused'])
  b.client.resume()
  await b.system.settle()
  expect([status(a).link, status(b).link]).toEqual(['online', 'online'])
  a.client.pause()
  await b.greet(log)
  expect([status(a).link, status(b).link]).toEqual(['paused', 'online'])
  for (const tab of [a, b]) await tab.client.close()
})
