import {
  type ErrorCode,
  type LogName,
  parseLogKey,
  type Position,
  recoveryOf,
  TidemarkError,
} from '@tidemark/shared'
import { beforeEach, expect, test } from 'vitest'
import type { Broker, Message, PublishResult } from './broker/broker.ts'
import { attempt, someEvent } from './log/log.contract.ts'
import type { Log } from './log/log.ts'
import { memoryLog } from './log/memory.ts'
import { silentLogger } from './logger.ts'
import { createRelay, type Relay } from './relay.ts'
import type { Published } from './relay-log.ts'
import { bindLog } from './testing/bind-log.ts'
import { type Clock, createClock } from './testing/clock.ts'
import { inventory, name } from './testing/client.ts'

/** A broker that does what the test says, and keeps what it took. */
class ScriptedBroker implements Broker {
  readonly limits = { messageBytesMax: 10_000, keyLengthMax: 128 }
  /** What it took, in order. */
  readonly taken: Message[] = []
  /** How many publishes are under way, and how many there were at most. */
  underWay = 0
  underWayMax = 0
  /** The code for a message, or nothing. */
  refuse: (message: Message) => PublishResult = () => undefined
  /** What calls off each publish. */
  readonly signals: (AbortSignal | undefined)[] = []
  /** Resolves when the broker answers. */
  answer: () => Promise<void> = () => Promise.resolve()

  async publish(
    _topic: string,
    messages: readonly Message[],
    signal?: AbortSignal,
  ): Promise<readonly PublishResult[]> {
    this.signals.push(signal)
    this.underWay += 1
    this.underWayMax = Math.max(this.underWayMax, this.underWay)
    const stopped = new Map<string, TidemarkError>()
    const results = messages.map((message) => {
      const error = stopped.get(message.key) ?? this.refuse(message)
      if (error && recoveryOf(error) !== 'never') stopped.set(message.key, error)
      if (!error) this.taken.push(message)
      return error
    })
    await this.answer()
    this.underWay -= 1
    return results
  }

  receiver(): never {
    throw new Error('nothing is received here')
  }

  async close(): Promise<void> {}
}

const errors: { readonly [Code in ErrorCode]?: TidemarkError } = {
  BROKER_UNAVAILABLE: new TidemarkError('BROKER_UNAVAILABLE', { reason: 'no' }),
  ENTITY_MISSING: new TidemarkError('ENTITY_MISSING', { entity: 'inventory' }),
  MESSAGE_TOO_LARGE: new TidemarkError('MESSAGE_TOO_LARGE', { bytes: 2, max: 1 }),
}

let clock: Clock
let log: Log
let broker: ScriptedBroker
let published: Published[]
const relays: Relay[] = []

function start(rest: { readonly log?: Log } = {}): Relay {
  const relay = createRelay({
    log,
    broker,
    topics: [inventory],
    system: clock.system,
    logger: silentLogger,
    onPublished: (each) => published.push(each),
    ...rest,
  })
  relays.push(relay)
  return relay
}

beforeEach(() => {
  clock = createClock()
  log = memoryLog({ system: clock.system })
  broker = new ScriptedBroker()
  published = []
})

/** Appends one event to each of these streams, in order. */
async function write(...streams: readonly string[]): Promise<void> {
  await log.append([streams.map((stream) => attempt(someEvent(stream)))])
}

const redrive = (stream: string, fromRevision: number): Promise<boolean> => {
  const action = 'redrive'
  const record = { at: 1, by: 'ann', action, subject: stream, note: '' } as const
  return log.remedy(name, { stream, fromRevision, action }, record)
}
const streams = () => broker.taken.map(({ attributes }) => attributes['subject'])
const takenPositions = () => broker.taken.map(({ attributes }) => Number(attributes['position']))
const cursor = async (of: LogName = name): Promise<number> => (await log.relayed(of)).cursor

test('[R3] every accepted event is published, those from before the start too, in order', async () => {
  await write('a', 'b')
  start()
  await clock.pass(1_000)
  await write('a')
  await clock.pass(1_000)
  expect(takenPositions()).toEqual([1, 2, 3])
  expect(broker.taken[0]).toMatchObject({
    key: 'shop-7/a',
    attributes: { id: broker.taken[0]?.id },
  })
  expect(await cursor()).toBe(3)
})

test('[R3] the cursor is saved after the broker has confirmed, so a crash repeats and never skips', async () => {
  let confirm = (): void => {}
  broker.answer = () => new Promise((resolve) => (confirm = resolve))
  await write('a', 'b')
  start()
  await clock.pass(5_000)
  expect(takenPositions()).toEqual([1, 2])
  expect(await cursor()).toBe(0)
  // The gateway dies here, and its lease runs out: another one starts from what was saved.
  broker.answer = () => Promise.resolve()
  start({ log: bindLog(log) })
  await clock.pass(14_000)
  expect(takenPositions()).toEqual([1, 2, 1, 2])
  expect(await cursor()).toBe(2)
  confirm()
})

test('[R3] what came from the broker is not published again', async () => {
  await log.append([
    [attempt(someEvent('a')), attempt(someEvent('b'), { source: 'broker', author: 'svc' })],
  ])
  await write('c')
  start()
  await clock.pass(1_000)
  expect(streams()).toEqual(['a', 'c'])
  expect(await cursor()).toBe(3)
})

test('[R4] one publish is under way at a time, so no event passes an earlier one of its stream', async () => {
  broker.answer = () => new Promise((resolve) => void clock.system.after(50, resolve))
  start()
  for (let count = 0; count < 10; count += 1) {
    await write('a', 'b')
    await clock.pass(20)
  }
  await clock.pass(2_000)
  expect(takenPositions()).toEqual(Array.from({ length: 20 }, (_, at) => at + 1))
  expect(broker.underWayMax).toBe(1)
})

test('[R5] while the broker takes nothing the relay waits, and then everything is there', async () => {
  broker.refuse = () => errors.BROKER_UNAVAILABLE
  const relay = start()
  await write('a', 'b', 'a')
  await clock.pass(60_000)
  expect(relay.status()).toEqual({ state: 'retrying', code: 'BROKER_UNAVAILABLE', parked: 0 })
  expect(await cursor()).toBe(0)
  broker.refuse = () => undefined
  await clock.pass(60_000)
  expect(takenPositions()).toEqual([1, 2, 3])
  expect(relay.status()).toEqual({ state: 'ok', code: undefined, parked: 0 })
})

test('[R5] a broker that never answers is asked again after a deadline, and sends no more of what it was asked before', async () => {
  broker.answer = () => new Promise(() => {})
  const relay = start()
  await write('a')
  await clock.pass(60_500)
  expect(relay.status().state).toBe('retrying')
  expect(broker.signals[0]?.aborted).toBe(true)
  broker.answer = () => Promise.resolve()
  await clock.pass(130_000)
  expect(relay.status().state).toBe('ok')
  expect(await cursor()).toBe(1)
})

test('[R6] what the broker can never take parks its own stream, and the others go on', async () => {
  broker.refuse = ({ attributes }) =>
    attributes['position'] === '2' ? errors.MESSAGE_TOO_LARGE : undefined
  const relay = start()
  await write('a', 'b', 'c')
  await clock.pass(1_000)
  await write('b', 'a')
  await clock.pass(1_000)
  expect(streams()).toEqual(['a', 'c', 'a'])
  expect((await log.relayed(name)).parked).toMatchObject([
    { stream: 'b', fromPosition: 2, fromRevision: 1, code: 'MESSAGE_TOO_LARGE', attempts: 1 },
  ])
  expect(relay.status().parked).toBe(1)
  expect(published.at(-1)).toMatchObject({ upTo: 5, parked: [{ stream: 'b' }] })
})

test('[R6] a parked stream stays parked when the relay starts again', async () => {
  broker.refuse = ({ attributes }) =>
    attributes['position'] === '1' ? errors.MESSAGE_TOO_LARGE : undefined
  const first = start()
  await write('a')
  await clock.pass(1_000)
  await first.close()
  start()
  await write('a', 'b')
  await clock.pass(1_000)
  expect(streams()).toEqual(['b'])
})

test('[R6] nothing of its stream passes a large event that may yet be parked', async () => {
  broker.refuse = ({ body }) => (body.length > 9_000 ? errors.MESSAGE_TOO_LARGE : undefined)
  const [large, small] = [someEvent('a', { text: 'x'.repeat(9_100) }), someEvent('a')]
  await log.append([[attempt(large), attempt(small), attempt(someEvent('b'))]])
  start()
  await clock.pass(1_000)
  expect(streams()).toEqual(['b'])
  expect((await log.relayed(name)).parked).toMatchObject([{ stream: 'a', fromPosition: 1 }])
})

test('[R7] a redrive publishes what the stream has from where it stopped, in order, once', async () => {
  broker.refuse = ({ key }) => (key === 'shop-7/b' ? errors.MESSAGE_TOO_LARGE : undefined)
  start()
  await write('a', 'b', 'b')
  await clock.pass(1_000)
  await write('b', 'c')
  await clock.pass(1_000)
  broker.refuse = () => undefined
  expect([await redrive('b', 1), await redrive('b', 1)]).toEqual([true, false])
  await clock.pass(2_000)
  expect(takenPositions()).toEqual([1, 5, 2, 3, 4])
  expect((await log.relayed(name)).parked).toEqual([])
  await write('b')
  await clock.pass(1_000)
  expect(takenPositions().at(-1)).toBe(6)
})

test('[R7] a redrive that is refused again parks again, with its attempts counted', async () => {
  broker.refuse = ({ attributes }) =>
    attributes['position'] === '2' ? errors.MESSAGE_TOO_LARGE : undefined
  const relay = start()
  await write('b', 'b', 'b')
  await clock.pass(1_000)
  expect(await redrive('b', 2)).toBe(true)
  await clock.pass(2_000)
  expect((await log.relayed(name)).parked).toMatchObject([{ fromPosition: 2, attempts: 2 }])
  await redrive('unheard', 1)
  await clock.pass(1_000)
  expect(relay.status().parked).toBe(1)
})

test('[R8] a topic that is missing gets time to appear, and then its streams are parked', async () => {
  broker.refuse = () => errors.ENTITY_MISSING
  start()
  await write('a')
  await clock.pass(110_000)
  expect((await log.relayed(name)).parked).toEqual([])
  broker.refuse = () => undefined
  await clock.pass(40_000)
  expect(streams()).toEqual(['a'])
  broker.refuse = () => errors.ENTITY_MISSING
  await write('b')
  await clock.pass(110_000)
  expect((await log.relayed(name)).parked).toEqual([])
  await clock.pass(50_000)
  expect((await log.relayed(name)).parked).toMatchObject([{ stream: 'b', code: 'ENTITY_MISSING' }])
})

test('[R1] of two gateways one relays a log; when it goes, the other takes over', async () => {
  const first = start()
  await write('a')
  await clock.pass(1_000)
  start({ log: bindLog(log) })
  await write('b')
  await clock.pass(20_000)
  expect(takenPositions()).toEqual([1, 2])
  await first.close()
  await write('c')
  await clock.pass(20_000)
  expect(takenPositions()).toEqual([1, 2, 3])
})

test('[R2] a relay that has lost its lease without knowing writes nothing, and starts again', async () => {
  start()
  await write('a')
  await clock.pass(1_000)
  let answer = (): void => {}
  broker.answer = () => new Promise((resolve) => (answer = resolve))
  await write('b')
  await clock.settle()
  // It hangs in a publish for longer than its lease, as in a long pause of the whole process.
  broker.answer = () => Promise.resolve()
  clock.jump(31_000)
  const lease = await log.lease('relay/inventory/shop-7', 'another', 60_000)
  expect(lease).toBeDefined()
  answer()
  await clock.pass(5_000)
  expect(await cursor()).toBe(1)
})

test('[R9] logs that have grown unheard are found by looking', async () => {
  start({ log: { ...bindLog(log), onAppend: () => () => {} } })
  await clock.pass(1)
  const other = parseLogKey('inventory/shop-8')
  await log.append([[attempt(someEvent('a'), { log: other })]])
  await clock.pass(11_000)
  expect(await cursor(other)).toBe(1)
  await log.append([[attempt(someEvent('a'), { log: other })]])
  await clock.pass(2_000)
  expect(await cursor(other)).toBe(2)
})

test('[R3] a long log is published page by page, each event once, also where reading ahead fails', async () => {
  const pages = 4
  const perPage = 150
  const data = { note: 'x'.repeat(4_000) }
  for (let n = 0; n < pages; n += 1) {
    await log.append([Array.from({ length: perPage }, () => attempt(someEvent('a', data)))])
  }
  const bound = bindLog(log)
  let reads = 0
  let isUnderWay = false
  let readAhead = 0
  broker.answer = async () => {
    isUnderWay = true
    for (let turn = 0; turn < 5; turn += 1) await clock.system.breathe()
    isUnderWay = false
  }
  start({
    log: {
      ...bound,
      async read(...args) {
        reads += 1
        if (isUnderWay) readAhead += 1
        if (reads === 2) throw new TidemarkError('LOG_UNAVAILABLE', { reason: 'once' })
        return bound.read(...args)
      },
    },
  })
  for (let second = 0; second < 20; second += 1) await clock.pass(1_000)
  expect(takenPositions()).toEqual(Array.from({ length: pages * perPage }, (_, n) => n + 1))
  expect(broker.underWayMax).toBe(1)
  expect(readAhead).toBeGreaterThan(1)
  expect(await cursor()).toBe(pages * perPage)
})

test('[R9] a relay at rest writes nothing, and one that closes leaves nothing running', async () => {
  let writes = 0
  const counted = bindLog(log)
  const relay = start({
    log: {
      ...counted,
      lease: (...args) => {
        writes += 1
        return counted.lease(...args)
      },
      saveRelayed: (...args) => {
        writes += 1
        return counted.saveRelayed(...args)
      },
    },
  })
  await write('a')
  await clock.pass(2_000)
  const before = writes
  await clock.pass(120_000)
  expect(writes).toBe(before)
  await relay.close()
  expect(clock.timers).toBe(0)
  expect(await cursor()).toBe(1 as Position)
})
