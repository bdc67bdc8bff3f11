/**
 * Tests for handlers without a broker and without waiting: given an event, its effect and its results;
 * given it again, nothing. What runs is the consumer's own code on tables in memory and a virtual clock.
 */
import type { Draft, EventId, Topic } from '@tidemark/shared'
import type { Broker, Message, Received } from '../broker/broker.ts'
import { fromMessage, sourceOf } from '../cloudevents.ts'
import { TestClock } from './clock.ts'
import { type ConsumeOptions, toSettings } from './consume.ts'
import { interestIn, openMessage } from './delivery.ts'
import { handleBatch } from './handle.ts'
import type { HeldStream } from './processed/holds.ts'
import { MemoryDisk, memoryProcessed, type MemoryTx } from './processed/memory.ts'
import type { SagaRow } from './processed/sagas.ts'
import { claimHeld } from './retry.ts'
import { claimSaga } from './run-saga.ts'
import { createSender } from './send.ts'

export { TestClock } from './clock.ts'
export { MemoryDisk, memoryProcessed, type MemoryTx } from './processed/memory.ts'

/** What a test consumer needs: handlers on a map in memory. */
export type TestOptions<T extends Topic> = Omit<
  ConsumeOptions<T, MemoryTx>,
  'broker' | 'processed' | 'system' | 'subscription'
>

/** What a test says of an event beside its draft. */
export interface DeliverOptions {
  readonly id?: string
  readonly scope?: string
  readonly author?: string
  readonly correlationId?: string
  readonly traceparent?: string
  readonly replayed?: boolean
}

/** An event that the consumer published. */
export interface PublishedEvent {
  readonly id: EventId
  readonly topic: string
  readonly scope: string
  readonly stream: string
  readonly type: string
  readonly data: unknown
  readonly author: string
  readonly causationId?: string
  readonly correlationId?: string
}

/** A consumer in a test. */
export interface TestConsumer {
  readonly clock: TestClock
  /** The app's data, as committed transactions left it. */
  read(key: string): unknown
  /** Hands an event over. Returned: what was published for it. */
  deliver(draft: Draft, options?: DeliverOptions): Promise<readonly PublishedEvent[]>
  /** Hands everything over again, as a broker may. Returned: what was published, which should be nothing. */
  redeliver(): Promise<readonly PublishedEvent[]>
  /** Lets time pass, with retries and sagas at their times. Returned: what was published meanwhile. */
  pass(ms: number): Promise<readonly PublishedEvent[]>
  /** Streams that do not flow. */
  held(): Promise<readonly HeldStream[]>
  sagas(): Promise<readonly SagaRow[]>
}

/**
 * Builds a consumer for a test.
 *
 * @example
 * const stock = await testConsumer(inventory, { name: 'stock', on: { StockPicked: pick } })
 * const results = await stock.deliver(inventory.stream('sku-1').StockPicked({ quantity: 2, reason: 'sale' }))
 * expect(await stock.redeliver()).toEqual([])
 */
export async function testConsumer<T extends Topic>(
  topic: T,
  options: TestOptions<T>,
): Promise<TestConsumer> {
  const clock = new TestClock()
  const disk = new MemoryDisk()
  const processed = memoryProcessed(disk)
  const sent: PublishedEvent[] = []
  const broker = createCollector((event) => sent.push(event))
  const settings = toSettings(topic, { ...options, broker, processed, system: clock })
  const publish = createSender(settings)
  const delivered: Received[] = []
  const { ordered = true, sagas = [] } = options

  async function hand(message: Received): Promise<void> {
    const delivery = openMessage(topic, ordered, message)
    if (interestIn(topic, settings.on, delivery.event) === 'ignore') return
    await handleBatch(settings, [delivery], () => {})
  }

  /** What was published since the last call. */
  async function collect(): Promise<readonly PublishedEvent[]> {
    while ((await publish()) === 0);
    return sent.splice(0)
  }

  /** Everything that is due now. */
  async function work(): Promise<void> {
    const sagaSettings = { ...settings, sagas, onResults: () => {} }
    for (const claim of [() => claimHeld(settings), () => claimSaga(sagaSettings)]) {
      for (let claimed = await claim(); claimed.waitMs === 0; claimed = await claim()) {
        await claimed.advance?.()
      }
    }
  }

  return {
    clock,
    read: (key) => disk.data.get(key),
    async deliver(draft, about = {}) {
      const message = toReceived(clock, draft, about)
      delivered.push(message)
      await hand(message)
      return collect()
    },
    async redeliver() {
      for (const message of delivered) await hand(message)
      return collect()
    },
    async pass(ms) {
      const end = clock.now() + ms
      await work()
      while (clock.now() < end) {
        await clock.pass(Math.min(stepMs, end - clock.now()))
        await work()
      }
      return collect()
    },
    held: () => processed.transaction((unit) => unit.holds.list({ max: 1_000 })),
    sagas: () => processed.transaction((unit) => unit.sagas.list({ max: 1_000 })),
  }
}

/** How finely time passes for retries and sagas, in ms. */
const stepMs = 100

function createCollector(collect: (event: PublishedEvent) => void): Broker {
  return {
    limits: { messageBytesMax: 262_144, keyLengthMax: 128 },
    async publish(topic, messages) {
      for (const message of messages) collect(toPublished(topic, message))
      return messages.map(() => undefined)
    },
    receiver: () => {
      throw new Error('a test consumer is handed its events')
    },
    close: async () => {},
  }
}

function toPublished(topic: string, message: Message): PublishedEvent {
  const received: Received = { ...message, ...asReceived(0) }
  const { scope, author, line } = fromMessage(topic, received)
  const { id, stream, type, data, causationId, correlationId } = JSON.parse(line)
  return { id, topic, scope, stream, type, data, author, causationId, correlationId }
}

function toReceived(clock: TestClock, draft: Draft, about: DeliverOptions): Received {
  const { id = clock.uuid(), scope = 'default', author = 'tester', replayed = false } = about
  const { topic, stream, type, version, data } = draft
  return {
    id,
    key: `${scope}/${stream}`,
    attributes: {
      specversion: '1.0',
      id,
      source: sourceOf({ topic, scope }),
      type,
      subject: stream,
      time: new Date(clock.now()).toISOString(),
      datacontenttype: 'application/json',
      scope,
      schemaversion: version,
      author,
      ...(about.correlationId === undefined ? {} : { correlationid: about.correlationId }),
      ...(about.traceparent === undefined ? {} : { traceparent: about.traceparent }),
      ...(replayed ? { replayed } : {}),
    },
    body: new TextEncoder().encode(JSON.stringify(data ?? null)),
    ...asReceived(clock.now()),
  }
}

const asReceived = (now: number) => ({
  properties: {},
  sequence: '1',
  enqueuedAt: now,
  deliveries: 1,
  lockedUntil: now + 60_000,
})
