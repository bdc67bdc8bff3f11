import type { Position } from '@tidemark/shared'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { isMeantFor } from '../cloudevents.ts'
import { consume } from '../consumer/consume.ts'
import { memoryProcessed } from '../consumer/processed/memory.ts'
import { replay, type ReplayOptions, type ReplayProgress } from './replay.ts'
import { inventory, openWorld, type OperateWorld, quantitiesOf, shop } from './testing/world.ts'

let world: OperateWorld
beforeEach(() => {
  world = openWorld()
})
afterEach(() => world.close())

const run = (more: Partial<ReplayOptions> = {}): Promise<ReplayProgress> => {
  const { log, broker, system } = world
  const base = { log, broker, system, name: shop, subscription: 'reporting' }
  return replay({ ...base, from: 1, to: 1_000, run: 7, ...more })
}

/** Appends and publishes events with the quantities 1 to `count`, and takes them off both subscriptions. */
async function publishAll(count: number): Promise<void> {
  for (let quantity = 1; quantity <= count; quantity += 1) {
    await world.append(`sku-${quantity % 3}`, { quantity })
  }
  world.relay()
  await world.drain('purchasing', count)
  await world.drain('reporting', count)
}

test('[O10] history is published again in order, marked, under the ids that its events always had', async () => {
  await publishAll(30)
  expect(await run({ from: 11, to: 20 })).toEqual({ upTo: 20, published: 10, leftOut: [] })
  const again = await world.drain('reporting', 10)
  expect(quantitiesOf(again)).toEqual([11, 12, 13, 14, 15, 16, 17, 18, 19, 20])
  expect(again[0]?.attributes).toMatchObject({
    replayed: 'true',
    onlyfor: 'reporting',
    position: '11',
    subject: 'sku-2',
  })
  expect(again[0]?.id).toBe(`${String(again[0]?.attributes['id'])}#reporting.7`)
})

test('[O10] what is replayed is meant for one subscription, and what is not is meant for all', async () => {
  await publishAll(1)
  await run()
  const [other] = await world.drain('purchasing', 1)
  if (!other) throw new Error('without a filter every subscription gets it')
  expect(isMeantFor(other, 'purchasing')).toBe(false)
  expect(isMeantFor(other, 'Reporting')).toBe(true)
  expect(isMeantFor({ ...other, attributes: {} }, 'purchasing')).toBe(true)
})

test('[O10] a consumer handles what is replayed for it, and passes by what is replayed for others', async () => {
  const heard: [string, boolean][] = []
  const consumers = await Promise.all(
    ['purchasing', 'reporting'].map((name) =>
      consume(inventory, {
        name,
        broker: world.broker,
        processed: memoryProcessed(),
        ordered: false,
        system: world.system,
        on: { StockReceived: (_event, { replayed }) => void heard.push([name, replayed]) },
      }),
    ),
  )
  await world.append('sku-1', { quantity: 1 })
  await run()
  await vi.waitFor(() => expect(consumers.map(({ counts }) => counts.received)).toEqual([1, 1]))
  await vi.waitFor(() => expect(heard).toEqual([['reporting', true]]))
  expect(consumers[0]?.counts).toMatchObject({ ignored: 1, processed: 0 })
  for (const consumer of consumers) await consumer.close()
})

test('[O10] a run that was broken off and is resumed with its number doubles nothing; another run passes', async () => {
  await publishAll(10)
  await run({ to: 6 })
  await run({ from: 4 })
  expect(quantitiesOf(await world.drain('reporting', 10))).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
  await run({ run: 8, to: 1 })
  expect(quantitiesOf(await world.drain('reporting', 1))).toEqual([1])
})

test('[O10] events of other services are history too', async () => {
  await world.log.append([
    [
      {
        log: shop,
        author: 'purchasing',
        source: 'broker',
        events: [
          {
            id: world.system.uuid() as never,
            stream: 'sku-1',
            line: '{"id":"0198c0de-0000-7000-8000-000000000001","stream":"sku-1","type":"StockReceived","version":1,"occurredAt":1,"data":{"quantity":5}}',
          },
        ],
      },
    ],
  ])
  expect(await run()).toMatchObject({ published: 1 })
})

test('[O10] throttling is waited out and said, and order is kept', async () => {
  await publishAll(9)
  world.namespace.faults.refuseSends('inventory', 'com.microsoft:server-busy', 3)
  const waits: (string | undefined)[] = []
  await run({ onProgress: ({ waitingFor }) => waits.push(waitingFor) })
  expect(waits).toContain('BROKER_BUSY')
  const again = await world.drain('reporting', 9)
  for (const key of new Set(again.map((message) => message.key))) {
    const quantities = quantitiesOf(again.filter((message) => message.key === key))
    expect(quantities).toEqual(quantities.toSorted((a, b) => a - b))
  }
})

test('[O10] what the broker cannot carry is left out and counted; a topic that is missing ends it', async () => {
  await world.append('sku-1', { quantity: 1, note: 'x'.repeat(300_000) })
  await world.append('sku-1', { quantity: 2 })
  expect(await run()).toEqual({
    upTo: 2,
    published: 1,
    leftOut: [{ position: 1, code: 'MESSAGE_TOO_LARGE' }],
  })
  world.namespace.faults.refuseSends('inventory', 'amqp:not-found')
  await expect(run({ run: 9 })).rejects.toMatchObject({ code: 'ENTITY_MISSING' })
})

test('[O10] an interrupted replay says how far it came', async () => {
  for (let quantity = 1; quantity <= 20; quantity += 1) {
    await world.append('sku-1', { quantity, note: 'x'.repeat(50_000) })
  }
  const stop = new AbortController()
  const { upTo, published } = await run({
    signal: stop.signal,
    onProgress: () => stop.abort(),
  })
  expect(published).toBe(upTo)
  expect(upTo).toBeLessThan(20 as Position)
  expect(upTo).toBeGreaterThan(0)
})
