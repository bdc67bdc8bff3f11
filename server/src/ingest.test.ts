import {
  defaultLimits,
  type Epoch,
  type EventId,
  parseClaim,
  type Position,
  TidemarkError,
  type Topic,
  writeClaim,
} from '@tidemark/shared'
import { beforeEach, expect, test } from 'vitest'
import type { Broker, Message, Received, Receiver, Settlement } from './broker/broker.ts'
import { toMessage } from './cloudevents.ts'
import { createIngest, type Ingest } from './ingest.ts'
import { attempt, someEvent } from './log/log.contract.ts'
import type { Log } from './log/log.ts'
import { memoryLog } from './log/memory.ts'
import { silentLogger } from './logger.ts'
import { bindLog } from './testing/bind-log.ts'
import { type Clock, createClock } from './testing/clock.ts'
import { inventory, name } from './testing/client.ts'

/** A subscription that hands out what the test puts in, again and again until it is settled. */
class ScriptedBroker implements Broker {
  readonly limits = { messageBytesMax: 100_000, keyLengthMax: 128 }
  waiting: Received[] = []
  /** Messages that a receiver holds. */
  held = new Set<Received>()
  readonly settled: (readonly [string, Settlement['type'], string?])[] = []
  open = 0
  opened = 0
  /** Thrown by the next receive or settle. */
  failReceive: TidemarkError | undefined
  failSettle: TidemarkError | undefined
  deaf = false

  readonly #clock: Clock

  constructor(clock: Clock) {
    this.#clock = clock
  }

  receiver(): Receiver {
    this.open += 1
    this.opened += 1
    let closed = (): void => {}
    const closing = new Promise<void>((resolve) => (closed = resolve))
    return {
      receive: async (max, waitMs) => {
        if (this.failReceive) throw this.failReceive
        if (this.deaf) return await new Promise(() => {})
        for (let waited = 0; this.waiting.length === 0 && waited < waitMs; waited += 100) {
          const ended = await Promise.any([
            closing.then(() => true),
            new Promise<boolean>((resolve) => this.#clock.system.after(100, () => resolve(false))),
          ])
          if (ended) return []
        }
        const taken = this.waiting.splice(0, max)
        for (const message of taken) this.held.add(message)
        return taken
      },
      settle: async (message, settlement) => {
        if (this.failSettle) throw this.failSettle
        this.held.delete(message)
        const reason = settlement.type === 'deadLetter' ? [settlement.reason] : []
        this.settled.push([message.id, settlement.type, ...reason] as never)
      },
      close: async () => {
        closed()
        this.open -= this.open > 0 ? 1 : 0
        // What was not settled is handed out again.
        this.waiting.unshift(...this.held)
        this.held.clear()
      },
    }
  }

  put(...messages: readonly Message[]): void {
    for (const message of messages) {
      this.waiting.push({
        properties: {},
        enqueuedAt: 1_790_000_000_000,
        deliveries: 1,
        lockedUntil: 1_790_000_060_000,
        ...message,
      })
    }
  }

  async publish(): Promise<never> {
    throw new Error('nothing is published here')
  }

  async close(): Promise<void> {}
}

let clock: Clock
let log: Log
let broker: ScriptedBroker

function start(rest: { readonly log?: Log; readonly topic?: Topic } = {}): Ingest {
  return createIngest({
    log,
    broker,
    topic: inventory,
    limits: defaultLimits,
    system: clock.system,
    logger: silentLogger,
    from: { subscription: 'gateway' },
    ...rest,
  })
}

beforeEach(() => {
  clock = createClock()
  log = memoryLog({ system: clock.system })
  broker = new ScriptedBroker(clock)
})

/** What another service publishes. */
const foreign = (rest: Partial<Message['attributes']> = {}, data: unknown = { text: 'hello' }) => {
  const id = clock.system.uuid()
  const attributes = {
    specversion: '1.0',
    id,
    source: '/reorder-service',
    type: 'Noted',
    subject: 'sku-1',
    scope: 'shop-7',
    author: 'reorder-service',
    ...rest,
  } as Message['attributes']
  return { id, key: 'shop-7/sku-1', attributes, body: Buffer.from(JSON.stringify(data)) }
}
const entries = async () =>
  (await log.read(name, 0 as Position, 1_000_000)).chunks
    .flatMap((chunk) => chunk.split('\n'))
    .map((line) => JSON.parse(line))

test('[I2] what other services publish is appended in order, and settled after the append', async () => {
  let commit = (): void => {}
  const slow: Log = {
    ...bindLog(log),
    append: async (chains) => {
      await new Promise<void>((resolve) => (commit = resolve))
      return await log.append(chains)
    },
  }
  const messages = [foreign(), foreign()]
  broker.put(...messages)
  start({ log: slow })
  await clock.settle()
  expect(broker.settled).toEqual([])
  commit()
  await clock.settle()
  expect(broker.settled).toEqual(messages.map(({ id }) => [id, 'complete']))
  expect(await entries()).toMatchObject(
    messages.map(({ id }, at) => ({
      position: at + 1,
      source: 'broker',
      author: 'reorder-service',
      event: { id, type: 'Noted', data: { text: 'hello' } },
    })),
  )
})

test('[I1] an echo of our own event is completed and changes nothing', async () => {
  await log.append([[attempt({ ...someEvent('sku-1') })]])
  const { epoch } = await log.head(name)
  const own = someEvent('sku-1', { text: 'mine' }, clock.system.uuid() as EventId)
  const noted = { ...own, line: own.line.replace('"Received"', '"Noted"') }
  await log.append([[attempt(noted)]])
  const [, line = ''] = (await log.read(name, 0 as Position, 1_000_000)).chunks.flatMap((chunk) =>
    chunk.split('\n'),
  )
  broker.put(toMessage(name, epoch, line))
  start()
  await clock.settle()
  expect(broker.settled).toEqual([[own.id, 'complete']])
  expect(await entries()).toHaveLength(2)
})

test('[I1] an echo that a restored log reads before its author comes back is the author’s own event', async () => {
  const lived = memoryLog({ system: clock.system })
  const { line } = someEvent('sku-1', { text: 'mine' }, clock.system.uuid() as EventId)
  const noted = { ...parseClaim(line), type: 'Noted' }
  const own = attempt({ id: noted.id, stream: 'sku-1', line: writeClaim(noted) })
  await lived.append([[own]])
  const [entry = ''] = (await lived.read(name, 0 as Position, 1_000_000)).chunks
  broker.put(toMessage(name, (await lived.head(name)).epoch, entry))
  start()
  await clock.settle()
  expect(await entries()).toMatchObject([{ position: 1, source: 'broker', author: 'ann' }])
  expect((await log.append([[own]]))[0]).toMatchObject([{ type: 'accepted', position: 1 }])
})

test('[I1] an echo of an event that a restored log has lost is left to its author', async () => {
  const copied = memoryLog({ system: clock.system })
  const published = someEvent('sku-1', { text: 'mine' }, clock.system.uuid() as EventId)
  await copied.append([
    [attempt({ ...published, line: published.line.replace('"Received"', '"Noted"') })],
  ])
  const [line = ''] = (await copied.read(name, 0 as Position, 1_000_000)).chunks
  const { epoch } = await log.head(name)
  const elsewhere = clock.system.uuid() as Epoch
  const other = foreign()
  broker.put(toMessage(name, epoch, line), other)
  start()
  await clock.settle()
  expect(broker.settled).toEqual([
    [published.id, 'complete'],
    [other.id, 'complete'],
  ])
  expect((await entries()).map(({ event }) => event.id)).toEqual([other.id])
  // What another gateway's log has published is no echo.
  broker.put(toMessage(name, elsewhere, line))
  await clock.pass(60_000)
  expect((await entries()).map(({ event }) => event.id)).toEqual([other.id, published.id])
})

test('[I1] a message that is handed out again after its append is completed and appended once', async () => {
  broker.failSettle = new TidemarkError('BROKER_UNAVAILABLE', { reason: 'the link broke' })
  const message = foreign()
  broker.put(message)
  start()
  await clock.settle()
  expect(broker.settled).toEqual([])
  broker.failSettle = undefined
  await clock.pass(60_000)
  expect(broker.settled).toEqual([[message.id, 'complete']])
  expect(await entries()).toHaveLength(1)
})

test('[I3] what is no event of the topic is dead-lettered with its reason, and the rest goes on', async () => {
  const malformed = { ...foreign(), body: Buffer.from('not JSON') }
  const unheard = foreign({ type: 'Unheard' })
  const invalid = foreign({}, { text: 7 })
  const newer = foreign({ schemaversion: 2 })
  const sound = foreign()
  broker.put(malformed, unheard, invalid, sound, newer)
  const ingest = start()
  await clock.settle()
  expect(broker.settled).toEqual([
    [sound.id, 'complete'],
    [malformed.id, 'deadLetter', 'MESSAGE_MALFORMED'],
    [unheard.id, 'deadLetter', 'UNKNOWN_TYPE'],
    [invalid.id, 'deadLetter', 'SCHEMA_INVALID'],
    [newer.id, 'deadLetter', 'UNKNOWN_TYPE'],
  ])
  expect(await entries()).toHaveLength(1)
  expect(ingest.status()).toMatchObject({ state: 'ok', deadLettered: 4 })
})

test('[I3] a message that cannot be read for a reason of our own is dead-lettered too', async () => {
  const broken: Topic = {
    ...inventory,
    check(type, version, data) {
      if (type === 'StockReceived') throw new TypeError('a bug of ours')
      return inventory.check(type, version, data)
    },
  }
  const [poison, sound] = [foreign({ type: 'StockReceived' }), foreign()]
  broker.put(poison, sound)
  start({ topic: broken })
  await clock.settle()
  expect(broker.settled).toEqual([
    [sound.id, 'complete'],
    [poison.id, 'deadLetter', 'MESSAGE_MALFORMED'],
  ])
})

test('[I3] an event under an id that was refused is dead-lettered, for it will never be appended', async () => {
  const taken = foreign()
  const event = { ...someEvent('sku-1'), id: taken.id as EventId }
  const refusal = { code: 'BAD_EVENT', details: { reason: 'odd' } } as const
  await log.append([[attempt(event, { denied: { type: 'refused', id: event.id, refusal } })]])
  const sound = foreign()
  broker.put(taken, sound)
  const ingest = start()
  await clock.settle()
  expect(broker.settled).toEqual([
    [sound.id, 'complete'],
    [taken.id, 'deadLetter', 'ID_REUSED'],
  ])
  expect(ingest.status()).toMatchObject({ state: 'ok', deadLettered: 1 })
  expect(await entries()).toHaveLength(1)
})

test('[I7] an append that fails for an unknown reason stops its own stream, and no other', async () => {
  const poison = foreign()
  const fragile: Log = {
    ...bindLog(log),
    append: (chains) =>
      chains.flat().some(({ events }) => events.some(({ id }) => id === poison.id))
        ? Promise.reject(new Error('a bug of ours'))
        : log.append(chains),
  }
  // Alone it is to blame as well: nothing else may ever come with it.
  broker.put(poison)
  const ingest = start({ log: fragile })
  await clock.settle()
  expect(broker.settled.splice(0)).toEqual([[poison.id, 'abandon']])

  const [before, behind, beside] = [foreign(), foreign(), foreign({ subject: 'sku-2' })]
  broker.put(before, poison, behind, beside)
  await clock.pass(1_000)
  expect(broker.settled).toEqual([
    [before.id, 'complete'],
    [beside.id, 'complete'],
    [poison.id, 'abandon'],
    [behind.id, 'abandon'],
  ])
  expect(ingest.status().state).toBe('ok')
  expect((await entries()).map(({ event }) => event.id)).toEqual([before.id, beside.id])
})

test('[I7] where several streams fail and none passes, no message is blamed for it', async () => {
  let broken = true
  const fragile: Log = {
    ...bindLog(log),
    append: (chains) => (broken ? Promise.reject(new Error('a bug of ours')) : log.append(chains)),
  }
  const messages = [foreign(), foreign({ subject: 'sku-2' })]
  broker.put(...messages)
  const ingest = start({ log: fragile })
  await clock.pass(60_000)
  expect(broker.settled).toEqual([])
  expect(ingest.status()).toMatchObject({ state: 'retrying', code: 'unknown' })
  broken = false
  await clock.pass(60_000)
  expect(broker.settled).toEqual(messages.map(({ id }) => [id, 'complete']))
})

test('[I4] while the log takes nothing no receiver is open, so no delivery is used up', async () => {
  let full = true
  const fail = (): Promise<never> =>
    Promise.reject(new TidemarkError('LOG_UNAVAILABLE', { reason: 'disk full' }))
  const sound = bindLog(log)
  const failing: Log = {
    ...sound,
    append: (chains) => (full ? fail() : sound.append(chains)),
    lease: (...args) => (full ? fail() : sound.lease(...args)),
  }
  const message = foreign()
  broker.put(message)
  const ingest = start({ log: failing })
  await clock.pass(120_000)
  expect([broker.opened, broker.open]).toEqual([0, 0])
  expect(ingest.status()).toMatchObject({ state: 'retrying', code: 'LOG_UNAVAILABLE' })
  full = false
  await clock.pass(60_000)
  expect(broker.settled).toEqual([[message.id, 'complete']])
  full = true
  broker.put(foreign())
  await clock.pass(60_000)
  expect(broker.open).toBe(0)
  expect(broker.waiting).toHaveLength(1)
})

test('[I4] looking whether the log takes anything leaves one lease for each topic, however often it starts', async () => {
  const names = new Set<string>()
  const watched: Log = {
    ...bindLog(log),
    lease: (name, ...rest) => log.lease(name, ...rest).finally(() => names.add(name)),
  }
  for (let count = 0; count < 3; count += 1) {
    const ingest = start({ log: watched })
    await clock.pass(1_000)
    const closed = ingest.close()
    await clock.pass(200)
    await closed
  }
  expect([...names]).toEqual(['ingest/inventory'])
})

test('[I5] a receiver that fails, hangs or is silent for long is opened anew', async () => {
  broker.failReceive = new TidemarkError('BROKER_UNAVAILABLE', { reason: 'no' })
  const ingest = start()
  await clock.pass(10_000)
  expect(ingest.status()).toMatchObject({ state: 'retrying', code: 'BROKER_UNAVAILABLE' })
  broker.failReceive = undefined
  broker.deaf = true
  await clock.pass(60_000)
  const opened = broker.opened
  await clock.pass(120_000)
  expect(broker.opened).toBeGreaterThan(opened)
  broker.deaf = false
  broker.put(foreign())
  await clock.pass(120_000)
  expect(ingest.status().state).toBe('ok')
  expect(await entries()).toHaveLength(1)
  const before = broker.opened
  await clock.pass(700_000)
  expect(broker.opened).toBeGreaterThan(before)
})

test('[I6] a lock that was lost while settling is no failure: the event is in the log', async () => {
  broker.failSettle = new TidemarkError('LOCK_LOST')
  broker.put(foreign())
  const ingest = start()
  await clock.settle()
  expect(ingest.status().state).toBe('ok')
  expect(broker.opened).toBe(1)
  expect(await entries()).toHaveLength(1)
})

test('[I6] an ingest that closes lets go of its receiver and leaves nothing running', async () => {
  const ingest = start()
  await clock.pass(1_000)
  const closed = ingest.close()
  await clock.pass(200)
  await closed
  expect(broker.open).toBe(0)
  expect(clock.timers).toBe(0)
})
