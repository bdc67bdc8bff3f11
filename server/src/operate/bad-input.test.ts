/**
 * The rows of docs/operations.md, one by one: what comes in badly, what becomes of it, and what is counted. The
 * gateway and the consumer are ours, what publishes is the SDK of Azure, and the emulator stands for Service Bus.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { ServiceBusClient, type ServiceBusMessage } from '@azure/service-bus'
import { type EventId, parseEntry, type Position, system, topic } from '@tidemark/shared'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import * as z from 'zod'
import type { PeekableBroker } from '../broker/broker.ts'
import { serviceBus } from '../broker/service-bus.ts'
import { type Consumer, consume } from '../consumer/consume.ts'
import { memoryProcessed, type MemoryTx } from '../consumer/processed/memory.ts'
import type { Processed } from '../consumer/processed/processed.ts'
import { sqliteProcessed } from '../consumer/processed/sqlite.ts'
import type { Handlers } from '../consumer/settings.ts'
import { type Emulator, startEmulator } from '../emulator/index.ts'
import { createGateway, type Gateway } from '../gateway.ts'
import type { Log } from '../log/log.ts'
import { memoryLog } from '../log/memory.ts'
import { planTopology, toEmulatorConfig } from './provision.ts'
import { createView } from './view.ts'

const inventory = topic('inventory', {
  StockReceived: z.object({ quantity: z.int(), note: z.string().optional() }),
})
const declared = [{ name: 'purchasing', topic: inventory }]
const shop = { topic: 'inventory', scope: 'shop-7' }
const patience = { timeout: 10_000, interval: 20 }

let emulator: Emulator
let client: ServiceBusClient
let broker: PeekableBroker
let log: Log
let gateway: Gateway
let processed: Processed<MemoryTx>
const consumers: Consumer[] = []

beforeAll(async () => {
  const plan = planTopology({ topics: [inventory], consumers: declared })
  emulator = await startEmulator({ config: JSON.stringify(toEmulatorConfig(plan)) })
  client = new ServiceBusClient(emulator.connectionString)
})
afterAll(async () => {
  await client.close()
  await emulator.close()
})
beforeEach(() => {
  log = memoryLog()
  processed = memoryProcessed()
  broker = serviceBus({ connectionString: emulator.connectionString, answerMsMax: 5_000 })
  gateway = createGateway({
    log,
    broker,
    topics: [inventory],
    ingest: { subscription: 'gateway', sessions: 8 },
    authenticate: () => ({ author: 'ann' }),
    authorize: () => 'allow',
  })
})
afterEach(async () => {
  for (const consumer of consumers.splice(0)) await consumer.close()
  await gateway.close()
  for (const subscription of ['gateway', 'purchasing']) await empty(subscription)
  await broker.close()
})

async function start(
  on: Handlers<typeof inventory, MemoryTx> = { StockReceived: () => {} },
  more: { readonly handlerMsMax?: number; readonly subscription?: string } = {},
): Promise<Consumer> {
  const consumer = await consume(inventory, {
    name: 'purchasing',
    broker,
    processed,
    attemptsMax: 2,
    retry: { firstMs: 10, maxMs: 20 },
    on,
    ...more,
  })
  consumers.push(consumer)
  return consumer
}

/** Sends a message as any program may. */
async function send(message: Partial<ServiceBusMessage> = {}): Promise<void> {
  const sender = client.createSender('inventory')
  await sender.sendMessages({
    body: { quantity: 1 },
    messageId: system.uuid(),
    sessionId: 'shop-7/sku-1',
    subject: 'StockReceived',
    contentType: 'application/json',
    ...message,
  })
  await sender.close()
}

const entries = async () => {
  const { chunks } = await log.read(shop, 0 as Position, Number.MAX_SAFE_INTEGER)
  return chunks.flatMap((chunk) => chunk.split('\n')).map((line) => parseEntry(shop, line))
}

const deadLetters = async (subscription: string) => {
  const view = createView({
    log,
    topics: [inventory],
    broker,
    consumers: declared,
    system,
    gatewaySubscription: 'gateway',
  })
  return (await view.list(10, `broker/inventory/${subscription}`)).items
}

/** Takes everything out of a subscription and its dead letters. */
async function empty(subscription: string): Promise<void> {
  for (const letter of await deadLetters(subscription)) {
    const place = { topic: 'inventory', subscription, deadLetters: true }
    const [, sequence = ''] = /\/(\d+)$/.exec(letter.ref) ?? []
    await broker.pick(place, sequence, async () => ({ type: 'complete' }))
  }
  const receiver = broker.receiver({ topic: 'inventory', subscription, sessions: 8 })
  for (;;) {
    const messages = await receiver.receive(100, 300)
    if (messages.length === 0) break
    for (const message of messages) await receiver.settle(message, { type: 'complete' })
  }
  await receiver.close()
}

test('[O13] a body that is not JSON is dead-lettered by each of our readers, counted, and what follows it passes', async () => {
  const consumer = await start()
  await send({ body: Buffer.from('quantity=1') })
  await send()
  await vi.waitFor(async () => expect(await entries()).toHaveLength(1), patience)
  await vi.waitFor(
    () => expect(consumer.counts).toMatchObject({ malformed: 1, processed: 1 }),
    patience,
  )
  expect(gateway.status().ingest['inventory']).toMatchObject({ deadLettered: 1 })
  for (const subscription of ['gateway', 'purchasing']) {
    expect(await deadLetters(subscription)).toMatchObject([
      { code: 'MESSAGE_MALFORMED', reason: expect.stringContaining('not JSON') },
    ])
  }
})

test('[O13] data that does not fit its schema is dead-lettered by the gateway, and parked by the consumer', async () => {
  const consumer = await start()
  await send({ body: { quantity: 'many' } })
  await vi.waitFor(() => expect(consumer.counts.parked).toBe(1), patience)
  await vi.waitFor(
    async () => expect(await deadLetters('gateway')).toMatchObject([{ code: 'SCHEMA_INVALID' }]),
    patience,
  )
  expect(await deadLetters('purchasing')).toEqual([])
})

test('[O13] an event under an id that was refused before is dead-lettered by the gateway, for it will never be appended', async () => {
  const id = system.uuid() as EventId
  const refusal = { code: 'SCHEMA_INVALID', details: { issues: [] } } as const
  const events = [{ id, stream: 'sku-1', line: '{}' }]
  const denied = { type: 'refused', id, refusal } as const
  await log.append([[{ log: shop, author: 'eve', source: 'client', events, denied }]])
  await send({ messageId: id })
  await vi.waitFor(
    async () =>
      expect(await deadLetters('gateway')).toMatchObject([
        { code: 'ID_REUSED', reason: expect.stringContaining('SCHEMA_INVALID') },
      ]),
    patience,
  )
  expect(gateway.status().ingest['inventory']).toMatchObject({ deadLettered: 1 })
  expect(await entries()).toEqual([])
})

test('[O13] a message without a CloudEvents id is known by its message id, the same one whenever it comes', async () => {
  await send({ messageId: 'order-77', body: { quantity: 7 } })
  await vi.waitFor(async () => expect(await entries()).toHaveLength(1), patience)
  const [first] = await entries()
  expect(first).toMatchObject({ source: 'broker', stream: 'sku-1', data: { quantity: 7 } })
  // A redrive gives it another message id, and it is known all the same.
  await send({
    messageId: 'order-77#1',
    applicationProperties: { 'tidemark-resend': 1 },
    body: { quantity: 7 },
  })
  await send({ body: { quantity: 8 } })
  await vi.waitFor(async () => expect(await entries()).toHaveLength(2), patience)
  expect((await entries())[1]).toMatchObject({ data: { quantity: 8 } })
})

test('[O13] whoever may send can claim any source and author, which is kept as claimed; a known id changes nothing', async () => {
  const id = system.uuid()
  const cloudEvent = (quantity: number, messageId: string): Partial<ServiceBusMessage> => ({
    messageId,
    body: { quantity },
    applicationProperties: {
      cloudEvents_specversion: '1.0',
      cloudEvents_id: id,
      cloudEvents_source: '/inventory/shop-8',
      cloudEvents_type: 'StockReceived',
      cloudEvents_scope: 'shop-7',
      cloudEvents_author: 'the-boss',
    },
  })
  const consumer = await start()
  await send(cloudEvent(1, 'a'))
  await vi.waitFor(() => expect(consumer.counts).toMatchObject({ processed: 1 }), patience)
  await send(cloudEvent(1_000, 'b'))
  await vi.waitFor(
    () => expect(consumer.counts).toMatchObject({ processed: 1, duplicates: 1 }),
    patience,
  )
  await send({ body: { quantity: 2 } })
  await vi.waitFor(async () => expect(await entries()).toHaveLength(2), patience)
  const [first] = await entries()
  expect(first).toMatchObject({ id, author: 'the-boss', source: 'broker', data: { quantity: 1 } })
})

test('[O13] 300 KB of data: the gateway refuses it to its author, the SDK to its caller, the kit parks who emits it', async () => {
  expect(gateway.limits.eventBytesMax).toBeLessThan(262_144)
  const note = 'x'.repeat(300_000)
  await expect(send({ body: { quantity: 1, note } })).rejects.toMatchObject({
    code: 'MessageSizeExceeded',
  })
  const consumer = await start({
    StockReceived: ({ stream }, { emit }) => {
      emit(inventory.stream(stream).StockReceived({ quantity: 2, note }))
    },
  })
  await send()
  await vi.waitFor(() => expect(consumer.counts.parked).toBe(1), patience)
  const view = createView({
    log,
    topics: [inventory],
    consumers: [{ name: 'purchasing', topic: inventory, processed }],
    system,
  })
  expect((await view.list(10, 'consumer')).items.at(-1)).toMatchObject({
    code: 'MESSAGE_TOO_LARGE',
  })
})

test('[O13] a reader without its subscription waits and says so; what is published meanwhile is not for it', async () => {
  const consumer = await start({}, { subscription: 'missing' })
  await vi.waitFor(
    () => expect(consumer.state).toMatchObject({ state: 'stalled', code: 'ENTITY_MISSING' }),
    patience,
  )
})

test('[O13] a handler that throws is tried again, parked, and its author hears of it by an event', async () => {
  const consumer = await start({
    StockReceived: ({ data }) => {
      if (data.quantity === 13) throw new Error('an unlucky number')
    },
  })
  await send({ body: { quantity: 13 }, sessionId: 'shop-7/sku-13' })
  await send({ body: { quantity: 1 }, sessionId: 'shop-7/sku-1' })
  await vi.waitFor(
    () => expect(consumer.counts).toMatchObject({ failed: 2, parked: 1, processed: 1 }),
    patience,
  )
  await vi.waitFor(async () => {
    const told = (await entries()).find(({ type }) => type === 'tidemark.DeadLettered')
    expect(told).toMatchObject({
      author: 'purchasing',
      stream: 'sku-13',
      data: { consumer: 'purchasing', code: 'HANDLER_FAILED', attempts: 2 },
    })
  }, patience)
})

test('[O13] a handler that hangs is given up after its time, and parked after its attempts', async () => {
  const consumer = await start(
    { StockReceived: () => new Promise(() => {}) },
    { handlerMsMax: 100 },
  )
  await send({ sessionId: 'shop-7/sku-14' })
  await vi.waitFor(() => expect(consumer.counts.parked).toBe(1), patience)
  const view = createView({
    log,
    topics: [inventory],
    consumers: [{ name: 'purchasing', topic: inventory, processed }],
    system,
  })
  const { items } = await view.list(10, 'consumer')
  expect(items.find(({ key }) => key === 'shop-7/sku-14')).toMatchObject({
    code: 'HANDLER_TIMEOUT',
    attempts: 2,
  })
})

test('[O13] a handler that kills its process is parked once its attempts are used up, and what stood behind it waits', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-crash-'))
  const path = join(folder, 'purchasing.db')
  const script = join(import.meta.dirname, 'testing/crashing-consumer.ts')
  const startChild = (): ChildProcess =>
    fork(script, [emulator.connectionString, path], {
      execArgv: ['-C', '@tidemark/source', '--disable-warning=ExperimentalWarning'],
    })
  await send({ body: { quantity: 13 }, sessionId: 'shop-7/sku-15' })
  await send({ body: { quantity: 1 }, sessionId: 'shop-7/sku-15' })
  for (const attempt of ['first', 'second']) {
    const [, signal] = await once(startChild(), 'exit')
    expect(signal, attempt).toBe('SIGKILL')
  }
  const child = startChild()
  const database = new DatabaseSync(path)
  const consumer = { name: 'purchasing', topic: inventory, processed: sqliteProcessed(database) }
  const view = createView({ log, topics: [inventory], consumers: [consumer], system })
  await vi.waitFor(async () => {
    expect((await view.list(10)).items).toMatchObject([
      { code: 'HANDLER_CRASHED', key: 'shop-7/sku-15', events: 2 },
    ])
  }, patience)
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  await ended
  database.close()
  rmSync(folder, { recursive: true, force: true })
}, 60_000)
