import { connect, createServer, type Socket } from 'node:net'
import { system } from '@tidemark/shared'
import { v7 } from 'uuid'
import { afterEach, describe, expect, test } from 'vitest'
import { type Emulator, startEmulator } from '../emulator/index.ts'
import type { Broker, Message, Received, Receiver } from './broker.ts'
import { brokerContract, contractTopology } from './broker.contract.ts'
import { serviceBus, type ServiceBusOptions } from './service-bus.ts'

describe('Service Bus on the emulator', () => {
  brokerContract(async () => {
    const lockMs = 400
    const emulator = await startEmulator({ config: contractTopology(lockMs) })
    const { connectionString } = emulator
    return {
      lockMs,
      connect: () => serviceBus({ connectionString }),
      expireLocks: () => emulator.faults.expireLocks('*'),
      close: () => emulator.close(),
    }
  })
})

const { SERVICEBUS_CONNECTION_STRING: real } = process.env

describe.skipIf(real === undefined)('Service Bus at SERVICEBUS_CONNECTION_STRING', () => {
  brokerContract(async () => ({
    // What the subscriptions of the namespace are expected to have: the shortest that Azure allows.
    lockMs: 5_000,
    connect: () => serviceBus({ connectionString: real ?? '' }),
    close: async () => {},
  }))
})

const closing: (() => Promise<void>)[] = []

afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})

async function open(
  options: Partial<ServiceBusOptions> = {},
  key?: string,
): Promise<{ emulator: Emulator; broker: Broker }> {
  const config = contractTopology(30_000)
  const emulator = await startEmulator({ config, ...(key === undefined ? {} : { key }) })
  closing.push(() => emulator.close())
  const { connectionString } = emulator
  const broker = serviceBus({ connectionString, answerMsMax: 3_000, ...options })
  closing.push(() => broker.close())
  return { emulator, broker }
}

const message = (data: unknown, key = 'a'): Message => {
  const id = v7()
  const attributes = { specversion: '1.0', id, type: 'Tested' }
  return { id, key, attributes, body: Buffer.from(JSON.stringify(data)) }
}

const dataOf = ({ body }: Received): unknown => JSON.parse(Buffer.from(body).toString())

/** Receives until `count` messages came; a receiver that heals itself may say so meanwhile. */
async function collect(receiver: Receiver, count: number, ms = 8_000): Promise<Received[]> {
  const all: Received[] = []
  const end = performance.now() + ms
  while (all.length < count && performance.now() < end) {
    all.push(...(await receiver.receive(count - all.length, 500).catch(() => [])))
  }
  return all
}

const codes = (results: readonly ({ code: string } | undefined)[]) =>
  results.map((result) => result?.code)

test('[B14] nobody listens: publishing says so at once, and works as soon as somebody does', async () => {
  const config = contractTopology(30_000)
  const gone = await startEmulator({ config })
  await gone.close()
  const broker = serviceBus({ connectionString: gone.connectionString, answerMsMax: 3_000 })
  closing.push(() => broker.close())
  const startedAt = performance.now()
  expect(codes(await broker.publish('contract', [message(1), message(2)]))).toEqual([
    'BROKER_UNAVAILABLE',
    'BROKER_UNAVAILABLE',
  ])
  expect(performance.now() - startedAt).toBeLessThan(3_500)
  const emulator = await startEmulator({ config, port: gone.port })
  closing.push(() => emulator.close())
  await expect
    .poll(async () => codes(await broker.publish('contract', [message(3)])), { timeout: 8_000 })
    .toEqual([undefined])
})

test('[B14] the connection breaks: publishing and receiving heal by themselves', async () => {
  const { emulator, broker } = await open()
  await broker.publish('contract', [message(1)])
  const plain = broker.receiver({ topic: 'contract', subscription: 'plain' })
  const sessions = broker.receiver({ topic: 'contract', subscription: 'sessions', sessions: 1 })
  for (const reader of [plain, sessions]) {
    const [one] = await collect(reader, 1)
    if (one) await reader.settle(one, { type: 'complete' })
  }
  await emulator.faults.killConnections()
  await expect
    .poll(async () => codes(await broker.publish('contract', [message(2)])), { timeout: 8_000 })
    .toEqual([undefined])
  for (const reader of [plain, sessions]) {
    expect((await collect(reader, 1)).map(dataOf)).toContain(2)
  }
})

test('[B14] links are detached, as idle ones are: the next publish goes through', async () => {
  const { emulator, broker } = await open()
  await broker.publish('contract', [message(1)])
  await emulator.faults.detach('contract')
  expect(codes(await broker.publish('contract', [message(2)]))).toEqual([undefined])
})

test('[B14] an answer is lost: the message is sent again and stored once', async () => {
  const { emulator, broker } = await open()
  await emulator.faults.delaySends('contract', Infinity)
  expect(codes(await broker.publish('contract', [message(1)]))).toEqual([undefined])
  await broker.publish('contract', [message('end')])
  const reader = broker.receiver({ topic: 'contract', subscription: 'plain' })
  expect((await collect(reader, 2)).map(dataOf)).toEqual([1, 'end'])
})

test('[B14] no answer ever comes: the deadline is ours, and later messages of the key are not sent', async () => {
  const { emulator, broker } = await open({ answerMsMax: 1_200 })
  await broker.publish('contract', [message(0)])
  await emulator.faults.delaySends('contract', Infinity, 100)
  const startedAt = performance.now()
  // Two batches: the second would be sent after the first.
  const large = 'x'.repeat(200_000)
  const results = await broker.publish('contract', [message(large), message(large)])
  expect(codes(results)).toEqual(['BROKER_UNAVAILABLE', 'BROKER_UNAVAILABLE'])
  expect(performance.now() - startedAt).toBeLessThan(3_000)
  await emulator.faults.clear()
  const reader = broker.receiver({ topic: 'contract', subscription: 'plain' })
  expect(await collect(reader, 3, 1_500)).toHaveLength(2)
})

test('[B14] no answer ever comes: many batches of many keys wait for it once, not each in its turn', async () => {
  const { emulator, broker } = await open({ answerMsMax: 1_200 })
  await broker.publish('contract', [message(0)])
  await emulator.faults.delaySends('contract', Infinity, 100)
  const startedAt = performance.now()
  const large = 'x'.repeat(200_000)
  const keys = ['a', 'b', 'c', 'd', 'e', 'f']
  const results = await broker.publish(
    'contract',
    keys.map((key) => message(large, key)),
  )
  expect(codes(results)).toEqual(keys.map(() => 'BROKER_UNAVAILABLE'))
  expect(performance.now() - startedAt).toBeLessThan(3_000)
})

test('[B2] what is called off while a part of it is under way stays at that part', async () => {
  const { emulator, broker } = await open()
  await broker.publish('contract', [message(0)])
  const reader = broker.receiver({ topic: 'contract', subscription: 'plain' })
  expect(await collect(reader, 1)).toHaveLength(1)
  await emulator.faults.delaySends('contract', 600)
  const off = new AbortController()
  const large = [1, 2].map((n) => message({ n, text: 'x'.repeat(200_000) }))
  const publishing = broker.publish('contract', large, off.signal)
  expect(await collect(reader, 1)).toHaveLength(1)
  off.abort()
  expect(codes(await publishing)).toEqual([undefined, 'BROKER_UNAVAILABLE'])
  await broker.publish('contract', [message('end')])
  expect((await collect(reader, 1)).map(dataOf)).toEqual(['end'])
})

test('[B15] a missing topic is asked for once, however many messages there are for it', async () => {
  const { broker } = await open()
  const messages = (count: number) => Array.from({ length: count }, (_, n) => message(n, `${n}`))
  const startedAt = performance.now()
  const missing = await broker.publish('no-such-topic', messages(1_000))
  expect(new Set(codes(missing))).toEqual(new Set(['ENTITY_MISSING']))
  expect(performance.now() - startedAt).toBeLessThan(3_000)
})

test('[B15] a disabled topic is not a missing one: who disabled it means to go on', async () => {
  const { emulator, broker } = await open()
  await broker.publish('contract', [message(0)])
  await emulator.faults.refuseSends('contract', 'com.microsoft:entity-disabled', 10)
  expect(codes(await broker.publish('contract', [message(1)]))).toEqual(['BROKER_UNAVAILABLE'])
})

test('[B17] whoever fails on an old connection leaves the new one to the others', async () => {
  const emulator = await startEmulator({ config: contractTopology(30_000) })
  closing.push(() => emulator.close())
  const door = await openDoor(emulator)
  let ageMs = 0
  const { connectionString } = door
  const clock = { ...system, mono: () => system.mono() + ageMs }
  const broker = serviceBus({ connectionString, answerMsMax: 900, system: clock })
  closing.push(() => broker.close())
  await broker.publish('contract', [message(0)])
  await emulator.faults.delaySends('contract', Infinity)
  const unanswered = broker.publish('contract', [message(1)])
  const reader = broker.receiver({ topic: 'contract', subscription: 'plain' })
  expect(await collect(reader, 2)).toHaveLength(2)
  ageMs = 1_800_001
  expect(codes(await broker.publish('contract', [message(2)]))).toEqual([undefined])
  expect(codes(await unanswered)).toEqual(['BROKER_UNAVAILABLE'])
  expect(codes(await broker.publish('contract', [message(3)]))).toEqual([undefined])
  expect(door.made()).toBe(2)
})

test('[B17] a reader that the broker does not allow leaves the connection to the others', async () => {
  const emulator = await startEmulator({ config: contractTopology(30_000) })
  closing.push(() => emulator.close())
  const door = await openDoor(emulator)
  const broker = serviceBus({ connectionString: door.connectionString })
  closing.push(() => broker.close())
  await broker.publish('contract', [message(0)])
  const reader = broker.receiver({ topic: 'contract', subscription: 'plain', sessions: 4 })
  for (let time = 0; time < 3; time += 1) {
    await expect(reader.receive(1, 5_000)).rejects.toMatchObject({ code: 'BROKER_UNAVAILABLE' })
  }
  expect(codes(await broker.publish('contract', [message(1)]))).toEqual([undefined])
  expect(door.made()).toBe(1)
})

test('[B15] a throttled namespace is left alone for as long as it asks, whatever the topic', async () => {
  const { emulator, broker } = await open()
  await broker.publish('contract', [message(0)])
  await emulator.faults.refuseSends('*', 'com.microsoft:server-busy', 2)
  const [busy] = await broker.publish('contract', [message(1)])
  expect(busy).toMatchObject({ code: 'BROKER_BUSY', details: { retryAfterMs: 2_000 } })
  await emulator.faults.clear()
  const [still] = await broker.publish('another', [message(2)])
  expect(still).toMatchObject({ code: 'BROKER_BUSY' })
})

test('[B15] a full entity and a refused token say what they are', async () => {
  const { emulator, broker } = await open()
  await emulator.faults.refuseSends('contract', 'amqp:resource-limit-exceeded')
  expect(codes(await broker.publish('contract', [message(1)]))).toEqual(['BROKER_UNAVAILABLE'])
  const guarded = await open({}, 'c2VjcmV0')
  expect(codes(await guarded.broker.publish('contract', [message(1)]))).toEqual([undefined])
  const stranger = serviceBus({
    connectionString: guarded.emulator.connectionString.replace('c2VjcmV0', 'd3Jvbmc='),
    answerMsMax: 3_000,
  })
  closing.push(() => stranger.close())
  expect(codes(await stranger.publish('contract', [message(1)]))).toEqual(['BROKER_UNAUTHORIZED'])
})

test('[B16] a message whose link was cut is not waited for: settling it says LOCK_LOST at once', async () => {
  const { emulator, broker } = await open()
  await broker.publish('contract', [message(1)])
  const reader = broker.receiver({ topic: 'contract', subscription: 'plain' })
  const [one] = await collect(reader, 1)
  await emulator.faults.detach('*')
  await expect
    .poll(() => reader.receive(1, 50).catch((error) => error.code))
    .toEqual('BROKER_UNAVAILABLE')
  const startedAt = performance.now()
  if (!one) throw new Error('a message')
  await expect(reader.settle(one, { type: 'complete' })).rejects.toMatchObject({
    code: 'LOCK_LOST',
  })
  expect(performance.now() - startedAt).toBeLessThan(500)
})

test('[B16] sessions that are lost while their receiver closes are nobody’s unhandled rejection', async () => {
  const { emulator, broker } = await open()
  for (let round = 0; round < 10; round += 1) {
    const reader = broker.receiver({ topic: 'contract', subscription: 'sessions', sessions: 4 })
    await broker.publish('contract', [message(round, `a-${round}`), message(round, `b-${round}`)])
    for (const one of await reader.receive(10, 1_000)) {
      await reader.settle(one, { type: 'complete' })
    }
    await reader.close()
    await emulator.faults.expireLocks('*')
  }
})

test('[B6] locks are renewed apart, also those of two messages with one id, until they are settled', async () => {
  const subscriptions = [{ name: 'plain', lockMs: 300 }]
  const config = { topics: [{ name: 'contract', subscriptions }] }
  const emulator = await startEmulator({ config })
  closing.push(() => emulator.close())
  const broker = serviceBus({ connectionString: emulator.connectionString })
  closing.push(() => broker.close())
  const twice = message('twice')
  await broker.publish('contract', [twice])
  await broker.publish('contract', [twice])
  const reader = broker.receiver({ topic: 'contract', subscription: 'plain' })
  const [first, second] = await collect(reader, 2, 2_000)
  if (!first || !second) throw new Error('two messages came')
  // Nothing comes again in a time in which an unrenewed lock ends more than once.
  expect(await reader.receive(1, 800)).toEqual([])
  await reader.settle(first, { type: 'complete' })
  expect(await reader.receive(1, 800)).toEqual([])
  await reader.settle(second, { type: 'complete' })
})

test('[B17] a receiver that died without a word is made anew', async () => {
  const { emulator, broker } = await open({ silenceMsMax: 300 })
  const reader = broker.receiver({ topic: 'contract', subscription: 'plain' })
  expect(await reader.receive(1, 100)).toEqual([])
  await emulator.faults.deafen('contract/Subscriptions/plain')
  await broker.publish('contract', [message(1)])
  expect((await collect(reader, 1)).map(dataOf)).toEqual([1])
})

test('[B17] an old connection is replaced, and nothing is lost on the way', async () => {
  const { broker } = await open({ clientMsMax: 50 })
  const reader = broker.receiver({ topic: 'contract', subscription: 'sessions', sessions: 2 })
  const seen: unknown[] = []
  for (let count = 0; count < 6; count += 1) {
    expect(codes(await broker.publish('contract', [message(count)]))).toEqual([undefined])
    const [one] = await collect(reader, 1)
    if (!one) break
    seen.push(dataOf(one))
    await reader.settle(one, { type: 'complete' })
  }
  expect(seen).toEqual([0, 1, 2, 3, 4, 5])
})

/** A door to the emulator that counts who is inside, and who ever came. */
async function openDoor(
  emulator: Emulator,
): Promise<{ connectionString: string; inside(): number; made(): number }> {
  const inside = new Set<Socket>()
  let made = 0
  const door = createServer((socket) => {
    const onward = connect(emulator.port, '127.0.0.1')
    inside.add(socket)
    made += 1
    for (const [from, to] of [
      [socket, onward],
      [onward, socket],
    ] as const) {
      from.pipe(to)
      from.on('error', () => to.destroy())
      from.on('close', () => (inside.delete(socket), to.destroy()))
    }
  })
  await new Promise<void>((resolve) => door.listen(0, '127.0.0.1', resolve))
  closing.push(() => new Promise((resolve) => door.close(() => resolve())))
  const address = door.address()
  const port = typeof address === 'object' ? address?.port : undefined
  return {
    connectionString: emulator.connectionString.replace(String(emulator.port), String(port)),
    inside: () => inside.size,
    made: () => made,
  }
}

test('[B18] many sessions are read over several connections, and none stays open', async () => {
  const { emulator, broker: publisher } = await open()
  const door = await openDoor(emulator)
  const broker = serviceBus({ connectionString: door.connectionString })
  closing.push(() => broker.close())
  const keys = Array.from({ length: 50 }, (_, at) => `key-${at}`)
  await publisher.publish(
    'contract',
    keys.flatMap((key) => [message(1, key), message(2, key)]),
  )
  const place = { topic: 'contract', subscription: 'sessions' }
  const receiver = broker.receiver({ ...place, sessions: 50 })
  const received = await collect(receiver, 100)
  expect(door.inside()).toBe(2)
  await Promise.all(received.map((one) => receiver.settle(one, { type: 'complete' })))
  for (const key of keys) {
    expect(received.filter((one) => one.key === key).map(dataOf)).toEqual([1, 2])
  }
  await receiver.close()
  await broker.close()
  await expect.poll(door.inside).toBe(0)
})

test('[B17] under all of these together nothing is lost, and every key keeps its order', async () => {
  const { emulator, broker } = await open({ silenceMsMax: 1_000, clientMsMax: 1_500 })
  const { faults } = emulator
  const troubles = [
    () => faults.killConnections(),
    () => faults.detach('*'),
    () => faults.delaySends('contract', Infinity, 2),
    () => faults.expireLocks('contract/Subscriptions/sessions'),
    () => faults.deafen('contract/Subscriptions/sessions'),
    () => faults.refuseSends('contract', 'amqp:internal-error'),
  ]
  const over = new AbortController()
  const chaos = async () => {
    for (const trouble of troubles) {
      await new Promise((resolve) => void setTimeout(resolve, 400))
      await trouble()
    }
    over.abort()
  }
  const sent = new Map<string, number>()
  const publish = async (key: string) => {
    for (let count = 0; !over.signal.aborted; count += 1) {
      const one = message(count, key)
      while ((await broker.publish('contract', [one]))[0] !== undefined);
      sent.set(key, count + 1)
    }
  }
  const seen = new Map<string, unknown[]>()
  const isDone = () => [...sent].every(([key, count]) => seen.get(key)?.length === count)
  const consume = async () => {
    const reader = broker.receiver({ topic: 'contract', subscription: 'sessions', sessions: 2 })
    const end = performance.now() + 20_000
    while (!(over.signal.aborted && isDone()) && performance.now() < end) {
      for (const one of await reader.receive(50, 500).catch(() => [])) {
        const before = seen.get(one.key) ?? []
        if (!before.includes(dataOf(one))) seen.set(one.key, [...before, dataOf(one)])
        await reader.settle(one, { type: 'complete' }).catch(() => {})
      }
    }
  }
  await Promise.all([chaos(), publish('a'), publish('b'), consume()])
  for (const [key, count] of sent) {
    expect(seen.get(key)).toEqual(Array.from({ length: count }, (_, index) => index))
  }
}, 40_000)
