/**
 * What the black-box suite runs on: our emulator, or any namespace with the entities of Config.json that
 * SERVICEBUS_CONNECTION_STRING names. It sees the broker through Microsoft's SDK alone.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  ServiceBusClient,
  type ServiceBusMessage,
  type ServiceBusReceivedMessage,
  type ServiceBusReceiver,
} from '@azure/service-bus'
import { v7 } from 'uuid'
import { type Emulator, parseConfig, startEmulator, type Topology } from '../index.ts'

/** A broker, and a client of it. */
export interface BlackBox {
  readonly client: ServiceBusClient
  /** How long the locks of the entities with short locks are, in ms. */
  readonly lockMs: number
  /** Only where it is ours. */
  readonly emulator: Emulator | undefined
  /** Another client, with its own connection. */
  connect(options?: { timeoutInMs?: number; maxRetries?: number }): ServiceBusClient
  close(): Promise<void>
}

/** Is the suite about to run on somebody else's broker? */
export const isForeign = process.env['SERVICEBUS_CONNECTION_STRING'] !== undefined

const shortLockMs = isForeign ? 5_000 : 400

/** The topology of Config.json; on our own emulator its 5 seconds become short enough to wait for. */
export function readTopology(): Topology {
  const topology = parseConfig(readFileSync(join(import.meta.dirname, 'Config.json'), 'utf8'))
  return {
    ...topology,
    queues: (topology.queues ?? []).map((queue) =>
      queue.lockMs === 5_000 ? { ...queue, lockMs: shortLockMs } : queue,
    ),
  }
}

/** Opens the broker. */
export async function openBlackBox(options: { key?: string } = {}): Promise<BlackBox> {
  const emulator = isForeign
    ? undefined
    : await startEmulator({ config: readTopology(), ...options })
  const connectionString =
    emulator?.connectionString ?? process.env['SERVICEBUS_CONNECTION_STRING'] ?? ''
  const clients: ServiceBusClient[] = []
  const connect: BlackBox['connect'] = ({ timeoutInMs = 5_000, maxRetries = 0 } = {}) => {
    const client = new ServiceBusClient(connectionString, {
      retryOptions: { maxRetries, retryDelayInMs: 50, timeoutInMs },
    })
    clients.push(client)
    return client
  }
  return {
    client: connect(),
    lockMs: shortLockMs,
    emulator,
    connect,
    async close() {
      await Promise.all(clients.map((client) => client.close()))
      await emulator?.close()
    },
  }
}

/** Sends a message and receives it. */
export async function roundTrip(
  { client }: BlackBox,
  message: ServiceBusMessage,
  queue = 'plain',
): Promise<ServiceBusReceivedMessage> {
  const sender = client.createSender(queue)
  await sender.sendMessages(message)
  await sender.close()
  const receiver = client.createReceiver(queue)
  const [received] = await receiver.receiveMessages(1, { maxWaitTimeInMs: 5_000 })
  if (!received) throw new Error('nothing came')
  await receiver.completeMessage(received)
  await receiver.close()
  return received
}

/** Sends messages to a queue or topic, in order. */
export async function send(
  { client }: BlackBox,
  to: string,
  ...messages: readonly ServiceBusMessage[]
): Promise<void> {
  const sender = client.createSender(to)
  await sender.sendMessages([...messages])
  await sender.close()
}

/** A message with a body, an id of its own, and whatever else. */
export const message = (
  body: unknown,
  more: Partial<ServiceBusMessage> = {},
): ServiceBusMessage => ({
  body,
  messageId: v7(),
  ...more,
})

/** Receives until `count` messages came, or for `ms` milliseconds. */
export async function take(
  receiver: ServiceBusReceiver,
  count: number,
  ms = 5_000,
): Promise<ServiceBusReceivedMessage[]> {
  const all: ServiceBusReceivedMessage[] = []
  const end = performance.now() + ms
  while (all.length < count && performance.now() < end) {
    const left = Math.max(1, Math.floor(end - performance.now()))
    all.push(...(await receiver.receiveMessages(count - all.length, { maxWaitTimeInMs: left })))
  }
  return all
}

/** Receives exactly one message. */
export async function takeOne(
  receiver: ServiceBusReceiver,
  ms?: number,
): Promise<ServiceBusReceivedMessage> {
  const [one] = await take(receiver, 1, ms)
  if (!one) throw new Error('nothing came')
  return one
}

/** Why something is dead-lettered. */
export const because = (reason: string) => ({
  deadLetterReason: reason,
  deadLetterErrorDescription: '',
})

/** The bodies of messages. */
export const bodies = (messages: readonly ServiceBusReceivedMessage[]): unknown[] =>
  messages.map(({ body }) => body)

/** Takes everything out of these queues, subscriptions (`topic/name`) and their dead letters. */
export async function empty(box: BlackBox, ...places: readonly string[]): Promise<void> {
  // What a test has not settled is locked for a while.
  await box.emulator?.faults.expireLocks('*')
  for (const subQueue of [undefined, 'deadLetter'] as const) {
    await Promise.all(
      places.map((place) => drain(receiverOf(box, place, 'receiveAndDelete', subQueue))),
    )
  }
}

async function drain(receiver: ServiceBusReceiver): Promise<void> {
  for (;;) {
    const some = await receiver.receiveMessages(200, { maxWaitTimeInMs: isForeign ? 6_000 : 20 })
    if (some.length === 0) return receiver.close()
  }
}

/** A receiver of a queue, or of a subscription given as `topic/name`. */
export function receiverOf(
  { client }: BlackBox,
  place: string,
  receiveMode: 'peekLock' | 'receiveAndDelete' = 'peekLock',
  subQueueType?: 'deadLetter',
): ServiceBusReceiver {
  const [entity = '', subscription] = place.split('/')
  const options = {
    receiveMode,
    maxAutoLockRenewalDurationInMs: 0,
    ...(subQueueType ? { subQueueType } : {}),
  }
  return subscription === undefined
    ? client.createReceiver(entity, options)
    : client.createReceiver(entity, subscription, options)
}
