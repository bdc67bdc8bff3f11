/** The faults of a device that was away for long, or whose clock and ids are not to be trusted. docs/faults.md has the list. */
import { parseClaim } from '@tidemark/shared'
import { expect, test } from 'vitest'
import { createDisk } from '../store/memory.ts'
import { createTestSystem } from '../testing.ts'
import { foreignLine, inventoryLog, openBench, received } from '../testing/inventory.ts'

test('[A3] what is appended keeps its order where ids and clock go back', async () => {
  const system = createTestSystem()
  let left = 1_000_000
  let aheadMs = 0
  // Each id sorts before the one that was made before it.
  const uuid = () => `0198c0de-0000-7000-8000-${String((left -= 1)).padStart(12, '0')}`
  const { now } = system
  const rolling = Object.assign(system, { uuid, now: () => now() + aheadMs })
  const bench = openBench({ system: rolling })
  const ids: string[] = []
  for (let n = 1; n <= 5; n++) {
    ids.push(...(await bench.client.append(received(n))).ids)
    aheadMs -= 3_600_000
  }
  expect(ids).toEqual(ids.toSorted().toReversed())
  await bench.greet(inventoryLog())
  const claims = bench.submit().events.map((line) => parseClaim(line))
  expect(claims.map(({ id }) => id)).toEqual(ids)
  expect(claims.map(({ data }) => (data as { quantity: number }).quantity)).toEqual([1, 2, 3, 4, 5])
  expect(claims[4]!.occurredAt).toBeLessThan(claims[0]!.occurredAt)
  await bench.client.close()
})

test('[S1] an upload of 5,000 events that is cut by a reload after every answer goes on where it was, and what others append meanwhile is shown between', async () => {
  const disk = createDisk()
  let bench = openBench({ disk })
  const batch = Array.from({ length: 50 }, () => received(1))
  await Promise.all(Array.from({ length: 100 }, () => bench.client.append(batch)))
  const log = inventoryLog()
  const windowMax = 500
  let sent = 0
  let links = 0
  let foreign = 0
  const seen = new Set<unknown>()
  while (bench.client.status.getSnapshot().pending > 0 && links < 100) {
    links += 1
    const before = log.head
    await bench.greet(log, { unansweredEventsMax: windowMax })
    const { n, batches, events } = bench.submit()
    sent += events.length
    const lines = [...events]
    const verdicts = batches.map(({ size }) => log.append(lines.splice(0, size)))
    log.append([foreignLine((foreign += 1), 1, 'sku-live')])
    bench.connection().send({ type: 'verdicts', n, verdicts }, log.deliver(before))
    await bench.system.settle()
    // Live events are shown while the outbox is still long.
    expect(bench.client.model.item('sku-live').get()?.onHand).toBe(foreign)
    seen.add(bench.client.status.getSnapshot().pending)
    await bench.client.close()
    bench = openBench({ disk, system: bench.system })
    await bench.system.settle()
  }
  expect(bench.client.status.getSnapshot()).toMatchObject({ pending: 0, refused: 0 })
  // No batch that had its answer was sent again, and no link came away with nothing.
  expect(sent).toBe(5_000)
  expect(links).toBe(seen.size)
  expect(bench.client.model.item('sku-1').get()?.onHand).toBe(5_000)
  await bench.client.close()
})
