/** How long an accepted event waits for the broker while many come. */
import { type Bench, median, quantile, type Sides } from '../bench.ts'
import { drain, openBroker } from '../bus.ts'
import { gatewayDialect } from '../dialects.ts'
import { startServer } from '../process.ts'
import { openLink } from '../wire.ts'
import { checkOnce } from './ingest.ts'
import { openClients, type Pace, sendSteadily } from './steady.ts'

/** What it may be, in ms. */
const lagMsMax = 250

/** The p99 from the commit of an event to the broker's confirmation, at 5,000 events a second. */
export const publishLag: Bench = {
  name: 'publish-lag',
  unit: 'ms',
  goal: { atMost: 1 },
  about: 'from commit to confirmation, p99, at 5,000 accepted events/s from 20 clients',
  open: openPublishLag,
}

const clientCount = 20
const pace: Pace = { eventsPerSecond: 5_000, batch: 5, ms: 4_000 }
const subscription = 'all'

async function openPublishLag(): Promise<Sides> {
  const broker = await openBroker([{ name: subscription }])
  const { connectionString } = broker
  const server = await startServer('servers/publishing.ts', [connectionString])
  const reader = await openLink(server.port, gatewayDialect, 'reader')
  const clients = await openClients(server.port, clientCount)
  const rates: number[] = []
  const middles: number[] = []
  return {
    limit: async () => lagMsMax,
    async ours() {
      const { perSecond, ids } = await sendSteadily(clients, pace)
      const lags = await server.ask<number[]>('lags')
      const arrived = await drain(connectionString, subscription, ids.length)
      checkOnce(
        ids,
        arrived.map(({ id }) => id),
      )
      rates.push(perSecond)
      middles.push(quantile(lags, 0.5))
      return quantile(lags, 0.99)
    },
    note: () =>
      `at ${median(rates).toFixed(0)} accepted events/s (slowest run ${Math.min(...rates).toFixed(0)}; asked for ${pace.eventsPerSecond}), p50 ${median(middles).toFixed(1)} ms`,
    async close() {
      for (const link of [reader, ...clients]) link.close()
      await server.close()
      await broker.close()
    },
  }
}
