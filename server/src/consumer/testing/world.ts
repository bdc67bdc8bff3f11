/** A broker and a database in memory under one virtual clock, and consumers on them that can be killed. */
import { type Draft, topic } from '@tidemark/shared'
import * as z from 'zod'
import type { Broker, Message, Receiver } from '../../broker/broker.ts'
import { createMemoryBroker, createNamespace } from '../../broker/memory.ts'
import { TestClock } from '../clock.ts'
import { type Consumer, consume, type ConsumeOptions } from '../consume.ts'
import { deriveId } from '../derive.ts'
import { MemoryDisk, memoryProcessed, type MemoryTx } from '../processed/memory.ts'
import type { Processed } from '../processed/processed.ts'

/** The topic of these tests. */
export const inventory = topic('inventory', {
  Picked: z.object({ n: z.int() }),
  Counted: z.object({ n: z.int() }),
  Ordered: z.object({ total: z.int() }),
})
/** Another topic, with one subscription. */
export const audit = topic('audit', { Noted: z.object({ n: z.int() }) })

/** Options of a consumer on memory, with defaults for everything but what it does. */
export type WorldOptions = Pick<ConsumeOptions<typeof inventory, MemoryTx>, 'on'> &
  Partial<ConsumeOptions<typeof inventory, MemoryTx>>

/** A consumer that can be killed. */
export interface ConsumerLife {
  readonly consumer: Consumer
  /** The end, without a word: nothing it does has an effect any more, and its locks run out. */
  kill(): void
  close(): Promise<void>
}

/** Builds a message as some publisher may send it. */
export const toMessage = (draft: Draft, n: number, more: Partial<Message> = {}): Message => {
  const id = deriveId(draft.topic, draft.stream, n)
  const key = `shop-7/${draft.stream}`
  return {
    id,
    key,
    attributes: {
      specversion: '1.0',
      id,
      source: `/${draft.topic}/shop-7`,
      type: draft.type,
      subject: draft.stream,
      datacontenttype: 'application/json',
      scope: 'shop-7',
      schemaversion: draft.version,
      author: 'u-42',
    },
    body: new TextEncoder().encode(JSON.stringify(draft.data)),
    ...more,
  }
}

/** Builds a world. */
export function createWorld() {
  const clock = new TestClock()
  const lockMs = 30_000
  const sessions = { lockMs, requiresSession: true }
  const namespace = createNamespace(clock, {
    topics: [
      {
        name: 'inventory',
        subscriptions: [
          { name: 'stock', ...sessions },
          { name: 'billing', ...sessions },
          { name: 'loose', lockMs },
          { name: 'results', ...sessions },
        ],
      },
      { name: 'audit', subscriptions: [{ name: 'all', ...sessions }] },
    ],
  })
  const broker = createMemoryBroker({ system: clock, namespace })
  const disk = new MemoryDisk()
  const published = new Map<string, number>()

  async function publish(draft: Draft, more: Partial<Message> = {}): Promise<string> {
    const n = (published.get(draft.stream) ?? 0) + 1
    published.set(draft.stream, n)
    const message = toMessage(draft, n, more)
    const [error] = await clock.run(broker.publish(draft.topic, [message]))
    if (error) throw error
    return message.id
  }

  async function start({ processed, ...rest }: WorldOptions): Promise<ConsumerLife> {
    const life = { isOver: false }
    const consumer = await consume(inventory, {
      name: 'stock',
      broker: mortalBroker(createMemoryBroker({ system: clock, namespace }), life),
      processed: mortal(processed ?? memoryProcessed(disk), life),
      system: clock,
      ...rest,
    })
    return {
      consumer,
      kill: () => void (life.isOver = true),
      close: () => clock.run(consumer.close()),
    }
  }

  return {
    clock,
    namespace,
    broker,
    disk,
    lockMs,
    publish,
    start,
    /** Lets time pass until nothing is left in these subscriptions of the topic. */
    drained: (...names: readonly string[]) =>
      clock.until(() =>
        names.every((name) => namespace.mailbox(`inventory/Subscriptions/${name}`)?.size === 0),
      ),
    /** What waits in a subscription of the topic, in order. */
    async peek(subscription: string, deadLetters = false) {
      const place = { topic: 'inventory', subscription, deadLetters }
      return (await broker.peek(place, 1_000)).map(({ attributes, id, body, properties }) => {
        const text = new TextDecoder().decode(body)
        return { type: attributes['type'], id, text, properties }
      })
    },
    read: (key: string) => disk.data.get(key),
    /** The database as another process opens it: whoever had it open has lost it. */
    reopen: () => memoryProcessed(disk),
  }
}

interface Life {
  isOver: boolean
}

/** What a dead process is answered. */
const never = <T>(): Promise<T> => new Promise<T>(() => {})

function mortalBroker(broker: Broker, life: Life): Broker {
  return {
    limits: broker.limits,
    publish: (topic, messages) => (life.isOver ? never() : broker.publish(topic, messages)),
    receiver(options) {
      const receiver = broker.receiver(options)
      const mortalReceiver: Receiver = {
        receive: async (max, waitMs) => {
          const received = await receiver.receive(life.isOver ? 0 : max, waitMs)
          return life.isOver ? never() : received
        },
        settle: (message, settlement) =>
          life.isOver ? never() : receiver.settle(message, settlement),
        close: () => receiver.close(),
      }
      return mortalReceiver
    },
    close: () => broker.close(),
  }
}

/** A dead process neither commits nor learns that it did not. */
function mortal<Tx>(processed: Processed<Tx>, life: Life): Processed<Tx> {
  return {
    transactionsMax: processed.transactionsMax,
    open: () => processed.open(),
    transaction: (work, options) => {
      if (life.isOver) return never()
      const result = processed.transaction(async (unit) => {
        const value = await work(unit)
        return life.isOver ? never<typeof value>() : value
      }, options)
      return result.then((value) => (life.isOver ? never<typeof value>() : value))
    },
  }
}
