/** Whether clients feel that the broker is not well: the same load while it is, and while it is not. */
import { type Bench, median, quantile, type Run, type Sides } from '../bench.ts'
import { openBroker } from '../bus.ts'
import { startServer } from '../process.ts'
import { openClients, type Pace, sendSteadily } from './steady.ts'

/** From a submit to its verdict while nobody listens where the broker was. */
export const ackBrokerDown = measureAcks('down', 'nobody listens at the broker')
/** The same while every answer of the broker takes a second. */
export const ackBrokerSlow = measureAcks('slow', 'each answer of the broker takes a second')
/** The same while the broker refuses everything as too much. */
export const ackBrokerThrottling = measureAcks('throttling', 'the broker refuses all as too much')

type Trouble = 'down' | 'slow' | 'throttling'

const clientCount = 20
const pace: Pace = { eventsPerSecond: 1_000, batch: 1, ms: 2_000 }
/** Long enough for the relay to have met the trouble. */
const onset: Pace = { ...pace, ms: 300 }

function measureAcks(trouble: Trouble, what: string): Bench {
  return {
    name: `ack-broker-${trouble}`,
    unit: 'ms',
    goal: { atMost: 1.25 },
    about: `submit to verdict, p50, 1,000 events/s from 20 clients, while ${what}, against while it is well`,
    open: () => openAcks(trouble),
  }
}

async function openAcks(trouble: Trouble): Promise<Sides> {
  const broker = await openBroker([])
  const server = await startServer('servers/publishing.ts', [broker.connectionString])
  const clients = await openClients(server.port, clientCount)
  const worst = { well: [] as number[], [trouble]: [] as number[] }
  const measureWhile =
    (state: 'well' | Trouble): Run =>
    async () => {
      await broker.ask('well')
      // What came while it was not well has been published: nothing of it is caught up with now.
      await server.ask('lags')
      await broker.ask(state)
      await sendSteadily(clients, onset)
      const { latencies } = await sendSteadily(clients, pace)
      worst[state]?.push(quantile(latencies, 0.99))
      return quantile(latencies, 0.5)
    }
  return {
    limit: measureWhile('well'),
    ours: measureWhile(trouble),
    note: () => {
      const [well, ill] = [median(worst.well), median(worst[trouble] ?? [])]
      return `p99 ${ill.toFixed(2)} ms while ${trouble}, ${well.toFixed(2)} ms while well (${(ill / well).toFixed(2)})`
    },
    async close() {
      for (const client of clients) client.close()
      await broker.ask('well')
      await server.close()
      await broker.close()
    },
  }
}
