/** A small world for the tests of what operators need: a log, a broker in memory, a relay, and a clock that hurries. */
import {
  type EventId,
  type LogName,
  parseEntry,
  type Position,
  system as realSystem,
  type System,
  topic,
  writeClaim,
} from '@tidemark/shared'
import * as z from 'zod'
import type { PeekableBroker, Received } from '../../broker/broker.ts'
import { createMemoryBroker, createNamespace } from '../../broker/memory.ts'
import type { Topology } from '../../emulator/core/topology.ts'
import type { Log } from '../../log/log.ts'
import { memoryLog } from '../../log/memory.ts'
import { silentLogger } from '../../logger.ts'
import { createRelay, type Relay } from '../../relay.ts'

/** The topic of the tests. */
export const inventory = topic('inventory', {
  StockReceived: z.object({ quantity: z.int(), note: z.string().optional() }),
})

/** The log of the tests. */
export const shop: LogName = { topic: 'inventory', scope: 'shop-7' }

/** The real world with a clock that runs a hundred times as fast: what waits ten seconds waits a tenth of one. */
export const hurried: System = {
  ...realSystem,
  now: () => Math.floor(realSystem.now() * 100),
  mono: () => realSystem.mono() * 100,
  after: (ms, run) => realSystem.after(ms / 100, run),
}

/** What a test plays with. */
export interface OperateWorld {
  readonly system: System
  readonly log: Log
  readonly broker: PeekableBroker
  readonly namespace: ReturnType<typeof createNamespace>
  /** Starts a relay, which is closed with the world. */
  relay(): Relay
  /** Appends one event, and says its id. */
  append(stream: string, data: unknown, log?: LogName): Promise<EventId>
  /** Takes everything that a subscription has, completes it, and stops when `count` have come. */
  drain(subscription: string, count: number): Promise<readonly Received[]>
  close(): Promise<void>
}

const twoSubscriptions: Topology = {
  topics: [
    {
      name: 'inventory',
      duplicateWindowMs: 60_000_000,
      subscriptions: [
        { name: 'purchasing', lockMs: 60_000 },
        { name: 'reporting', lockMs: 60_000 },
      ],
    },
  ],
}

/** Opens a world. */
export function openWorld(topology: Topology = twoSubscriptions): OperateWorld {
  const system = hurried
  const log = memoryLog({ system })
  const namespace = createNamespace(system, topology)
  const broker = createMemoryBroker({ system, namespace })
  const relays: Relay[] = []
  return {
    system,
    log,
    broker,
    namespace,
    relay() {
      const relay = createRelay({
        log,
        broker,
        topics: [inventory],
        system,
        logger: silentLogger,
        onPublished: () => {},
      })
      relays.push(relay)
      return relay
    },
    async append(stream, data, name = shop) {
      const id = system.uuid() as EventId
      const type = 'StockReceived'
      const line = writeClaim({ id, stream, type, version: 1, data, occurredAt: 1 })
      const event = { id, stream, line }
      await log.append([[{ log: name, author: 'ann', source: 'client', events: [event] }]])
      return id
    },
    async drain(subscription, count) {
      const receiver = broker.receiver({ topic: 'inventory', subscription })
      const taken: Received[] = []
      while (taken.length < count) {
        for (const message of await receiver.receive(100, 100_000)) {
          await receiver.settle(message, { type: 'complete' })
          taken.push(message)
        }
      }
      await receiver.close()
      return taken
    },
    async close() {
      for (const relay of relays) await relay.close()
      await broker.close()
      namespace.close()
      await log.close()
    },
  }
}

/** The quantities of messages, in the order in which they came. */
export const quantitiesOf = (messages: readonly Received[]): readonly number[] =>
  messages.map(({ body }) => JSON.parse(new TextDecoder().decode(body)).quantity)

/** The quantities of all entries of a log. */
export async function quantitiesIn(log: Log, name: LogName): Promise<readonly number[]> {
  const { chunks } = await log.read(name, 0 as Position, Number.MAX_SAFE_INTEGER)
  const lines = chunks.flatMap((chunk) => chunk.split('\n'))
  return lines.map((line) => (parseEntry(name, line).data as { quantity: number }).quantity)
}
