/** How fast events get from the broker to their effect, beside the SDK alone. */
import { ServiceBusClient } from '@azure/service-bus'
import type { SubscriptionOptions } from '@tidemark/server/emulator'
import type { Bench, Run, Sides } from '../bench.ts'
import { makeMessage, openBroker } from '../bus.ts'
import { inventory } from '../inventory.ts'
import { type ServerProcess, startServer } from '../process.ts'
import { checkOnce } from './ingest.ts'

/** 10,000 messages to their effects in SQLite, in any order, beside the SDK with the same transaction. */
export const consume: Bench = {
  name: 'consume',
  unit: 'events/s',
  goal: { atLeast: 0.7 },
  about: '10,000 messages from a subscription to effects in SQLite, until the last is settled',
  warmups: 2,
  open: openConsume,
}

const events = 10_000

type SideName = 'limit' | 'ours'

/** Each side has a subscription of its own, and only its own messages in it. */
const subscriptionOf = (side: SideName): SubscriptionOptions => ({
  name: side,
  rules: [{ name: side, filter: { type: 'correlation', correlation: { properties: { side } } } }],
})

async function openConsume(): Promise<Sides> {
  const broker = await openBroker([subscriptionOf('limit'), subscriptionOf('ours')])
  const { connectionString } = broker
  const client = new ServiceBusClient(connectionString)
  const sender = client.createSender(inventory.name)
  const limit = await startServer('limits/consume.ts', [connectionString, 'limit'])
  const ours = await startServer('servers/consume.ts', [connectionString, 'ours'])
  const measureSide =
    (side: SideName, server: ServerProcess): Run =>
    async () => {
      const messages = Array.from({ length: events }, (_, n) => makeMessage(n, { side }))
      for (let at = 0; at < events; at += 200) {
        await sender.sendMessages(messages.slice(at, at + 200))
      }
      const done = await server.ask<{ perSecond: number; ids: string[] }>('consume', events)
      checkOnce(
        messages.map(({ messageId }) => messageId),
        done.ids,
      )
      return done.perSecond
    }
  return {
    limit: measureSide('limit', limit),
    ours: measureSide('ours', ours),
    async close() {
      await client.close()
      await Promise.all([limit.close(), ours.close()])
      await broker.close()
    },
  }
}
