import { type Draft, type EventId, TidemarkError } from '@tidemark/shared'
import { expect, test } from 'vitest'
import { createClient } from './client.ts'
import { createDisk } from './store/memory.ts'
import { inventoryLog, openBench, orders, received } from './testing/inventory.ts'

test('[A1] append resolves only after its transaction is complete, and shows nothing before', async () => {
  let complete = (): void => undefined
  const after = (method: string) =>
    method === 'append' ? new Promise<void>((resolve) => (complete = resolve)) : Promise.resolve()
  const { client, system } = openBench({ after })
  let isResolved = false
  const appending = client.append(received(5)).then(() => (isResolved = true))
  await system.settle()
  expect(isResolved).toBe(false)
  expect(client.model.item('sku-1').get()).toBe(undefined)
  complete()
  await appending
  expect(client.model.item('sku-1').get()).toEqual({ onHand: 5 })
  await client.close()
})

test('[A1] an append that the disk does not take rejects with its code, shows nothing, and the next one works', async () => {
  let isFull = true
  const before = async (method: string) => {
    if (method === 'append' && isFull) throw new TidemarkError('STORAGE_FULL')
  }
  const { client, system, disk } = openBench({ before })
  await system.settle()
  await expect(client.append(received(5))).rejects.toMatchObject({ code: 'STORAGE_FULL' })
  expect(client.model.item('sku-1').getSnapshot().status).toBe('absent')
  expect(client.status.getSnapshot()).toMatchObject({ storage: 'STORAGE_FULL', pending: 0 })
  isFull = false
  await client.append(received(7))
  expect(client.status.getSnapshot()).toMatchObject({ storage: 'ok', pending: 1 })
  expect(client.model.item('sku-1').get()).toEqual({ onHand: 7 })
  expect(disk.outbox.size).toBe(1)
  await client.close()
})

test('[A4] appends that come together share transactions, keep their order, and each hears of itself', async () => {
  let transactions = 0
  const before = async (method: string) => void (transactions += method === 'append' ? 1 : 0)
  const { client, disk } = openBench({ before })
  const all = await Promise.all(
    Array.from({ length: 1_000 }, (_, n) => client.append(received(n + 1))),
  )
  expect(transactions).toBeLessThan(5)
  const rows = [...disk.outbox.values()].map(
    (row) => JSON.parse(row.lines[0] ?? '') as { id: string },
  )
  expect(rows.map((row) => row.id)).toEqual(all.map(({ ids }) => ids[0]))
  expect(new Set(rows.map((row) => row.id)).size).toBe(1_000)
  await client.close()
})

test('[A2] the bytes that were appended are submitted, after a reload too', async () => {
  const disk = createDisk()
  const first = openBench({ disk })
  await first.client.append(received(5), {
    causationId: '0198c0de-aaaa-7000-8000-000000000000' as EventId,
  })
  await first.client.close()
  const lines = [...disk.outbox.values()].flatMap((row) => row.lines)
  const second = openBench({ disk })
  await second.greet(inventoryLog())
  expect(second.submit().events).toEqual(lines)
  await second.client.close()
})

const refusals: readonly [string, Draft | readonly Draft[], string][] = [
  [
    'a topic that the client was not told of',
    orders.stream('o-1').OrderPlaced({ text: '' }),
    'UNKNOWN_TOPIC',
  ],
  ['a type that the topic does not have', { ...received(1), type: 'Nonsense' }, 'UNKNOWN_TYPE'],
  ['a version that the type does not have', { ...received(1), version: 2 }, 'UNKNOWN_TYPE'],
  ['data that does not fit the schema', received(-1), 'SCHEMA_INVALID'],
  ['a stream with control characters', received(1, 'sku\n1'), 'BAD_EVENT'],
  ['a stream without a name', received(1, ''), 'BAD_EVENT'],
  ['a key that is too long for the bus', received(1, 'x'.repeat(128)), 'KEY_TOO_LONG'],
  ['no event at all', [], 'BAD_EVENT'],
  [
    'a batch over two topics',
    [received(1), orders.stream('o-1').OrderPlaced({ text: '' })],
    'BATCH_MIXED',
  ],
  ['a batch that is too large', Array.from({ length: 101 }, () => received(1)), 'BATCH_TOO_LARGE'],
]
test.each(refusals)('[A9] %s is refused at the call', async (_what, drafts, code) => {
  const { client, disk, system } = openBench()
  await system.settle()
  await expect(client.append(drafts)).rejects.toMatchObject({ name: 'TidemarkError', code })
  expect(disk.outbox.size).toBe(0)
  await client.close()
})

test('[A9] an event that is too large or no JSON is refused at the call', async () => {
  const { client } = openBench({ topics: [orders] })
  const placed = (text: string) => client.append(orders.stream('o-1').OrderPlaced({ text }))
  await expect(placed('x'.repeat(200_000))).rejects.toMatchObject({ code: 'EVENT_TOO_LARGE' })
  await expect(placed('✓'.repeat(70_000))).rejects.toMatchObject({ code: 'EVENT_TOO_LARGE' })
  await placed('x'.repeat(190_000))
  await client.close()
  await expect(placed('x')).rejects.toMatchObject({ code: 'CLOSED' })
})

test('[A9] a batch that no frame can carry is refused at the call, with its bytes', async () => {
  const { client, disk } = openBench({ topics: [orders] })
  const draft = orders.stream('o-1').OrderPlaced({ text: 'x'.repeat(150_000) })
  const append = (size: number) => client.append(Array.from({ length: size }, () => draft))
  await expect(append(7)).rejects.toMatchObject({
    code: 'BATCH_TOO_LARGE',
    details: { bytes: expect.any(Number), max: 1_048_576 },
  })
  expect(disk.outbox.size).toBe(0)
  await append(6)
  await client.close()
})

test('[A5] without a disk nothing is thrown but by calls that need one, and everything is loading', async () => {
  const { item } = await import('./testing/inventory.ts')
  const client = createClient({ url: 'ws://gateway', user: 'ann', models: { item } })
  expect(client.model.item('sku-1').getSnapshot().status).toBe('loading')
  expect(client.model.item.list().getSnapshot()).toEqual({ status: 'loading', items: [] })
  expect(client.status.getSnapshot().link).toBe('inert')
  await expect(client.append(received(1))).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' })
  client.pause()
  client.resume()
  await client.close()
})

test('[A10] what is appended while others are under way is submitted without any other reason', async () => {
  const bench = openBench()
  await bench.greet(inventoryLog())
  for (let n = 1; n <= 3; n++) {
    await bench.client.append(received(n))
    await bench.system.settle()
    expect(bench.submit()).toMatchObject({ n })
  }
  await bench.client.close()
})
