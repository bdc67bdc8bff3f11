import { topic } from '@tidemark/shared'
import { afterAll, beforeAll, expect, test } from 'vitest'
import * as z from 'zod'
import { inspectByLinks } from '../broker/service-bus-inspect.ts'
import { type Emulator, startEmulator } from '../emulator/index.ts'
import { examine, type FoundSubscription, type FoundTopic, type Inspector } from './doctor.ts'
import { planTopology, subscriptionFilter, toEmulatorConfig } from './provision.ts'

const inventory = topic('inventory', { StockPicked: z.object({}) })
const orders = topic('orders', { OrderPlaced: z.object({}) })
const consumers = [
  { name: 'purchasing', topic: inventory },
  { name: 'reporting', topic: inventory, ordered: false },
]

/** An inspector that has been told what is there. */
const told = (
  found: FoundTopic | undefined,
  subscription: FoundSubscription | undefined,
): Inspector => ({
  means: 'by being told',
  topic: async () => found,
  subscription: async () => subscription,
})
const plan = planTopology({ topics: [orders] })
const sound: FoundSubscription = {
  requiresSession: true,
  filters: [subscriptionFilter('gateway')],
  maxDeliveryCount: 10,
  deadLettersExpired: true,
  deadLetters: { count: 0, isAtLeast: false },
}

test('[O11] a namespace that is as declared has nothing but fine findings', async () => {
  const inspector = told({ requiresDuplicateDetection: true, subscriptions: ['Gateway'] }, sound)
  const findings = await examine({ plan, inspector, messageBytesMax: 262_144 })
  expect(new Set(findings.map(({ severity }) => severity))).toEqual(new Set(['fine']))
})

test('[O11] each difference is one sentence about one entity, as bad as it is', async () => {
  const find = async (found: FoundTopic | undefined, subscription?: FoundSubscription) =>
    (await examine({ plan, inspector: told(found, subscription), messageBytesMax: 262_144 }))
      .filter(({ severity }) => severity !== 'fine')
      .map(({ severity, entity, sentence }) => [severity, entity, sentence.split(/[.,:]/)[0]])
  const topicFound = { requiresDuplicateDetection: true }
  expect(await find(undefined)).toEqual([['wrong', 'orders', 'The topic does not exist']])
  expect(await find(topicFound, undefined)).toEqual([
    ['wrong', 'orders/gateway', 'The subscription does not exist'],
  ])
  expect(await find({ requiresDuplicateDetection: false }, sound)).toEqual([
    ['wrong', 'orders', 'It does not detect duplicates'],
  ])
  expect(await find({ ...topicFound, messageBytesMax: 65_536 }, sound)).toEqual([
    ['wrong', 'orders', 'It takes messages of 65536 bytes'],
  ])
  expect(await find({ ...topicFound, subscriptions: ['gateway', 'old'] }, sound)).toEqual([
    ['look', 'orders/old', 'The subscription is not declared'],
  ])
  expect(await find(topicFound, { ...sound, requiresSession: false })).toEqual([
    ['wrong', 'orders/gateway', 'It has no sessions'],
  ])
  expect(await find(topicFound, { ...sound, filters: ['1=1'] })).toEqual([
    ['look', 'orders/gateway', 'It takes everything'],
  ])
  expect(await find(topicFound, { ...sound, filters: [] })).toEqual([
    ['wrong', 'orders/gateway', 'It has no rule'],
  ])
  expect(await find(topicFound, { ...sound, deadLetters: { count: 3, isAtLeast: false } })).toEqual(
    [['look', 'orders/gateway', 'It has 3 dead letters']],
  )
  expect(await find(topicFound, { ...sound, maxDeliveryCount: 3 })).toEqual([
    ['look', 'orders/gateway', 'It dead-letters after 3 deliveries'],
  ])
  expect(await find(topicFound, { ...sound, deadLettersExpired: false })).toEqual([
    ['look', 'orders/gateway', 'What expires in it is dropped without a trace'],
  ])
})

test('[O11] what cannot be looked at is said to be unknown, never fine', async () => {
  const inspector: Inspector = {
    ...told({}, {}),
    subscription: () => Promise.reject(new Error('no right to')),
  }
  expect(await examine({ plan, inspector })).toMatchObject([
    { severity: 'unknown', entity: 'orders' },
    {
      severity: 'unknown',
      entity: 'orders/gateway',
      sentence: expect.stringContaining('no right'),
    },
  ])
  const blind = { ...inspector, topic: () => Promise.reject(new Error('no answer')) }
  expect(await examine({ plan, inspector: blind })).toHaveLength(1)
})

let emulator: Emulator
beforeAll(async () => {
  const made = planTopology({ topics: [inventory, orders], consumers })
  emulator = await startEmulator({ config: JSON.stringify(toEmulatorConfig(made)) })
})
afterAll(() => emulator.close())

test('[O11] over links alone, a provisioned emulator is seen as declared, and a different declaration as different', async () => {
  const look = inspectByLinks({ connectionString: emulator.connectionString })
  const { inspector } = look
  const same = planTopology({ topics: [inventory], consumers })
  const severities = (await examine({ plan: same, inspector, messageBytesMax: 262_144 })).map(
    ({ severity, entity }) => `${severity} ${entity}`,
  )
  expect(severities).toEqual([
    'unknown inventory',
    'fine inventory/gateway',
    'fine inventory/gateway',
    'fine inventory/purchasing',
    'fine inventory/purchasing',
    'fine inventory/reporting',
    'fine inventory/reporting',
  ])
  const other = planTopology({
    topics: [orders, topic('nowhere', {})],
    gatewayOrdered: false,
    consumers: [{ name: 'billing', topic: orders }],
  })
  const wrong = (await examine({ plan: other, inspector }))
    .filter(({ severity }) => severity === 'wrong')
    .map(({ entity }) => entity)
  expect(wrong).toEqual(['orders/gateway', 'orders/billing', 'nowhere'])
  await look.close()
})
