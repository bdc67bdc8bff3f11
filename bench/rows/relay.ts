/** How fast accepted events get to the broker, beside the SDK alone. */
import type { Bench, Run, Sides } from '../bench.ts'
import { type Arrived, type BrokerProcess, drain, openBroker } from '../bus.ts'
import { type ServerProcess, startServer } from '../process.ts'
import { checkOnce } from './ingest.ts'

/** A log of 20,000 events to the broker, beside `sendMessages` with the same messages in batches of 100. */
export const relay: Bench = {
  name: 'relay',
  unit: 'events/s',
  goal: { atLeast: 0.85 },
  about: 'a log of 20,000 events to the broker, until the last confirmation',
  warmups: 2,
  open: openRelay,
}

const events = 20_000
const subscription = 'all'

async function openRelay(): Promise<Sides> {
  const broker = await openBroker([{ name: subscription }])
  const args = [broker.connectionString]
  const limit = await startServer('limits/send.ts', args)
  const ours = await startServer('servers/relay.ts', args)
  const shapes = new Set<string>()
  return {
    limit: measureSends(broker, limit, shapes),
    ours: measureSends(broker, ours, shapes),
    async close() {
      await Promise.all([limit.close(), ours.close()])
      await broker.close()
    },
  }
}

/** One side's run. Both have to have sent each message once, and messages that look the same. */
const measureSends =
  (broker: BrokerProcess, side: ServerProcess, shapes: Set<string>): Run =>
  async () => {
    const { perSecond, ids } = await side.ask<{ perSecond: number; ids: string[] }>('send', events)
    const arrived: readonly Arrived[] = await drain(broker.connectionString, subscription, events)
    checkOnce(
      ids,
      arrived.map(({ id }) => id),
    )
    for (const { shape } of arrived) shapes.add(shape)
    if (shapes.size !== 1) throw new Error(`unlike messages: ${[...shapes].join(' and ')}`)
    return perSecond
  }
