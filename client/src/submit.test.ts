import { type EventId, parseClaim, TidemarkError } from '@tidemark/shared'
import { expect, test } from 'vitest'
import { createDisk } from './store/memory.ts'
import { inventoryLog, openBench, orders, received } from './testing/inventory.ts'

const nowhere = '0198c0de-aaaa-7000-8000-000000000000' as EventId

test('[S1] what has no verdict when a link ends is sent again on the next one, from the first, in the same bytes', async () => {
  const bench = openBench()
  const log = inventoryLog()
  await bench.greet(log)
  for (let n = 1; n <= 4; n++) await bench.client.append(received(n))
  await bench.system.settle()
  const sent = [bench.submit(), bench.submit(), bench.submit(), bench.submit()]
  const lines = sent.flatMap((frame) => frame.events)
  const verdicts = [log.append(lines.slice(0, 1)), log.append(lines.slice(1, 2))]
  bench.connection().send({ type: 'verdicts', n: 1, verdicts: verdicts.slice(0, 1) })
  await bench.system.settle()
  bench.connection().drop()
  await bench.system.advance(1_000)
  const hello = await bench.greet(log)
  expect(hello.subscriptions[0]?.cursor).toBe(undefined)
  // The entry of the first has not been applied, so that one is asked about again as well.
  expect(bench.submit()).toMatchObject({ n: 1, events: lines })
  await bench.client.close()
})

test('[S2] no more is under way than the window, the frame and the batch allow', async () => {
  const bench = openBench()
  const log = inventoryLog()
  for (let n = 0; n < 20; n++) await bench.client.append([received(1), received(2)])
  await bench.greet(log, { submitEventsMax: 6, unansweredEventsMax: 10 })
  const first = bench.submit()
  expect(first).toMatchObject({ n: 1, batches: [{ size: 2 }, { size: 2 }, { size: 2 }] })
  expect(bench.submit()).toMatchObject({ n: 4, batches: [{ size: 2 }, { size: 2 }] })
  expect(() => bench.submit()).toThrow()
  const verdict = log.append(first.events.slice(0, 2))
  bench.connection().send({ type: 'verdicts', n: 1, verdicts: [verdict] })
  await bench.system.settle()
  expect(bench.submit()).toMatchObject({ n: 6, batches: [{ size: 2 }] })
  await bench.client.close()
})

test('[S2] a frame stays under its bytes, counted as UTF-8', async () => {
  const bench = openBench({ topics: [orders] })
  const text = '✓'.repeat(1_000)
  for (let n = 0; n < 10; n++) await bench.client.append(orders.stream('o-1').OrderPlaced({ text }))
  await bench.greet(inventoryLog(), { frameBytesMax: 12_000 })
  const sizes = [bench.submit(), bench.submit(), bench.submit(), bench.submit()]
  expect(sizes.map((frame) => frame.events.length)).toEqual([3, 3, 3, 1])
  await bench.client.close()
})

test('[S3] a held log waits with its rows, others go on, and it is offered again', async () => {
  const bench = openBench({ topics: [orders] })
  const log = inventoryLog()
  await bench.client.append(received(1))
  await bench.client.append(orders.stream('o-1').OrderPlaced({ text: 'a' }))
  await bench.client.append(received(2))
  await bench.greet(log)
  expect(bench.submit()).toMatchObject({ n: 1, batches: [{}, {}, {}] })
  bench.connection().send({ type: 'hold', n: 1, ...log.name })
  await bench.system.settle()
  expect(bench.submit()).toMatchObject({ n: 1, batches: [{ topic: 'orders' }] })
  expect(bench.client.status.getSnapshot()).toMatchObject({
    pending: 3,
    logs: { inventory: { forbidden: true }, orders: { forbidden: false } },
  })
  const verdict = { position: 1, revisions: [1] } as Parameters<typeof Object>[0]
  bench.connection().send({ type: 'verdicts', n: 1, verdicts: [verdict] })
  await bench.client.append(received(3))
  for (let ms = 0; ms < 60_000; ms += 10_000) {
    expect(() => bench.submit()).toThrow()
    await bench.system.advance(10_000)
    bench.connection().send({ type: 'pong' })
  }
  const again = bench.submit()
  expect(again).toMatchObject({ n: 2, batches: [log.name, log.name, log.name] })
  const verdicts = again.events.map((line) => log.append([line]))
  bench.connection().send({ type: 'verdicts', n: 2, verdicts })
  await bench.system.settle()
  expect(bench.client.status.getSnapshot().logs['inventory']?.forbidden).toBe(false)
  await bench.client.close()
})

test('[S3] a log that nobody reads is not called forbidden any more when another link may write to it', async () => {
  const bench = openBench({ writeOnly: [orders] })
  const forbidden = () => bench.client.status.getSnapshot().logs['orders']?.forbidden
  await bench.client.append(orders.stream('o-1').OrderPlaced({ text: 'a' }))
  await bench.greet(inventoryLog())
  bench.submit()
  bench.connection().send({ type: 'hold', n: 1, topic: 'orders', scope: 'default' })
  await bench.system.settle()
  expect(forbidden()).toBe(true)
  bench.connection().drop()
  await bench.system.advance(1_000)
  await bench.greet(inventoryLog())
  const { events } = bench.submit()
  const { id } = JSON.parse(events[0] ?? '') as { id: EventId }
  const refused = { id, code: 'NOT_ALLOWED' as const, details: { reason: 'no' } }
  bench.connection().send({ type: 'verdicts', n: 1, verdicts: [{ refused }] })
  await bench.system.settle()
  expect(forbidden()).toBe(false)
  await bench.client.close()
})

test('[S3] a log that may not be written to is said to be forbidden, though it may be read', async () => {
  const bench = openBench()
  const log = inventoryLog()
  const forbidden = () => bench.client.status.getSnapshot().logs['inventory']?.forbidden
  await bench.client.append(received(1))
  await bench.greet(log)
  bench.submit()
  bench.connection().send({ type: 'hold', n: 1, ...log.name }, log.subscribed())
  await bench.system.settle()
  expect(forbidden()).toBe(true)
  await bench.client.close()
})

test('[S3] a held log is not held any more when its entries come without a verdict', async () => {
  const bench = openBench()
  const log = inventoryLog()
  await bench.client.append(received(1))
  await bench.greet(log)
  const { events } = bench.submit()
  bench.connection().send({ type: 'hold', n: 1, ...log.name })
  for (let ms = 0; ms < 61_000; ms += 1_000) {
    await bench.system.advance(1_000)
    bench.connection().send({ type: 'pong' })
  }
  expect(bench.submit().events).toEqual(events)
  log.append(events)
  bench.connection().send({ type: 'later', n: 1, retryAfterMs: 100 }, log.deliver(0, 1))
  await bench.system.advance(2_000)
  expect(bench.client.status.getSnapshot()).toMatchObject({
    pending: 0,
    logs: { inventory: { forbidden: false } },
  })
  await bench.client.close()
})

test('[S4] later is waited for, and then the same is sent again', async () => {
  const bench = openBench()
  await bench.client.append(received(1))
  await bench.greet(inventoryLog())
  const { events } = bench.submit()
  bench.connection().send({ type: 'later', n: 1, retryAfterMs: 5_000 })
  await bench.client.append(received(2))
  await bench.system.advance(4_999)
  expect(() => bench.submit()).toThrow()
  await bench.system.advance(600)
  const again = bench.submit()
  expect(again.n).toBe(1)
  expect(again.events[0]).toBe(events[0])
  expect(again.events).toHaveLength(2)
  await bench.client.close()
})

test('[S5, S7] a refused batch is on the list with its reasons before its row is gone, and stays over a reload', async () => {
  const disk = createDisk()
  const bench = openBench({ disk })
  const { ids, settled } = await bench.client.append([received(1), received(2)])
  const other = await bench.client.append(received(4))
  await bench.greet(inventoryLog())
  bench.submit()
  const details = { expected: 1, actual: 2 }
  const refused = { id: ids[1]!, code: 'REVISION_CONFLICT' as const, details }
  bench.connection().send({ type: 'verdicts', n: 1, verdicts: [{ refused }] })
  expect(await settled).toEqual({
    type: 'refused',
    refusal: { code: 'REVISION_CONFLICT', details },
  })
  await bench.system.settle()
  expect(bench.client.model.item('sku-1').get()).toEqual({ onHand: 4 })
  await bench.client.close()
  const reloaded = openBench({ disk, system: bench.system })
  await reloaded.system.settle()
  expect(reloaded.client.status.getSnapshot()).toMatchObject({ refused: 2, pending: 1 })
  const list = reloaded.client.refused.getSnapshot()
  expect(list.map((each) => [each.id, each.refusal.code])).toEqual([
    [ids[0], 'BATCH_REFUSED'],
    [ids[1], 'REVISION_CONFLICT'],
  ])
  expect(JSON.parse(list[0]?.line ?? '')).toMatchObject({ data: { quantity: 1 } })
  expect(await reloaded.client.verdict(ids[1]!)).toMatchObject({ type: 'refused' })
  expect(await reloaded.client.verdict(other.ids[0]!)).toEqual({ type: 'pending' })
  await reloaded.client.refused.discard(...ids)
  expect(reloaded.client.refused.getSnapshot()).toEqual([])
  expect(disk.refused.size).toBe(0)
  await reloaded.client.close()
})

test('[S6] what rests on an event that is still to come is kept aside; what rests on a refused one is refused', async () => {
  const bench = openBench()
  const log = inventoryLog()
  const first = await bench.client.append(received(1))
  await bench.client.append(received(2), { after: nowhere })
  const dependent = await bench.client.append(received(3), { after: first.ids[0]! })
  await bench.client.append(received(4))
  await bench.greet(log)
  expect(bench.submit().batches).toEqual([
    { ...log.name, size: 1 },
    { ...log.name, size: 1, after: nowhere },
    { ...log.name, size: 1, after: first.ids[0] },
    { ...log.name, size: 1 },
  ])
  const refused = { id: first.ids[0]!, code: 'NOT_ALLOWED' as const, details: { reason: 'no' } }
  bench.connection().send({ type: 'verdicts', n: 1, verdicts: [{ refused }] })
  await bench.system.settle()
  bench.connection().send({ type: 'blocked', n: 2, by: nowhere })
  await bench.system.settle()
  expect(bench.submit()).toMatchObject({ n: 2, batches: [{ after: first.ids[0] }, {}] })
  bench.connection().send({ type: 'blocked', n: 2, by: first.ids[0]! })
  expect(await dependent.settled).toMatchObject({
    refusal: { code: 'BATCH_REFUSED', details: { by: first.ids[0] } },
  })
  await bench.system.settle()
  expect(bench.submit()).toMatchObject({ n: 2, batches: [{ size: 1 }] })
  expect(bench.client.status.getSnapshot()).toMatchObject({ pending: 2, refused: 2 })
  await bench.client.close()
})

test('[S8] what this gateway can never take is refused on the device with the reason', async () => {
  const bench = openBench({ topics: [orders] })
  const large = await bench.client.append(
    orders.stream('o-1').OrderPlaced({ text: 'x'.repeat(5_000) }),
  )
  const many = await bench.client.append([received(1), received(2), received(3)])
  await bench.client.append(received(4))
  await bench.greet(inventoryLog(), { eventBytesMax: 1_000, batchEventsMax: 2 })
  expect(await large.settled).toMatchObject({ refusal: { code: 'EVENT_TOO_LARGE' } })
  expect(await many.settled).toMatchObject({ refusal: { code: 'BATCH_TOO_LARGE' } })
  expect(bench.submit()).toMatchObject({ n: 1, batches: [{ size: 1 }] })
  await bench.client.close()
})

test('[S8] a batch that fits no frame of this gateway is refused on the device, and holds up nothing', async () => {
  let isFull = false
  const before = async (method: string) => {
    if (isFull && method === 'settle') throw new TidemarkError('STORAGE_FULL')
  }
  const bench = openBench({ topics: [orders], before })
  const placed = orders.stream('o-1').OrderPlaced({ text: '✓'.repeat(1_000) })
  const large = await bench.client.append([placed, placed, placed, placed])
  const fits = await bench.client.append([placed, placed, placed])
  const resting = await bench.client.append(placed, { after: large.ids[1]! })
  isFull = true
  await bench.greet(inventoryLog(), { frameBytesMax: 12_000 })
  const submitted = bench.submit()
  expect(submitted).toMatchObject({ n: 1, batches: [{ size: 3 }] })
  expect(submitted.events.map((line) => parseClaim(line).id)).toEqual(fits.ids)
  expect(bench.submit()).toMatchObject({ n: 2, batches: [{ size: 1, after: large.ids[1] }] })
  // It has gone for good, also where the disk has not taken that down.
  bench.connection().send({ type: 'blocked', n: 2, by: large.ids[1]! })
  await bench.system.settle()
  isFull = false
  await bench.system.advance(2_000)
  const [bytes, max] = [expect.any(Number), 12_000]
  expect(await large.settled).toEqual({
    type: 'refused',
    refusal: { code: 'BATCH_TOO_LARGE', details: { bytes, max } },
  })
  expect(await resting.settled).toMatchObject({ refusal: { code: 'BATCH_REFUSED' } })
  expect(bench.client.status.getSnapshot()).toMatchObject({ pending: 3, refused: 5 })
  await bench.client.close()
})

test('[S9] an event of a topic that is not read leaves the outbox at its verdict, which is remembered', async () => {
  const disk = createDisk()
  const bench = openBench({ disk, writeOnly: [orders] })
  const { ids, settled } = await bench.client.append(
    orders.stream('o-1').OrderPlaced({ text: 'a' }),
  )
  const hello = await bench.greet(inventoryLog())
  expect(hello.subscriptions.map((each) => each.topic)).toEqual(['inventory'])
  bench.submit()
  const verdict = { position: 7, revisions: [2] } as never
  bench.connection().send({ type: 'verdicts', n: 1, verdicts: [verdict] })
  expect(await settled).toEqual({ type: 'accepted', position: 7, revision: 2 })
  await bench.system.settle()
  expect(disk.outbox.size).toBe(0)
  await bench.client.close()
  const reloaded = openBench({ disk, writeOnly: [orders] })
  expect(await reloaded.client.verdict(ids[0]!)).toMatchObject({ type: 'accepted', position: 7 })
  expect(await reloaded.client.verdict(nowhere)).toEqual({ type: 'unknown' })
  await reloaded.client.close()
})
