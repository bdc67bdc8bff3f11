import { type Position, TidemarkError } from '@tidemark/shared'
import { expect, test } from 'vitest'
import { createDisk, memoryStore } from './store/memory.ts'
import { createTestSystem, createTestTabs } from './testing.ts'
import { TestGateway } from './testing/gateway.ts'
import {
  foreignLine,
  inventoryLog,
  openBench,
  orders,
  received,
  talk,
} from './testing/inventory.ts'
import { withdraw } from './withdraw.ts'

type Tab = ReturnType<typeof openBench>

function openTabs(count: number) {
  const disk = createDisk()
  const system = createTestSystem()
  const { locks, broadcast } = createTestTabs()
  return Array.from({ length: count }, () =>
    openBench({ disk, system, locks, broadcast: broadcast() }),
  )
}
const status = (bench: ReturnType<typeof openBench>) => bench.client.status.getSnapshot()
const onHand = (bench: ReturnType<typeof openBench>) =>
  bench.client.model.item('sku-1').get()?.onHand

test('[T1] of several tabs one talks to the gateway, every one appends, and all show the same', async () => {
  const [a, b, c] = openTabs(3) as [
    ReturnType<typeof openBench>,
    ReturnType<typeof openBench>,
    ReturnType<typeof openBench>,
  ]
  const log = inventoryLog()
  await a.greet(log)
  expect([a, b, c].map((tab) => tab.connections.length)).toEqual([1, 0, 0])
  expect([a, b, c].map((tab) => status(tab).leader)).toEqual([true, false, false])
  expect([a, b, c].map((tab) => status(tab).link)).toEqual(['online', 'online', 'online'])
  const { settled } = await b.client.append(received(5))
  await a.system.settle()
  expect([onHand(a), onHand(b), onHand(c)]).toEqual([5, 5, 5])
  const seen: unknown[] = []
  const sku = c.client.model.item('sku-1')
  sku.subscribe(() => seen.push([sku.get()?.onHand, sku.getSnapshot().pending]))
  const { events } = a.submit()
  a.connection().send({ type: 'verdicts', n: 1, verdicts: [log.append(events)] })
  a.connection().send(log.deliver())
  expect(await settled).toEqual({ type: 'accepted', position: 1, revision: 1 })
  await a.system.settle()
  expect(seen).toEqual([[5, 0]])
  expect([a, b, c].map((tab) => status(tab).pending)).toEqual([0, 0, 0])
  for (const tab of [a, b, c]) await tab.client.close()
})

/** Lets a tab's transactions of one kind wait. */
function createGate(method: string) {
  let release: (() => void) | undefined
  let isShut = true
  return {
    before: (each: string) =>
      isShut && each === method
        ? new Promise<void>((resolve) => (release = resolve))
        : Promise.resolve(),
    open() {
      isShut = false
      release?.()
    },
  }
}

test('[T1] a tab that appends before it has read the disk hears of the verdict, however far the others are by then', async () => {
  const disk = createDisk()
  const system = createTestSystem()
  const { locks, broadcast } = createTestTabs()
  const leader = openBench({ disk, system, locks, broadcast: broadcast() })
  const log = inventoryLog()
  await leader.greet(log)
  const gate = createGate('checkpoints')
  const late = openBench({ disk, system, locks, broadcast: broadcast(), before: gate.before })
  const { settled } = await late.client.append(received(5))
  await system.settle()
  const verdicts = [log.append(leader.submit().events)]
  leader.connection().send({ type: 'verdicts', n: 1, verdicts }, log.deliver())
  await system.advance(3_000)
  expect([...disk.builds.values()].map(({ checkpoint }) => checkpoint.position)).toEqual([1])
  gate.open()
  await system.settle()
  expect(await settled).toEqual({ type: 'accepted', position: 1, revision: 1 })
  expect([onHand(late), status(late).pending]).toEqual([5, 0])
  for (const tab of [leader, late]) await tab.client.close()
})

test('[T1] a tab that learns at once of a new decision and of its acceptance tells whoever waits', async () => {
  const disk = createDisk()
  const system = createTestSystem()
  const { locks, broadcast } = createTestTabs()
  const gateway = new TestGateway(inventoryLog())
  const leader = openBench({ disk, system, locks, broadcast: broadcast() })
  await talk(gateway, leader)
  await leader.client.append(received(5))
  await talk(gateway, leader)
  const voice = broadcast()
  const other = openBench({ disk, system, locks, broadcast: voice })
  await system.settle()
  gateway.log.append([foreignLine(1)])
  const pick = await other.client.model.item('sku-1').pick({ quantity: 2 })
  if (!pick.ok) throw new Error('denied')
  voice.isFrozen = true
  await talk(gateway, leader)
  expect(disk.fates).toMatchObject([{ type: 'superseded' }])
  voice.isFrozen = false
  await leader.client.append(received(1))
  await system.settle()
  expect(await pick.settled).toMatchObject({ type: 'accepted', position: 3 })
  for (const tab of [leader, other]) await tab.client.close()
})

test('[T2] when the leading tab closes another one takes over, with everything that is pending', async () => {
  const tabs = openTabs(5)
  const log = inventoryLog()
  for (const [n, tab] of tabs.entries()) {
    await tab.greet(log)
    await tabs.at(-1)?.client.append(received(n + 1))
    await tab.system.settle()
    const { events } = tab.submit()
    const verdicts = events.map((line) => log.append([line]))
    tab
      .connection()
      .send({ type: 'verdicts', n: 1, verdicts }, log.deliver(log.head - verdicts.length))
    await tab.system.settle()
    if (n === 4) break
    await tab.client.close()
    await tab.system.advance(1_000)
    expect(tabs.map((each) => status(each).leader).indexOf(true)).toBe(n + 1)
  }
  expect(onHand(tabs[4]!)).toBe(15)
  expect(log.lines).toHaveLength(5)
  await tabs[4]?.client.close()
})

test('[T3] a refusal and its end are seen in every tab', async () => {
  const [a, b] = openTabs(2) as [ReturnType<typeof openBench>, ReturnType<typeof openBench>]
  await a.greet(inventoryLog())
  const { ids, settled } = await b.client.append(received(5))
  await a.system.settle()
  a.submit()
  const refused = { id: ids[0]!, code: 'NOT_ALLOWED' as const, details: { reason: 'no' } }
  a.connection().send({ type: 'verdicts', n: 1, verdicts: [{ refused }] })
  expect(await settled).toMatchObject({ type: 'refused' })
  await a.system.settle()
  expect([a, b].map((tab) => [status(tab).refused, onHand(tab)])).toEqual([
    [1, undefined],
    [1, undefined],
  ])
  await b.client.refused.discard(ids[0]!)
  await a.system.settle()
  expect([a, b].map((tab) => status(tab).refused)).toEqual([0, 0])
  for (const tab of [a, b]) await tab.client.close()
})

test('[T3] an accepted event of a log that nobody reads has settled in every tab', async () => {
  const disk = createDisk()
  const system = createTestSystem()
  const { locks, broadcast } = createTestTabs()
  const [a, b, c] = Array.from({ length: 3 }, () =>
    openBench({ disk, system, locks, broadcast: broadcast(), writeOnly: [orders] }),
  ) as [Tab, Tab, Tab]
  await a.greet(inventoryLog())
  const { settled } = await b.client.append(orders.stream('o-1').OrderPlaced({ text: 'x' }))
  await system.settle()
  expect([a, b, c].map((tab) => status(tab).pending)).toEqual([1, 1, 1])
  a.submit()
  a.connection().send({
    type: 'verdicts',
    n: 1,
    verdicts: [{ position: 7 as Position, revisions: [3] }],
  })
  await system.settle()
  expect([a, b, c].map((tab) => status(tab).pending)).toEqual([0, 0, 0])
  expect(await settled).toEqual({ type: 'accepted', position: 7, revision: 3 })
  for (const tab of [a, b, c]) await tab.client.close()
})

test('[T3] a disk that fails once keeps no tab from learning of a verdict', async () => {
  const disk = createDisk()
  const system = createTestSystem()
  const { locks, broadcast } = createTestTabs()
  const a = openBench({ disk, system, locks, broadcast: broadcast(), writeOnly: [orders] })
  await a.greet(inventoryLog())
  let failures = 1
  const before = async (method: string) => {
    if (method === 'accepted' && failures-- > 0) {
      throw new TidemarkError('STORAGE_LOST', { reason: 'flaky' })
    }
  }
  const b = openBench({
    disk,
    system,
    locks,
    broadcast: broadcast(),
    writeOnly: [orders],
    before,
  })
  const { settled } = await b.client.append(orders.stream('o-1').OrderPlaced({ text: 'x' }))
  await system.settle()
  a.submit()
  const verdict = { position: 7 as Position, revisions: [3] }
  a.connection().send({ type: 'verdicts', n: 1, verdicts: [verdict] })
  await system.advance(5_000)
  expect(await settled).toEqual({ type: 'accepted', position: 7, revision: 3 })
  for (const tab of [a, b]) await tab.client.close()
})

test('[T3] an event that has settled before its own tab hears that it is written is not pending there', async () => {
  const disk = createDisk()
  const system = createTestSystem()
  const { locks, broadcast } = createTestTabs()
  const a = openBench({ disk, system, locks, broadcast: broadcast(), writeOnly: [orders] })
  await a.greet(inventoryLog())
  let answer = (): void => undefined
  const after = (method: string) =>
    method === 'append' ? new Promise<void>((resolve) => (answer = resolve)) : Promise.resolve()
  const b = openBench({
    disk,
    system,
    locks,
    broadcast: broadcast(),
    writeOnly: [orders],
    after,
  })
  const appending = b.client.append(orders.stream('o-1').OrderPlaced({ text: 'x' }))
  await system.settle()
  await a.client.append(received(1))
  await system.settle()
  const { batches } = a.submit()
  expect(batches).toHaveLength(2)
  const verdicts = batches.map(() => ({ position: 7 as Position, revisions: [3] }))
  a.connection().send({ type: 'verdicts', n: 1, verdicts })
  await system.settle()
  answer()
  const { settled } = await appending
  await system.settle()
  expect(await settled).toEqual({ type: 'accepted', position: 7, revision: 3 })
  expect(status(b).pending).toBe(1)
  for (const tab of [a, b]) await tab.client.close()
})

test('[T4] rows of other tabs are submitted before later ones of the leading tab', async () => {
  const disk = createDisk()
  const system = createTestSystem()
  const { locks, broadcast } = createTestTabs()
  // The leader is told nothing of the other tab's writes: it must notice by itself.
  const deaf = { post: () => undefined, listen: () => () => undefined, close: () => undefined }
  const leader = openBench({ disk, system, locks, broadcast: deaf })
  await leader.greet(inventoryLog())
  const other = openBench({ disk, system, locks, broadcast: broadcast() })
  await other.client.append(received(1))
  await leader.client.append(received(2))
  await system.settle()
  const sent = leader.submit()
  expect(sent.events.map((line) => (JSON.parse(line) as { data: unknown }).data)).toEqual([
    { quantity: 1 },
    { quantity: 2 },
  ])
  for (const tab of [leader, other]) await tab.client.close()
})

test('[T4] what another tab appends does not overtake an append that the leading tab has not heard of yet', async () => {
  const disk = createDisk()
  const system = createTestSystem()
  const { locks, broadcast } = createTestTabs()
  let isSlow = false
  let answer = (): void => undefined
  const after = (method: string) =>
    isSlow && method === 'append'
      ? new Promise<void>((resolve) => (answer = resolve))
      : Promise.resolve()
  const leader = openBench({ disk, system, locks, broadcast: broadcast(), after })
  const log = inventoryLog()
  await leader.greet(log)
  const other = openBench({ disk, system, locks, broadcast: broadcast() })
  isSlow = true
  const appending = leader.client.append(received(1))
  await system.settle()
  await other.client.append(received(2))
  await system.settle()
  answer()
  await appending
  await system.settle()
  leader.connection().drop()
  await system.advance(1_000)
  await leader.greet(log)
  const { events } = leader.submit()
  expect(events.map((line) => (JSON.parse(line) as { data: unknown }).data)).toEqual([
    { quantity: 1 },
    { quantity: 2 },
  ])
  expect([onHand(leader), onHand(other)]).toEqual([3, 3])
  expect([leader, other].map((tab) => status(tab).pending)).toEqual([2, 2])
  for (const tab of [leader, other]) await tab.client.close()
})

test('[T4] what a tab has written before it died is submitted within a minute', async () => {
  const disk = createDisk()
  const bench = openBench({ disk })
  await bench.greet(inventoryLog())
  const lines = [foreignLine(1)]
  await memoryStore(disk).append([{ topic: 'inventory', scope: 'default', lines }])
  for (let ms = 0; ms < 61_000; ms += 1_000) {
    await bench.system.advance(1_000)
    bench.connection().send({ type: 'pong' })
  }
  expect(bench.submit().events).toEqual(lines)
  await bench.client.close()
})

test('[T5] two tabs that both believe to lead apply each entry once', async () => {
  const disk = createDisk()
  const system = createTestSystem()
  const [a, b] = [openBench({ disk, system }), openBench({ disk, system })]
  const log = inventoryLog()
  for (let n = 1; n <= 4; n++) log.append([foreignLine(n)])
  await a.greet(log)
  await b.greet(log)
  a.connection().send(log.deliver(0, 2))
  b.connection().send(log.deliver(0, 3))
  await system.settle()
  a.connection().send(log.subscribed(), log.deliver(2, 4))
  b.connection().send(log.subscribed(), log.deliver(2, 4))
  await system.settle()
  await a.client.verdict(log.idAt(1))
  await b.client.verdict(log.idAt(1))
  expect([onHand(a), onHand(b)]).toEqual([4, 4])
  expect(disk.logs.get('inventory/default')?.lines).toEqual(log.lines)
  for (const tab of [a, b]) await tab.client.close()
})

test('[T6] a log that one tab rewinds is folded anew in the others', async () => {
  const [a, b] = openTabs(2) as [ReturnType<typeof openBench>, ReturnType<typeof openBench>]
  const log = inventoryLog()
  for (let n = 1; n <= 4; n++) log.append([foreignLine(n)], 'ben')
  await a.greet(log)
  a.connection().send(log.deliver())
  await a.system.settle()
  expect(onHand(b)).toBe(4)
  const seen: unknown[] = []
  const sku = b.client.model.item('sku-1')
  sku.subscribe(() => seen.push([sku.getSnapshot().status, onHand(b)]))
  const position = 1 as typeof log.head
  a.connection().send({ type: 'reset', ...log.name, epoch: log.epoch, position })
  await a.system.settle()
  expect([onHand(a), onHand(b)]).toEqual([1, 1])
  expect(seen).toEqual([
    ['rebuilding', 4],
    ['present', 1],
  ])
  for (const tab of [a, b]) await tab.client.close()
})

function openFrozenPair() {
  const disk = createDisk()
  const system = createTestSystem()
  const { locks, broadcast } = createTestTabs()
  const voice = broadcast()
  const leader = openBench({ disk, system, locks, broadcast: voice })
  let isSeen = true
  const hints = { listen: () => () => undefined, isSeen: () => isSeen }
  const waiting = openBench({ disk, system, locks, broadcast: broadcast(), hints })
  return { leader, waiting, voice, system, show: (seen: boolean) => (isSeen = seen) }
}
const leads = (bench: Tab) => status(bench).leader

test('[T7] a leader that is frozen with its lock is replaced within 5 s, once, and steps down when it wakes', async () => {
  const { leader, waiting, voice, system } = openFrozenPair()
  const log = inventoryLog()
  await leader.greet(log)
  expect([leads(leader), leads(waiting)]).toEqual([true, false])
  await waiting.client.append(received(5))
  await system.settle()
  voice.isFrozen = true
  await system.advance(5_000)
  expect(leads(waiting)).toBe(true)
  await waiting.greet(log)
  const { events } = waiting.submit()
  const verdicts = [log.append(events)]
  waiting.connection().send({ type: 'verdicts', n: 1, verdicts }, log.deliver())
  await system.settle()
  expect(onHand(waiting)).toBe(5)
  expect(leads(leader)).toBe(false)
  voice.isFrozen = false
  await system.advance(120_000)
  expect([leads(leader), leads(waiting)]).toEqual([false, true])
  for (const tab of [leader, waiting]) await tab.client.close()
})

test('[X7] a leader that wakes to find that it was robbed says nothing of the link that another tab has now', async () => {
  const disk = createDisk()
  const system = createTestSystem()
  const { locks, broadcast } = createTestTabs()
  const voice = broadcast()
  let isHeldUp = false
  let release = (): void => undefined
  const isFree = new Promise<void>((resolve) => (release = resolve))
  const before = async (method: string): Promise<void> => {
    if (isHeldUp && method === 'linked') await isFree
  }
  const leader = openBench({ disk, system, locks, broadcast: voice, before })
  const waiting = openBench({ disk, system, locks, broadcast: broadcast() })
  await leader.greet(inventoryLog())
  voice.isFrozen = true
  isHeldUp = true
  await system.advance(5_000)
  await waiting.greet(inventoryLog())
  release()
  await system.settle()
  const { ids } = await waiting.client.append(received(5))
  expect(await withdraw(leader.client, ids[0]!)).toEqual({ ok: false, code: 'HANDED_OVER' })
  for (const tab of [leader, waiting]) await tab.client.close()
})

test('[T8] a leader that answers is left its lock, and a tab that nobody looks at takes none', async () => {
  const { leader, waiting, voice, system, show } = openFrozenPair()
  await leader.greet(inventoryLog())
  await system.advance(120_000)
  expect([leads(leader), leads(waiting)]).toEqual([true, false])
  show(false)
  voice.isFrozen = true
  await system.advance(120_000)
  expect([leads(leader), leads(waiting)]).toEqual([true, false])
  show(true)
  await system.advance(5_000)
  expect([leads(leader), leads(waiting)]).toEqual([false, true])
  for (const tab of [leader, waiting]) await tab.client.close()
})
