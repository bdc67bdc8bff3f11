/** Weeks without a network: what has piled up goes up in small steps, and life goes on between them. */
import { type FrameOf, writeClaim } from '@tidemark/shared'
import { expect, test } from 'vitest'
import { createDisk, memoryStore } from './store/memory.ts'
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
    const claim = { ...draft, id: id as never, occurredAt: n }
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
