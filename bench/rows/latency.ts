/** How long one event takes from one client to another when nothing else happens. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Bench, median } from '../bench.ts'
import { openLink, writeEvent } from '../wire.ts'
import { checkOnce, hearAll } from './ingest.ts'
import { type Load, openServers, type Target } from './sides.ts'

/** The median of 200 single events, each sent after a pause. */
export const latencyIdle: Bench = {
  name: 'latency-idle',
  unit: 'ms',
  goal: { atMost: 2 },
  about: 'one event on an idle server, from A to B, p50 of 200',
  open: () => openServers(openLatency),
}

const samples = 200
const pauseMs = 3

async function openLatency({ port, dialect }: Target): Promise<Load> {
  const reader = await openLink(port, dialect, 'reader')
  const writer = await openLink(port, dialect, 'writer')
  return {
    async run() {
      const latencies: number[] = []
      for (let n = 0; n < samples; n += 1) {
        await sleep(pauseMs)
        const { id, line } = writeEvent()
        const message = dialect.submit(writer.n, [line])
        writer.n += 1
        const received: Buffer[] = []
        const heard = hearAll(reader, 1, received)
        const start = performance.now()
        writer.send(message)
        await heard
        latencies.push(performance.now() - start)
        checkOnce([id], received.flatMap(dialect.ids))
      }
      return median(latencies)
    },
    close: () => [reader, writer].forEach((link) => link.close()),
  }
}
