import { TidemarkError, topic } from '@tidemark/shared'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import * as z from 'zod'
import type { Broker } from '../broker/broker.ts'
import { type Consumer, consume, type ConsumeOptions } from '../consumer/consume.ts'
import { listAudits } from '../consumer/park.ts'
import { refuse } from '../consumer/policy.ts'
import { memoryProcessed, type MemoryTx } from '../consumer/processed/memory.ts'
import type { Processed } from '../consumer/processed/processed.ts'
import { createDeadLetters, type DeadLetters } from './dead-letters.ts'
import { setAside } from './set-aside.ts'
import { inventory, openWorld, type OperateWorld } from './testing/world.ts'

const act = { by: 'ann', note: 'looked at it' }
let world: OperateWorld
let processed: Processed<MemoryTx>
let view: DeadLetters
let consumer: Consumer

beforeEach(() => {
  const subscription = { name: 'purchasing', lockMs: 60_000, requiresSession: true }
  world = openWorld({ topics: [{ name: 'inventory', subscriptions: [subscription] }] })
  processed = memoryProcessed()
  const { system } = world
  view = createDeadLetters([setAside({ name: 'purchasing', processed, system })], system)
})
afterEach(async () => {
  await consumer.close()
  await world.close()
})

type On = ConsumeOptions<typeof inventory, MemoryTx>['on']

/** Starts the consumer, and publishes these quantities as events of one stream. */
async function start(quantities: readonly number[], on: On): Promise<void> {
  const { broker, system } = world
  consumer = await consume(inventory, {
    name: 'purchasing',
    broker: choosy(broker),
    processed,
    system,
    emits: [nowhere],
    on,
  })
  for (const quantity of quantities) await world.append('sku-1', { quantity })
  world.relay()
}

const nowhere = topic('nowhere', { Lost: z.object({}) })

/** A broker that takes less than it announces, on one topic. */
const choosy = (broker: Broker): Broker => ({
  limits: broker.limits,
  publish: async (name, messages) =>
    name === 'nowhere'
      ? messages.map(() => new TidemarkError('MESSAGE_TOO_LARGE', { bytes: 2, max: 1 }))
      : await broker.publish(name, messages),
  receiver: (options) => broker.receiver(options),
  close: () => broker.close(),
})

/** Waits until the list has an item, and hands it over. */
const theOnly = () =>
  vi.waitFor(async () => {
    const { items } = await view.list(10)
    expect(items).toHaveLength(1)
    return items[0] as NonNullable<(typeof items)[0]>
  })

test('[O2] discarding a consumer’s event twice gives up that one, and the stream goes on behind it', async () => {
  const done: number[] = []
  await start([1, 13, 13, 2], {
    StockReceived({ data }) {
      if (data.quantity === 13) refuse('UNLUCKY', 'thirteen is not bought')
      done.push(data.quantity)
    },
  })
  await vi.waitFor(async () => expect((await theOnly()).events).toBe(3))
  const first = await theOnly()
  expect(first).toMatchObject({
    where: 'consumer',
    key: 'shop-7/sku-1',
    code: 'UNLUCKY',
    attempts: 1,
  })
  expect((await view.show(first.ref))?.lines).toHaveLength(3)
  expect(await view.discard(first.ref, act)).toBe('done')
  expect(await view.discard(first.ref, act)).toBe('gone')
  const second = await vi.waitFor(async () => {
    const found = await theOnly()
    expect(found.events).toBe(2)
    return found
  })
  expect(second.ref).not.toBe(first.ref)
  expect(await view.redrive(first.ref, act)).toBe('gone')
  expect(await view.discard(second.ref, act)).toBe('done')
  await vi.waitFor(() => expect(done).toEqual([1, 2]))
  const audits = await listAudits(processed, 'purchasing')
  expect(audits.map(({ action, by }) => [action, by])).toEqual([
    ['discard', 'ann'],
    ['discard', 'ann'],
  ])
})

test('[O2] a consumer’s stream that is redriven is tried from the event that failed, in order', async () => {
  const done: number[] = []
  let isMended = false
  await start([1, 13, 2], {
    StockReceived({ data }) {
      if (data.quantity === 13 && !isMended) refuse('UNLUCKY', 'thirteen is not bought')
      done.push(data.quantity)
    },
  })
  await vi.waitFor(async () => expect((await theOnly()).events).toBe(2))
  const { ref } = await theOnly()
  isMended = true
  expect(await view.redrive(ref, act)).toBe('done')
  expect(await view.redrive(ref, act)).toBe('gone')
  await vi.waitFor(() => expect(done).toEqual([1, 13, 2]))
  expect((await view.list(10)).items).toEqual([])
})

test('[O6] every refused result that is listed is shown and acted on, however many there are', async () => {
  const count = 150
  const results = Array.from({ length: count }, (_, at) => at)
  await start([1], {
    StockReceived: (_event, { emit }) => {
      for (const at of results) emit(nowhere.stream(`x-${at}`).Lost({}))
    },
  })
  const { items } = await vi.waitFor(async () => {
    const list = await view.list(count)
    expect(list.items).toHaveLength(count)
    return list
  })
  const { ref } = items.at(-1) as NonNullable<(typeof items)[0]>
  expect(await view.show(ref)).toMatchObject({ key: `shop-7/x-${count - 1}` })
  expect(await view.discard(ref, act)).toBe('done')
  expect(await view.show(ref)).toBeUndefined()
})

test('[O6] a result that the broker does not take is listed, shown and given up', async () => {
  await start([1], {
    StockReceived: (_event, { emit }) => void emit(nowhere.stream('x').Lost({})),
  })
  const { ref, ...letter } = await theOnly()
  expect(letter).toMatchObject({ where: 'result', topic: 'nowhere', code: 'MESSAGE_TOO_LARGE' })
  expect((await view.show(ref))?.attributes).toMatchObject({ type: 'Lost' })
  expect(await view.redrive(ref, act)).toBe('done')
  await theOnly()
  expect(await view.discard(ref, act)).toBe('done')
  expect(await view.discard(ref, act)).toBe('gone')
  expect((await view.list(10)).items).toEqual([])
})
