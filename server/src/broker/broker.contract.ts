/** What every broker adapter has to do. Each adapter's test calls this with a broker that has `contractTopology`. */
import { isTidemarkError } from '@tidemark/shared'
import { v7 } from 'uuid'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import type { Topology } from '../emulator/core/topology.ts'
import type { Message, PeekableBroker, Received, Receiver, ReceiverOptions } from './broker.ts'

/** The entities that the suite uses; on a real namespace they are made beforehand, with these properties. */
export const contractTopology = (lockMs: number): Topology => ({
  topics: [
    {
      name: 'contract',
      duplicateWindowMs: 60_000,
      subscriptions: [
        { name: 'plain', lockMs, maxDeliveryCount: 3 },
        { name: 'sessions', lockMs, maxDeliveryCount: 3, requiresSession: true },
      ],
    },
  ],
})

/** A broker under test. */
export interface BrokerWorld {
  /** Another client of the same broker. */
  connect(): PeekableBroker
  /** How long its subscriptions lock a message, in ms. */
  readonly lockMs: number
  /** Ends every lock at once, where it can: else what a test leaves locked has to be waited for. */
  expireLocks?(): Promise<void>
  close(): Promise<void>
}

const topic = 'contract'
const encoder = new TextEncoder()

const message = (key: string, data: unknown, more: Partial<Message> = {}): Message => {
  const id = more.id ?? v7()
  return {
    id,
    key,
    attributes: { specversion: '1.0', id, source: '/contract/default', type: 'Tested' },
    body: encoder.encode(JSON.stringify(data)),
    ...more,
  }
}

const dataOf = ({ body }: Received): unknown => JSON.parse(new TextDecoder().decode(body))

/** Receives until there are `count` messages, or for `ms` milliseconds. */
async function collect(receiver: Receiver, count: number, ms = 5_000): Promise<Received[]> {
  const all: Received[] = []
  const end = performance.now() + ms
  while (all.length < count && performance.now() < end) {
    all.push(...(await receiver.receive(count - all.length, end - performance.now())))
  }
  return all
}

async function settleAll(receiver: Receiver, all: readonly Received[]): Promise<void> {
  await Promise.all(all.map((one) => receiver.settle(one, { type: 'complete' })))
}

/** Proves that an adapter is the port. */
export function brokerContract(open: () => Promise<BrokerWorld>): void {
  let world: BrokerWorld
  let broker: PeekableBroker
  const opened: Receiver[] = []
  const receiver = (options: Omit<ReceiverOptions, 'topic'>, of = broker): Receiver => {
    const made = of.receiver({ topic, ...options })
    opened.push(made)
    return made
  }
  const plain = (holdMsMax?: number) => receiver({ subscription: 'plain', holdMsMax })
  const sessions = (count: number, of = broker) =>
    receiver({ subscription: 'sessions', sessions: count }, of)

  beforeAll(async () => {
    world = await open()
    broker = world.connect()
  }, 30_000)
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((one) => one.close()))
    await drain()
  }, 30_000)
  afterAll(async () => {
    await broker.close()
    await world.close()
  }, 30_000)

  /** Leaves nothing to the next test. */
  async function drain(): Promise<void> {
    await world.expireLocks?.()
    const waitMs = world.expireLocks ? 120 : world.lockMs + 150
    const readers = [
      receiver({ subscription: 'plain' }),
      receiver({ subscription: 'plain', deadLetters: true }),
      receiver({ subscription: 'sessions', sessions: 8 }),
      receiver({ subscription: 'sessions', deadLetters: true }),
    ]
    await Promise.all(
      readers.map(async (reader) => {
        for (;;) {
          const rest = await reader.receive(100, waitMs)
          if (rest.length === 0) return
          await settleAll(reader, rest)
        }
      }),
    )
    await Promise.all(opened.splice(0).map((one) => one.close()))
  }

  test('[B1] a message reaches every subscription with its id, key, attributes and body as they were', async () => {
    const body = encoder.encode('{"name": "Schraube M4 – größer", "1": 1.0}')
    const id = v7()
    const attributes = {
      specversion: '1.0',
      id,
      source: '/contract/shop-7',
      type: 'Tested',
      subject: 'sku-1 – größer',
      time: '2026-01-01T00:00:00.000Z',
      datacontenttype: 'application/json',
      schemaversion: 2,
      position: '9007199254740991',
      replayed: true,
    }
    const sent = { id, key: 'shop-7/sku-1', attributes, body, correlationId: 'c-1' }
    expect(await broker.publish(topic, [sent])).toEqual([undefined])
    for (const reader of [plain(), sessions(1)]) {
      const [received] = await collect(reader, 1)
      expect(received).toMatchObject({ ...sent, body: expect.anything() })
      expect(received?.attributes).toEqual(attributes)
      expect(Buffer.from(received?.body ?? []).toString()).toBe(Buffer.from(body).toString())
      expect(received).toMatchObject({ label: 'Tested', deliveries: 1 })
      await settleAll(reader, received ? [received] : [])
    }
  })

  test('[B2] publishing answers for each message, and one that is too large stands alone', async () => {
    const large = 'x'.repeat(broker.limits.messageBytesMax)
    const sent = [message('a', 1), message('a', large), message('a', 3), message('b', 4)]
    const results = await broker.publish(topic, sent)
    expect(results.map((result) => result?.code)).toEqual([
      undefined,
      'MESSAGE_TOO_LARGE',
      undefined,
      undefined,
    ])
    const reader = plain()
    const received = await collect(reader, 3)
    expect(received.map(dataOf)).toEqual([1, 3, 4])
    await settleAll(reader, received)
  })

  test('[B2] a message up to the announced limit passes', async () => {
    const data = 'x'.repeat(broker.limits.messageBytesMax - 1_024)
    expect(await broker.publish(topic, [message('a', data)])).toEqual([undefined])
    const reader = plain()
    const [received] = await collect(reader, 1)
    expect(received && dataOf(received)).toBe(data)
    await settleAll(reader, received ? [received] : [])
  })

  test('[B2] a topic or a subscription that does not exist is named, and nothing throws out of publish', async () => {
    const results = await broker.publish('no-such-topic', [message('a', 1), message('b', 2)])
    expect(results.map((result) => result?.code)).toEqual(['ENTITY_MISSING', 'ENTITY_MISSING'])
    const reader = receiver({ subscription: 'no-such-subscription' })
    await expect(reader.receive(1, 2_000)).rejects.toSatisfy((error) =>
      isTidemarkError(error, 'ENTITY_MISSING'),
    )
  })

  test('[B2] what is called off is not sent, and says so', async () => {
    const isOff = AbortSignal.abort()
    const results = await broker.publish(topic, [message('a', 1), message('b', 2)], isOff)
    expect(results.map((result) => result?.code)).toEqual([
      'BROKER_UNAVAILABLE',
      'BROKER_UNAVAILABLE',
    ])
    await broker.publish(topic, [message('a', 3)])
    const reader = plain()
    const received = await collect(reader, 1)
    expect(received.map(dataOf)).toEqual([3])
    await settleAll(reader, received)
  })

  test('[B2] publishing nothing is nothing', async () => {
    expect(await broker.publish(topic, [])).toEqual([])
  })

  test('[B3] a message that is sent twice arrives once, and one that is sent again on purpose passes', async () => {
    const one = message('a', 1)
    const marker = message('a', 'marker')
    await broker.publish(topic, [one])
    await broker.publish(topic, [one])
    await broker.publish(topic, [{ ...one, resend: 'again' }, marker])
    const reader = plain()
    const received = await collect(reader, 3)
    expect(received.map(dataOf)).toEqual([1, 1, 'marker'])
    expect(received.map(({ attributes }) => attributes['id'])).toEqual([one.id, one.id, marker.id])
    await settleAll(reader, received)
  })

  test('[B4] what is completed is gone, and what is abandoned comes again and counts', async () => {
    await broker.publish(topic, [message('a', 1), message('a', 2)])
    const reader = plain()
    const [one, two] = await collect(reader, 2)
    if (!one || !two) throw new Error('two messages')
    await reader.settle(one, { type: 'complete' })
    await reader.settle(two, { type: 'abandon' })
    const [again] = await collect(reader, 1)
    expect(again).toMatchObject({ id: two.id, deliveries: 2 })
    await settleAll(reader, again ? [again] : [])
    expect(await reader.receive(1, 50)).toEqual([])
  })

  test('[B5] a dead letter is read from the dead letters, with its reason', async () => {
    await broker.publish(topic, [message('a', 1)])
    const reader = plain()
    const [one] = await collect(reader, 1)
    if (!one) throw new Error('a message')
    const description = 'not JSON – größer'
    await reader.settle(one, { type: 'deadLetter', reason: 'MESSAGE_MALFORMED', description })
    const dead = receiver({ subscription: 'plain', deadLetters: true })
    const [letter] = await collect(dead, 1)
    expect(letter).toMatchObject({ id: one.id, key: 'a', attributes: one.attributes })
    expect(letter?.properties).toMatchObject({
      DeadLetterReason: 'MESSAGE_MALFORMED',
      DeadLetterErrorDescription: description,
    })
    await settleAll(dead, letter ? [letter] : [])
  })

  test('[B5] what was abandoned too often is dead-lettered by the broker', async () => {
    await broker.publish(topic, [message('a', 1)])
    const reader = plain()
    for (let turn = 1; turn <= 3; turn += 1) {
      const [one] = await collect(reader, 1)
      expect(one?.deliveries).toBe(turn)
      if (one) await reader.settle(one, { type: 'abandon' })
    }
    const dead = receiver({ subscription: 'plain', deadLetters: true })
    const [letter] = await collect(dead, 1)
    expect(letter?.properties['DeadLetterReason']).toBe('MaxDeliveryCountExceeded')
    await settleAll(dead, letter ? [letter] : [])
  })

  test('[B6] a lock that is not renewed ends: the message comes again, and settling it late says LOCK_LOST', async () => {
    await broker.publish(topic, [message('a', 1)])
    const reader = plain(0)
    const [one] = await collect(reader, 1)
    const [again] = await collect(reader, 1, world.lockMs * 2 + 2_000)
    expect(again).toMatchObject({ id: one?.id, deliveries: 2 })
    if (!one || !again) throw new Error('the same message twice')
    await expect(reader.settle(one, { type: 'complete' })).rejects.toMatchObject({
      code: 'LOCK_LOST',
    })
    await reader.settle(again, { type: 'complete' })
  })

  test('[B6] a lock is renewed for as long as the receiver was told to hold', async () => {
    await broker.publish(topic, [message('a', 1)])
    const reader = plain(world.lockMs * 10)
    const [one] = await collect(reader, 1)
    expect(await reader.receive(1, world.lockMs * 2.5)).toEqual([])
    if (!one) throw new Error('a message')
    await reader.settle(one, { type: 'complete' })
  })

  test('[B7] different settlements at the same moment each have their own effect', async () => {
    const count = 30
    await broker.publish(
      topic,
      Array.from({ length: count }, (_, index) => message('a', index)),
    )
    const reader = plain()
    const received = await collect(reader, count)
    await Promise.all(
      received.map((one, index) =>
        reader.settle(
          one,
          index % 3 === 0
            ? { type: 'complete' }
            : index % 3 === 1
              ? { type: 'deadLetter', reason: `reason ${index}`, description: '' }
              : { type: 'abandon' },
        ),
      ),
    )
    const again = await collect(reader, count / 3)
    expect(again.map(dataOf).sort(byNumber)).toEqual(every(count, 2))
    await settleAll(reader, again)
    const dead = receiver({ subscription: 'plain', deadLetters: true })
    const letters = await collect(dead, count / 3)
    expect(letters.map(dataOf).sort(byNumber)).toEqual(every(count, 1))
    for (const letter of letters) {
      expect(letter.properties['DeadLetterReason']).toBe(`reason ${String(dataOf(letter))}`)
    }
    await settleAll(dead, letters)
    expect(await reader.receive(1, 50)).toEqual([])
  })

  test('[B8] a session hands out its messages in order, over several publishes and sessions', async () => {
    for (let round = 0; round < 4; round += 1) {
      await broker.publish(
        topic,
        ['a', 'b', 'c'].map((key) => message(key, round)),
      )
    }
    const reader = sessions(2)
    const seen = new Map<string, unknown[]>()
    for (let count = 0; count < 12;) {
      const received = await collect(reader, 1)
      if (received.length === 0) break
      for (const one of received) {
        seen.set(one.key, [...(seen.get(one.key) ?? []), dataOf(one)])
        await reader.settle(one, { type: 'complete' })
        count += 1
      }
    }
    expect(Object.fromEntries(seen)).toEqual({ a: [0, 1, 2, 3], b: [0, 1, 2, 3], c: [0, 1, 2, 3] })
  })

  test('[B8] a session has one receiver at a time, and the next one when it lets go', async () => {
    await broker.publish(topic, [message('only', 1), message('only', 2)])
    const other = world.connect()
    const first = sessions(1)
    const second = sessions(1, other)
    const [one] = await first.receive(1, 5_000)
    expect(one && dataOf(one)).toBe(1)
    expect(await second.receive(1, 200)).toEqual([])
    await first.close()
    const again = await collect(second, 2)
    expect(again.map(dataOf)).toEqual([1, 2])
    await settleAll(second, again)
    await second.close()
    await other.close()
  })

  test('[B8] what is abandoned in a session comes again before what follows it', async () => {
    await broker.publish(topic, [message('a', 1), message('a', 2), message('a', 3)])
    const reader = sessions(1)
    const [one] = await reader.receive(1, 5_000)
    if (!one) throw new Error('a message')
    await reader.settle(one, { type: 'abandon' })
    const seen: unknown[] = []
    while (seen.length < 3) {
      const [next] = await collect(reader, 1)
      if (!next) break
      seen.push(dataOf(next))
      await reader.settle(next, { type: 'complete' })
    }
    expect(seen).toEqual([1, 2, 3])
  })

  test('[B9] receiving waits for a message that comes later, and gives up in time', async () => {
    const reader = plain()
    const startedAt = performance.now()
    expect(await reader.receive(1, 300)).toEqual([])
    expect(performance.now() - startedAt).toBeGreaterThan(250)
    expect(performance.now() - startedAt).toBeLessThan(3_000)
    const waiting = reader.receive(1, 10_000)
    await broker.publish(topic, [message('a', 'later')])
    const received = await waiting
    expect(received.map(dataOf)).toEqual(['later'])
    await settleAll(reader, received)
  })

  test('[B9] a closed receiver hands out nothing, and its broker goes on', async () => {
    const reader = plain()
    const waiting = reader.receive(1, 10_000)
    await reader.close()
    expect(await waiting).toEqual([])
    await broker.publish(topic, [message('a', 1)])
    const next = plain()
    const received = await collect(next, 1)
    expect(received.map(dataOf)).toEqual([1])
    await settleAll(next, received)
  })

  const dead = { topic, subscription: 'plain', deadLetters: true }
  /** Dead-letters messages with these data on `plain`. */
  const bury = async (...all: readonly unknown[]): Promise<void> => {
    await broker.publish(
      topic,
      all.map((data) => message('a', data)),
    )
    const reader = plain()
    for (const received of await collect(reader, all.length)) {
      await reader.settle(received, { type: 'deadLetter', reason: 'Torn', description: 'in two' })
    }
    await reader.close()
  }

  test('[O15] looking at dead letters takes none of them, and goes on after any of them', async () => {
    await bury(1, 2, 3)
    const all = await broker.peek(dead, 10)
    expect(all.map(dataOf)).toEqual([1, 2, 3])
    expect(all[0]?.properties).toMatchObject({
      DeadLetterReason: 'Torn',
      DeadLetterErrorDescription: 'in two',
    })
    expect((await broker.peek(dead, 1)).map(dataOf)).toEqual([1])
    expect((await broker.peek(dead, 10, all[0]?.sequence)).map(dataOf)).toEqual([2, 3])
    expect(await broker.peek(dead, 10, all[2]?.sequence)).toEqual([])
    const nobody = broker.peek({ ...dead, subscription: 'nobody' }, 1)
    await expect(nobody).rejects.toMatchObject({ code: 'ENTITY_MISSING' })
  })

  test('[O15] one dead letter is picked out and settled; the others, and one whose work fails, stay', async () => {
    await bury(1, 2, 3)
    const [, second] = await broker.peek(dead, 10)
    const sequence = second?.sequence ?? ''
    const failing = broker.pick(dead, sequence, () => Promise.reject(new Error('no')))
    await expect(failing).rejects.toThrow('no')
    const picked: unknown[] = []
    const complete = async (received: Received) => {
      picked.push(dataOf(received))
      return { type: 'complete' } as const
    }
    expect(await broker.pick(dead, sequence, complete)).toBe(true)
    expect(await broker.pick(dead, sequence, complete)).toBe(false)
    expect(picked).toEqual([2])
    expect((await broker.peek(dead, 10)).map(dataOf)).toEqual([1, 3])
  })

  test('[O15] a foreign message that is sent again keeps its label and its headers', async () => {
    const properties = { tenant: 'shop-7', weight: 3 }
    const foreign = { attributes: {}, label: 'OrderCreated', properties, resend: 'again' }
    await broker.publish(topic, [message('a', 1, foreign)])
    const reader = plain()
    const received = await collect(reader, 1)
    expect(received[0]?.label).toBe('OrderCreated')
    expect(received[0]?.id).toMatch(/#again$/)
    expect({ ...received[0]?.attributes, ...received[0]?.properties }).toMatchObject(properties)
    await settleAll(reader, received)
  })

  test('[B1] a thousand messages in one call arrive in order', async () => {
    const sent = Array.from({ length: 1_000 }, (_, index) => message(`k-${index % 7}`, index))
    const results = await broker.publish(topic, sent)
    expect(results.filter((result) => result !== undefined)).toEqual([])
    const reader = plain()
    const received: Received[] = []
    while (received.length < 1_000) {
      const some = await collect(reader, 100)
      if (some.length === 0) break
      received.push(...some)
      await settleAll(reader, some)
    }
    expect(received.map(dataOf)).toEqual(sent.map((_, index) => index))
  })
}

const byNumber = (one: unknown, other: unknown): number => Number(one) - Number(other)
const every = (count: number, rest: number): number[] =>
  Array.from({ length: count }, (_, index) => index).filter((index) => index % 3 === rest)
