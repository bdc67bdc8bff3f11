/** Weeks without a network: what has piled up goes up in small steps, and life goes on between them. */
import { type EventId, type FrameOf, writeClaim } from '@tidemark/shared'
import { expect, test } from 'vitest'
import { createClient } from './client.ts'
import { createDisk, memoryStore } from './store/memory.ts'
import { createTestNetwork, createTestSystem } from './testing.ts'
import { foreignLine, inventory, inventoryLog, openBench } from './testing/inventory.ts'

const events = 12_000
const unansweredEventsMax = 1_000

async function fillDisk() {
  const disk = createDisk()
  const store = memoryStore(disk)
  await store.open()
  const ids: string[] = []
  const batches = Array.from({ length: events }, (_, n) => {
    const id = `0198c0de-0000-7000-8000-${String(n).padStart(12, '0')}`
    ids.push(id)
    const { topic, ...draft } = inventory.stream(`sku-${n % 50}`).StockReceived({ quantity: 1 })
    const claim = { ...draft, id: id as EventId, occurredAt: n }
    return { topic, scope: 'default', lines: [writeClaim(claim)] }
  })
  await store.append(batches)
  return { disk, ids }
}

test('[S14] a long outbox goes up in bounded steps that are seen, and entries of others come in between', async () => {
  const { disk, ids } = await fillDisk()
  const calls = new Map<string, number>()
  const before = async (method: string) => void calls.set(method, (calls.get(method) ?? 0) + 1)
  const bench = openBench({ disk, before })
  const { client, system } = bench
  const log = inventoryLog()
  const shown: { readonly pending: number; readonly others: number }[] = []
  const others = client.model.item('others')
  const note = () => {
    const { pending } = client.status.getSnapshot()
    shown.push({ pending, others: others.get()?.onHand ?? 0 })
  }
  others.subscribe(note)
  client.status.subscribe(note)
  await bench.greet(log, { unansweredEventsMax })
  const sent: string[] = []
  let asked = 0
  for (let n = 1; ;) {
    await system.settle()
    const frames = bench.connection().received.splice(0)
    const submits = frames.filter((frame): frame is FrameOf<'submit'> => frame.type === 'submit')
    if (submits.length === 0) break
    asked = Math.max(asked, submits.flatMap((frame) => frame.events).length)
    const from = log.head
    for (const { events: lines } of submits) {
      const verdicts = lines.map((line) => log.append([line]))
      sent.push(...lines.map((line) => JSON.parse(line).id as string))
      bench.connection().send({ type: 'verdicts', n, verdicts })
      n += lines.length
      log.append([foreignLine(n, 1, 'others')], 'ben')
    }
    bench.connection().send(log.deliver(from))
  }
  expect(sent).toEqual(ids)
  expect(asked).toBeLessThanOrEqual(unansweredEventsMax)
  // It falls, step by step, and what others did shows up all the way.
  const pending = shown.map((each) => each.pending)
  pending.splice(0, pending.indexOf(events))
  expect(pending).toEqual([...pending].sort((a, b) => b - a))
  expect(new Set(pending).size).toBeGreaterThan(events / unansweredEventsMax)
  const between = shown.filter((each) => each.pending > 0 && each.others > 0)
  expect(new Set(between.map((each) => each.others)).size).toBeGreaterThan(10)
  expect(client.status.getSnapshot()).toMatchObject({ pending: 0, refused: 0 })
  expect(disk.outbox.size).toBe(0)
  // The outbox is read at the start, and not at each step.
  expect(calls.get('load')).toBeLessThan(16)
  await client.close()
})

test('[S14] whoever asks for what is pending has the whole outbox read first', async () => {
  const { disk, ids } = await fillDisk()
  const client = createClient({
    url: 'ws://gateway',
    user: 'ann',
    topics: [inventory],
    store: memoryStore(disk),
    connect: createTestNetwork().connect,
    system: createTestSystem(),
  })
  expect(await client.verdict(ids.at(-1) as EventId)).toEqual({ type: 'pending' })
  expect(client.status.getSnapshot().pending).toBe(events)
  await client.close()
})

test('[P13] a long history that was lost in a restore is pending again as a whole', async () => {
  const { disk } = await fillDisk()
  const lines = [...disk.outbox.values()].flatMap((row) => row.lines)
  const bench = openBench()
  const log = inventoryLog()
  for (const line of lines) log.append([line])
  await bench.greet(log)
  for (let at = 0; at < events; at += 1_000) {
    bench.connection().send(log.deliver(at, at + 1_000))
    await bench.system.settle()
  }
  await bench.client.append(inventory.stream('sku-1').StockReceived({ quantity: 1 }))
  expect(bench.client.status.getSnapshot()).toMatchObject({ pending: 1 })
  bench.connection().send({ type: 'reset', ...log.name, epoch: log.epoch, position: 0 as never })
  await bench.system.settle()
  await bench.system.settle()
  expect(bench.client.status.getSnapshot().pending).toBe(events + 1)
  expect(bench.client.model.item('sku-1').get()).toEqual({ onHand: events / 50 + 1 })
  const offered = [...bench.disk.outbox.values()].flatMap((row) => row.lines)
  expect(offered.slice(0, -1)).toEqual(lines)
  await bench.client.close()
})
