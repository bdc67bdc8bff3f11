/** What only our own emulator can be told to do. */
import { ServiceBusClient, type ServiceBusReceivedMessage } from '@azure/service-bus'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type Emulator, startEmulator, startEmulatorInWorker } from '../index.ts'
import {
  type BlackBox,
  bodies,
  empty,
  isForeign,
  message,
  openBlackBox,
  readTopology,
  receiverOf,
  send,
  take,
  takeOne,
} from './black-box.ts'

describe.skipIf(isForeign)('faults on order', () => {
  let box: BlackBox
  let emulator: Emulator
  beforeAll(async () => {
    box = await openBlackBox()
    if (!box.emulator) throw new Error('our own emulator')
    emulator = box.emulator
  })
  afterEach(async () => {
    await emulator.faults.clear()
    await empty(box, 'plain', 'once')
  })
  afterAll(() => box.close())

  test.each([
    ['com.microsoft:server-busy', 'ServiceBusy'],
    ['amqp:resource-limit-exceeded', 'QuotaExceeded'],
    ['amqp:unauthorized-access', 'UnauthorizedAccess'],
    ['com.microsoft:entity-disabled', 'MessagingEntityDisabled'],
    ['com.microsoft:timeout', 'ServiceTimeout'],
    ['amqp:internal-error', 'GeneralError'],
  ] as const)(
    '[B53] a send is refused with %s, which the SDK calls %s',
    async (condition, code) => {
      await emulator.faults.refuseSends('plain', condition)
      await expect(send(box, 'plain', message(1))).rejects.toMatchObject({ code })
      await send(box, 'plain', message(2))
      const receiver = receiverOf(box, 'plain')
      expect(bodies(await take(receiver, 1))).toEqual([2])
      await receiver.close()
    },
  )

  test('[B53] of many sends at once exactly those are refused that were meant', async () => {
    const sender = box.client.createSender('plain')
    await sender.sendMessages([])
    // An odd number: rhea merges in pairs, so a yes would be answered like the no before it.
    await emulator.faults.refuseSends('plain', 'com.microsoft:server-busy', 11)
    const sends = await Promise.allSettled(
      Array.from({ length: 30 }, (_, index) => sender.sendMessages(message(index))),
    )
    const stored = sends.flatMap(({ status }, index) => (status === 'fulfilled' ? [index] : []))
    expect(stored).toHaveLength(19)
    const receiver = receiverOf(box, 'plain')
    expect(bodies(await take(receiver, 19))).toEqual(stored)
    await receiver.close()
    await sender.close()
  })

  test('[B53] a batch is refused as a whole', async () => {
    await emulator.faults.refuseSends('*', 'com.microsoft:server-busy')
    await expect(send(box, 'plain', message(1), message(2))).rejects.toMatchObject({
      code: 'ServiceBusy',
    })
    const receiver = receiverOf(box, 'plain')
    expect(await receiver.peekMessages(1)).toEqual([])
    await receiver.close()
  })

  test('[B53] an answer to a send comes late, when the message is long there', async () => {
    await emulator.faults.delaySends('plain', 300)
    const startedAt = performance.now()
    await send(box, 'plain', message(1))
    expect(performance.now() - startedAt).toBeGreaterThan(280)
    const receiver = receiverOf(box, 'plain')
    expect(bodies(await take(receiver, 1))).toEqual([1])
    await receiver.close()
  })

  test('[B53] an answer that never comes: sent again, the message is stored once', async () => {
    await emulator.faults.delaySends('once', Infinity)
    const client = new ServiceBusClient(emulator.connectionString, {
      retryOptions: { maxRetries: 1, retryDelayInMs: 20, timeoutInMs: 300 },
    })
    await client.createSender('once').sendMessages(message('once'))
    await client.close()
    const receiver = receiverOf(box, 'once')
    expect(bodies(await receiver.peekMessages(10))).toEqual(['once'])
    await receiver.close()
  })

  test('[B53] a settlement is carried out though its answer comes late', async () => {
    await send(box, 'plain', message(1))
    const receiver = receiverOf(box, 'plain')
    const one = await takeOne(receiver)
    await emulator.faults.delaySettlements('plain', 200)
    const startedAt = performance.now()
    await receiver.completeMessage(one)
    expect(performance.now() - startedAt).toBeGreaterThan(180)
    expect(await receiver.peekMessages(1)).toEqual([])
    await receiver.close()
  })

  test('[B53] a lock ends before its time', async () => {
    await send(box, 'plain', message(1))
    const receiver = receiverOf(box, 'plain')
    const one = await takeOne(receiver)
    await emulator.faults.expireLocks('plain')
    await expect(receiver.completeMessage(one)).rejects.toMatchObject({ code: 'MessageLockLost' })
    expect((await takeOne(receiver)).deliveryCount).toBe(1)
    await receiver.close()
  })

  test('[B53] a detached sender opens again by itself', async () => {
    const client = box.connect({ timeoutInMs: 300, maxRetries: 2 })
    const sender = client.createSender('plain')
    await sender.sendMessages(message(1))
    await emulator.faults.detach('plain')
    // What was on its way when the link went is sent again.
    await sender.sendMessages(message(2))
    const receiver = receiverOf(box, 'plain')
    expect(bodies(await take(receiver, 2))).toEqual([1, 2])
    await receiver.close()
    await client.close()
  })

  test('[B53] a subscription survives detaching and broken connections', async () => {
    const other = await openBlackBox()
    const receiver = other.client.createReceiver('plain')
    const seen: ServiceBusReceivedMessage[] = []
    receiver.subscribe({
      processMessage: async (one) => void seen.push(one),
      processError: async () => {},
    })
    const wait = (count: number) =>
      expect.poll(() => seen.map(({ body }) => body), { timeout: 8_000 }).toHaveLength(count)
    // Each with a connection of its own: a client whose connection breaks while it opens a link is lost.
    const say = (body: number) =>
      send({ ...other, client: other.connect() }, 'plain', message(body))
    await say(1)
    await wait(1)
    await other.emulator?.faults.detach('plain')
    await say(2)
    await wait(2)
    await other.emulator?.faults.killConnections()
    await say(3)
    await wait(3)
    await other.close()
  })

  test('[B53] a silent queue hands out nothing, until it speaks again', async () => {
    await emulator.faults.silence('plain')
    await send(box, 'plain', message(1))
    const receiver = receiverOf(box, 'plain')
    expect(await receiver.receiveMessages(1, { maxWaitTimeInMs: 100 })).toEqual([])
    const waiting = take(receiver, 1)
    await emulator.faults.silence('plain', false)
    expect(bodies(await waiting)).toEqual([1])
    await receiver.close()
  })

  test('[B53] a receiver that went deaf hears nothing, and a new one everything', async () => {
    const deaf = receiverOf(box, 'plain')
    const heard: unknown[] = []
    deaf.subscribe({
      processMessage: async ({ body }) => void heard.push(body),
      processError: async () => {},
    })
    await send(box, 'plain', message(1))
    await expect.poll(() => heard).toEqual([1])
    await emulator.faults.deafen('plain')
    await send(box, 'plain', message(2))
    const receiver = receiverOf(box, 'plain')
    expect(bodies(await take(receiver, 1))).toEqual([2])
    expect(heard).toEqual([1])
    await receiver.close()
    await deaf.close()
  })
})

describe.skipIf(isForeign)('who may come in', () => {
  const key = 'c2VjcmV0IGtleQ=='
  let emulator: Emulator
  beforeAll(async () => {
    emulator = await startEmulator({ config: readTopology(), key })
  })
  afterAll(() => emulator.close())

  async function knock(connectionString: string): Promise<unknown> {
    const retryOptions = { maxRetries: 0, timeoutInMs: 2_000 }
    const client = new ServiceBusClient(connectionString, { retryOptions })
    try {
      await client.createSender('plain').sendMessages(message(1))
      return 'come in'
    } catch (error) {
      return (error as { code?: unknown }).code
    } finally {
      await client.close()
    }
  }

  test('[B54] who has the key may', async () => {
    expect(await knock(emulator.connectionString)).toBe('come in')
  })

  test('[B54] who has another key may not', async () => {
    const wrong = emulator.connectionString.replace(key, 'YW5vdGhlciBrZXk=')
    expect(await knock(wrong)).toBe('UnauthorizedAccess')
  })

  test('[B54] a signature that was made for another time is not valid', async () => {
    const signed = (expiry: number, signature: string) =>
      emulator.connectionString.replace(
        /SharedAccessKeyName=.*?;SharedAccessKey=[^;]*/,
        `SharedAccessSignature=SharedAccessSignature sr=x&sig=${signature}&se=${expiry}&skn=k`,
      )
    expect(await knock(signed(2_000_000_000, 'AAAA'))).toBe('UnauthorizedAccess')
    expect(await knock(signed(1, 'AAAA'))).toBe('UnauthorizedAccess')
  })

  test('[B54] without a key anybody may', async () => {
    const open = await startEmulator({ config: readTopology() })
    expect(await knock(open.connectionString)).toBe('come in')
    await open.close()
  })
})

describe.skipIf(isForeign)('the emulator itself', () => {
  test('[B54] it runs in a thread of its own, with all its faults', async () => {
    const emulator = await startEmulatorInWorker({ config: { queues: [{ name: 'q' }] } })
    const client = new ServiceBusClient(emulator.connectionString, {
      retryOptions: { maxRetries: 0 },
    })
    const sender = client.createSender('q')
    await sender.sendMessages(message('it'))
    await emulator.faults.refuseSends('q', 'com.microsoft:server-busy')
    await expect(sender.sendMessages(message('no'))).rejects.toMatchObject({ code: 'ServiceBusy' })
    const receiver = client.createReceiver('q')
    expect(bodies(await take(receiver, 1))).toEqual(['it'])
    const taken = { config: { queues: [] }, port: emulator.port }
    await expect(startEmulatorInWorker(taken)).rejects.toThrow(/EADDRINUSE/)
    await client.close()
    await emulator.close()
  })

  test('[B54] it says what it is when it starts', async () => {
    const said: string[] = []
    const emulator = await startEmulator({
      config: { queues: [{ name: 'q' }] },
      say: (line) => said.push(line),
    })
    expect(said.join()).toMatch(/development and tests/)
    expect(emulator.connectionString).toContain(`sb://127.0.0.1:${emulator.port};`)
    await emulator.close()
  })

  test('[B54] a port that is taken is an error, not a surprise', async () => {
    const config = { queues: [{ name: 'q' }] }
    const first = await startEmulator({ config })
    await expect(startEmulator({ config, port: first.port })).rejects.toThrow(/EADDRINUSE/)
    await first.close()
  })

  test('[B54] bytes that are no AMQP end their connection, and nobody else’s', async () => {
    const emulator = await startEmulator({ config: { queues: [{ name: 'q' }] } })
    const { connect } = await import('node:net')
    const socket = connect(emulator.port, '127.0.0.1')
    const closed = new Promise((resolve) => void socket.once('close', resolve))
    socket.on('error', () => {})
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    await closed
    const client = new ServiceBusClient(emulator.connectionString)
    await client.createSender('q').sendMessages(message(1))
    await client.close()
    await emulator.close()
  })
})
