import { isTidemarkError } from '@tidemark/shared'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { type PeekableBroker, type Received, resendProperty } from '../broker/broker.ts'
import { fromMessage } from '../cloudevents.ts'
import { consume } from '../consumer/consume.ts'
import { refuse } from '../consumer/policy.ts'
import { memoryProcessed } from '../consumer/processed/memory.ts'
import { brokerDeadLetters, toResend } from './broker-dead-letters.ts'
import { createDeadLetters, type DeadLetters } from './dead-letters.ts'
import { parkedStreams } from './parked-streams.ts'
import { setAside } from './set-aside.ts'
import { inventory, openWorld, type OperateWorld } from './testing/world.ts'

const act = { by: 'ann', note: 'the address was wrong' }
const subscription = 'reporting'
let world: OperateWorld
let view: DeadLetters
let processed: ReturnType<typeof memoryProcessed>

beforeEach(() => {
  world = openWorld()
  processed = memoryProcessed()
  const { log, broker, system } = world
  view = createDeadLetters(
    [
      parkedStreams({ log, system }),
      setAside({ name: 'purchasing', processed, system }),
      brokerDeadLetters({ broker, topic: 'inventory', subscription, log, system }),
    ],
    system,
  )
})
afterEach(() => world.close())

/** Publishes an event, and dead-letters it on the subscription `reporting`, as a foreign service would. */
async function bury(quantity: number): Promise<void> {
  await world.append('sku-1', { quantity })
  await deadLetterAt(subscription)
}

async function deadLetterAt(subscription: string): Promise<void> {
  const { broker } = world
  const receiver = broker.receiver({ topic: 'inventory', subscription })
  const [message] = await receiver.receive(1, 500_000)
  if (!message) throw new Error('the relay publishes what was appended')
  const settlement = { type: 'deadLetter', reason: 'OutOfPaper', description: 'no paper' } as const
  await receiver.settle(message, settlement)
  await receiver.close()
}

test('[O6] one list shows what the relay has parked, what a consumer has set aside, and the dead letters of the broker', async () => {
  const consumer = await consume(inventory, {
    name: 'purchasing',
    broker: world.broker,
    processed,
    ordered: false,
    system: world.system,
    on: { StockReceived: (event) => refuse('NO_SUPPLIER', `nobody sells ${event.stream}`) },
  })
  world.relay()
  await bury(1)
  await world.append('sku-2', { quantity: 2, note: 'x'.repeat(300_000) })
  await world.append('sku-2', { quantity: 3 })
  const { items } = await vi.waitFor(async () => {
    const list = await view.list(10)
    expect(list.items).toHaveLength(3)
    return list
  })
  expect(items).toMatchObject([
    {
      ref: 'relay/inventory/shop-7/sku-2/1',
      where: 'relay',
      key: 'shop-7/sku-2',
      code: 'MESSAGE_TOO_LARGE',
    },
    { where: 'consumer', consumer: 'purchasing', code: 'NO_SUPPLIER', events: 1 },
    { ref: 'broker/inventory/reporting/1', code: 'OutOfPaper', reason: 'no paper', attempts: 0 },
  ])
  expect((await view.list(10, 'consumer')).items).toHaveLength(1)
  for (const { ref } of items) {
    const shown = await view.show(ref)
    expect(shown?.lines.length, ref).toBeGreaterThan(0)
  }
  expect((await view.show('relay/inventory/shop-7/sku-2/1'))?.lines).toHaveLength(2)
  await consumer.close()
})

test('[O6] a source that cannot be read is named, and the others are listed', async () => {
  const { system, log, broker } = world
  const missing = { broker, topic: 'inventory', subscription: 'nobody', log, system }
  const broken = createDeadLetters([brokerDeadLetters(missing), parkedStreams(world)], system)
  const list = await broken.list(10)
  expect(list.items).toEqual([])
  expect(list.unread).toMatchObject([{ source: 'broker/inventory/nobody' }])
  expect(list.unread[0]?.reason).toContain('ENTITY_MISSING')
})

test('[O6] a list says which sources have more than it shows', async () => {
  world.relay()
  for (const quantity of [1, 2, 3]) await bury(quantity)
  const list = await view.list(2)
  expect(list.items.map(({ ref }) => ref)).toEqual([
    'broker/inventory/reporting/1',
    'broker/inventory/reporting/2',
  ])
  expect(list.more).toEqual(['broker/inventory/reporting'])
})

test('[O7] a dead letter of the broker passes the duplicate window when it is redriven, keeps its event’s id, and is gone from the dead letters', async () => {
  world.relay()
  for (const quantity of [1, 2, 3]) await bury(quantity)
  await world.drain('purchasing', 3)
  expect(await view.redrive('broker/inventory/reporting/2', act)).toBe('done')
  const [again] = await world.drain(subscription, 1)
  expect(again?.id).toMatch(/^[0-9a-f-]{36}#reporting\.1$/)
  expect(again?.attributes['id']).toBe(again?.id.slice(0, 36))
  expect(again?.attributes['onlyfor']).toBe('reporting')
  expect(Object.keys(again?.attributes ?? {})).not.toContain('DeadLetterReason')
  const left = await view.list(10)
  expect(left.items.map(({ ref }) => ref)).toEqual([
    'broker/inventory/reporting/1',
    'broker/inventory/reporting/3',
  ])
  expect(await world.log.audits(10)).toMatchObject([
    {
      by: 'ann',
      action: 'redrive',
      note: act.note,
      subject: `broker/inventory/reporting/2 ${String(again?.attributes['id'])}`,
    },
  ])
})

test('[O7] redriving twice has one effect', async () => {
  world.relay()
  await bury(1)
  const ref = 'broker/inventory/reporting/1'
  const both = [await view.redrive(ref, act), await view.redrive(ref, act)]
  expect(both).toEqual(['done', 'gone'])
  expect(await world.drain(subscription, 1)).toHaveLength(1)
  await bury(2)
  expect((await view.list(10)).items).toHaveLength(1)
})

test('[O7] a crash between sending a dead letter and completing it repeats it under the same message id, which the broker drops', async () => {
  world.relay()
  await bury(1)
  const ref = 'broker/inventory/reporting/1'
  const dying: PeekableBroker = {
    ...peekable(world.broker),
    pick: (place, sequence, work) =>
      world.broker.pick(place, sequence, async (message) => {
        await work(message)
        throw new Error('the process died')
      }),
  }
  const { log, system } = world
  const place = { topic: 'inventory', subscription, log, system }
  const broken = createDeadLetters([brokerDeadLetters({ ...place, broker: dying })], system)
  await expect(broken.redrive(ref, act)).rejects.toThrow('the process died')
  expect(await view.redrive(ref, act)).toBe('done')
  expect(await world.drain(subscription, 1)).toHaveLength(1)
  const receiver = world.broker.receiver({ topic: 'inventory', subscription })
  expect(await receiver.receive(10, 5_000)).toEqual([])
  await receiver.close()
})

test('[O7] an event that two subscriptions could not process is redriven for both', async () => {
  const { broker, log, system } = world
  const both = ['purchasing', 'reporting']
  const at = (subscription: string) =>
    brokerDeadLetters({ broker, topic: 'inventory', subscription, log, system })
  view = createDeadLetters(both.map(at), system)
  world.relay()
  await world.append('sku-1', { quantity: 1 })
  for (const each of both) await deadLetterAt(each)
  const { items } = await view.list(10)
  expect(items).toHaveLength(2)
  for (const { ref } of items) expect(await view.redrive(ref, act)).toBe('done')
  for (const each of both) {
    const meantFor = (await world.drain(each, 2)).map(({ attributes }) => attributes['onlyfor'])
    expect(meantFor.sort()).toEqual(both)
  }
})

test('[O7] ids of others that end in a number, or are long, are the same event when they are redriven', () => {
  const received = (id: string): Received => ({
    id,
    key: '',
    attributes: {},
    label: 'StockReceived',
    properties: {},
    body: new TextEncoder().encode('{"quantity":1}'),
    enqueuedAt: 1,
    deliveries: 1,
    lockedUntil: 0,
  })
  const sentAgain = (message: Received, subscription: string): Received => {
    const { resend = '', ...rest } = toResend(message, subscription)
    const properties = { ...rest.properties, [resendProperty]: resend }
    return { ...message, ...rest, id: `${rest.id}#${resend}`, properties }
  }
  const others = ['a'.repeat(50), `${'a'.repeat(49)}b`]
  for (const id of ['order#5', 'order#7', 'x'.repeat(115)]) {
    const first = received(id)
    const ids = others.map((subscription) => {
      const again = sentAgain(sentAgain(first, subscription), subscription)
      expect(fromMessage('inventory', again).claim).toEqual(fromMessage('inventory', first).claim)
      expect(again.id).toMatch(/\.2$/)
      expect(again.id.length).toBeLessThanOrEqual(128)
      return again.id
    })
    expect(new Set(ids).size).toBe(2)
  }
})

test('a redrive that the broker does not take leaves the dead letter where it is', async () => {
  world.relay()
  await bury(1)
  world.namespace.faults.refuseSends('inventory', 'com.microsoft:server-busy')
  const refused: unknown = await view.redrive('broker/inventory/reporting/1', act).catch((e) => e)
  expect(isTidemarkError(refused, 'BROKER_BUSY')).toBe(true)
  expect((await view.list(10)).items).toHaveLength(1)
})

test('[O7] a discarded dead letter is gone, and who gave it up is written down', async () => {
  world.relay()
  await bury(1)
  expect(await view.discard('broker/inventory/reporting/1', act)).toBe('done')
  expect((await view.list(10)).items).toEqual([])
  expect(await world.log.audits(1)).toMatchObject([{ action: 'discard', by: 'ann' }])
})

test('what nobody has heard of is gone', async () => {
  const refs = [
    '',
    'relay',
    'relay/x',
    'broker/inventory/reporting/0',
    'broker/inventory/reporting/-1',
    'broker/inventory/reporting/99',
    'consumer/purchasing/stream/nobody/x',
    'consumer/purchasing/result/x',
    'elsewhere/%E0%A4%A',
    'relay/%E0%A4%A',
  ]
  for (const ref of refs) {
    expect(await view.show(ref), ref).toBeUndefined()
    expect(await view.redrive(ref, act), ref).toBe('gone')
    expect(await view.discard(ref, act), ref).toBe('gone')
  }
})

/** A class's methods as an object that can be spread. */
const peekable = (broker: PeekableBroker): PeekableBroker => ({
  limits: broker.limits,
  publish: (topic, messages) => broker.publish(topic, messages),
  receiver: (options) => broker.receiver(options),
  peek: (place, max, after) => broker.peek(place, max, after),
  pick: (place, sequence, work) => broker.pick(place, sequence, work),
  close: () => broker.close(),
})
