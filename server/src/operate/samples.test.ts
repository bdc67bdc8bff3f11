/** The samples of docs/samples that can be run here: the Node ones, and the message that is shown there. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ServiceBusClient } from '@azure/service-bus'
import { type EventId, parseEntry, type Position, topic, writeClaim } from '@tidemark/shared'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import * as z from 'zod'
import { serviceBus } from '../broker/service-bus.ts'
import { type Emulator, startEmulator } from '../emulator/index.ts'
import { createGateway } from '../gateway.ts'
import { memoryLog } from '../log/memory.ts'
import { planTopology, toEmulatorConfig } from './provision.ts'

const samples = join(import.meta.dirname, '../../../docs/samples')
const folder = mkdtempSync(join(tmpdir(), 'tidemark-samples-'))
const orders = topic('orders', {
  OrderCreatedEvent: z.object({ orderId: z.string(), total: z.int(), currency: z.string() }),
})
const shop = { topic: 'orders', scope: 'shop-7' }
const log = memoryLog()
let emulator: Emulator
const ends: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  const consumers = [
    { name: 'billing', topic: orders },
    { name: 'seen', topic: orders, ordered: false },
  ]
  const plan = planTopology({ topics: [orders], consumers })
  emulator = await startEmulator({ config: JSON.stringify(toEmulatorConfig(plan)) })
  const broker = serviceBus({ connectionString: emulator.connectionString })
  const gateway = createGateway({
    log,
    broker,
    topics: [orders],
    ingest: { subscription: 'gateway', sessions: 4 },
    authenticate: () => ({ author: 'ada' }),
    authorize: () => 'allow',
  })
  ends.push(
    () => gateway.close(),
    () => broker.close(),
    () => emulator.close(),
  )
})
afterAll(async () => {
  for (const end of ends) await end()
  rmSync(folder, { recursive: true, force: true })
})

function run(script: string, ...args: readonly string[]): ChildProcess {
  const path = join(samples, 'node', script)
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', path, ...args], {
    env: { ...process.env, SERVICEBUS_CONNECTION_STRING: emulator.connectionString },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  // However the test ends, no process of it stays.
  ends.unshift(async () => child.kill('SIGKILL'))
  return child
}

async function publish(...args: readonly string[]): Promise<void> {
  const [code] = await once(run('publisher.mjs', ...args), 'exit')
  expect(code).toBe(0)
}

const entries = async () => {
  const { chunks } = await log.read(shop, 0 as Position, 1_000_000)
  return chunks.flatMap((chunk) => chunk.split('\n')).map((line) => parseEntry(shop, line))
}

test('[O14] the message that docs/samples shows is the one that arrives', async () => {
  const sample = JSON.parse(readFileSync(join(samples, 'message.json'), 'utf8'))
  const line = writeClaim({
    id: sample.messageId as EventId,
    stream: 'order-77',
    type: 'OrderCreatedEvent',
    version: 1,
    occurredAt: Date.parse(sample.applicationProperties.cloudEvents_time),
    data: JSON.parse(sample.body),
  })
  const event = { id: sample.messageId as EventId, stream: 'order-77', line }
  await log.append([[{ log: shop, author: 'ada', source: 'client', events: [event] }]])
  const client = new ServiceBusClient(emulator.connectionString)
  const receiver = client.createReceiver('orders', 'seen', { skipParsingBodyAsJson: true })
  const [arrived] = await receiver.receiveMessages(1)
  const { epoch } = await log.head(shop)
  expect({
    messageId: arrived?.messageId,
    sessionId: arrived?.sessionId,
    correlationId: arrived?.correlationId,
    subject: arrived?.subject,
    contentType: arrived?.contentType,
    applicationProperties: arrived?.applicationProperties,
    body: String(arrived?.body),
  }).toEqual({
    ...sample,
    applicationProperties: { ...sample.applicationProperties, cloudEvents_epoch: epoch },
  })
  await client.close()
})

test('[O14] what the Node sample publishes reaches the log, and the Node consumer bills each order once', async () => {
  const id = '0198c0de-0000-7000-8000-000000000002'
  await publish('order-78', '1300', id)
  await vi.waitFor(async () => {
    expect((await entries()).find((entry) => entry.id === id)).toMatchObject({
      source: 'broker',
      author: 'node-sample',
      stream: 'order-78',
      data: { orderId: 'order-78', total: 1300 },
    })
  }, 10_000)
  // The same event once more under another message id, as a redrive sends it; and one that is not JSON.
  const client = new ServiceBusClient(emulator.connectionString)
  const message = {
    sessionId: 'shop-7/order-78',
    subject: 'OrderCreatedEvent',
    body: Buffer.from('{"orderId":"order-78","total":1300}'),
  }
  const sender = client.createSender('orders')
  await sender.sendMessages({ ...message, messageId: `${id}#1` })
  await sender.sendMessages({ ...message, messageId: 'odd', body: Buffer.from('nothing') })
  const consumer = run('consumer.mjs', join(folder, 'billing.db'))
  let said = ''
  consumer.stdout?.on('data', (data: Buffer) => (said += data.toString()))
  const dead = client.createReceiver('orders', 'billing', { subQueueType: 'deadLetter' })
  const [odd] = await dead.receiveMessages(1, { maxWaitTimeInMs: 15_000 })
  expect(odd).toMatchObject({ messageId: 'odd', deadLetterReason: 'NotJson' })
  await vi.waitFor(() => expect(said).toContain(`${id} known already`), 10_000)
  expect(said).toContain(`${id} billed order-78 1300`)
  expect(said).toContain('billed order-77 4200')
  expect(said.match(/billed order-78/g)).toHaveLength(1)
  await client.close()
  const ended = once(consumer, 'exit')
  consumer.kill('SIGTERM')
  expect(await ended).toEqual([0, null])
}, 60_000)
