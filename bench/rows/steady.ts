/** Clients that send at an even pace, whether or not they are answered in time. */
import { setTimeout as sleep } from 'node:timers/promises'
import { gatewayDialect } from '../dialects.ts'
import { openLink, writeEvent } from '../wire.ts'

/** How much is sent, by all clients together. */
export interface Pace {
  readonly eventsPerSecond: number
  /** Events of a submit. */
  readonly batch: number
  readonly ms: number
}

/** What came of it. */
export interface Sent {
  /** From a submit to its verdicts, in ms. */
  readonly latencies: readonly number[]
  /** Accepted events per second, from the first submit to the last verdict. */
  readonly perSecond: number
  readonly ids: readonly string[]
}

/** A client that only writes. */
export interface Client {
  /** Writes the next submit, to be sent later and in this order. */
  write(lines: readonly string[]): string
  send(message: string): void
  /** Resolves when nothing is unanswered. Returned: how long each answer took, in ms. */
  answered(): Promise<readonly number[]>
  close(): void
}

/** Connects clients to a gateway. */
export async function openClients(port: number, count: number): Promise<readonly Client[]> {
  const clients: Client[] = []
  for (let n = 0; n < count; n += 1) clients.push(await openClient(port))
  return clients
}

async function openClient(port: number): Promise<Client> {
  const link = await openLink(port, gatewayDialect, 'writer')
  const unanswered: number[] = []
  let latencies: number[] = []
  let answeredTo = 0
  let onAnswered = (): void => {}
  link.onHeard = (heard) => {
    if (heard.type !== 'answered') return
    const now = performance.now()
    for (; answeredTo < heard.upTo; answeredTo += 1) {
      latencies.push(now - (unanswered.shift() ?? now))
    }
    if (unanswered.length === 0) onAnswered()
  }
  return {
    write(lines) {
      link.n += 1
      return gatewayDialect.submit(link.n - 1, lines)
    },
    send(message) {
      unanswered.push(performance.now())
      link.send(message)
    },
    async answered() {
      if (unanswered.length > 0) {
        await new Promise<void>((resolve) => {
          onAnswered = resolve
        })
      }
      const taken = latencies
      latencies = []
      return taken
    },
    close: () => link.close(),
  }
}

/** Sends from these clients in turn, each submit at its time, and waits for the last verdict. */
export async function sendSteadily(clients: readonly Client[], pace: Pace): Promise<Sent> {
  const { batch, eventsPerSecond, ms } = pace
  const stepMs = (batch / eventsPerSecond) * 1_000
  const ids: string[] = []
  const submits = Array.from({ length: Math.round(ms / stepMs) }, (_, index) => {
    const client = clients[index % clients.length] as Client
    const events = Array.from({ length: batch }, writeEvent)
    ids.push(...events.map(({ id }) => id))
    return { client, message: client.write(events.map(({ line }) => line)) }
  })
  const start = performance.now()
  for (let next = 0; next < submits.length; await sleep(1)) {
    const due = Math.floor((performance.now() - start) / stepMs) + 1
    for (const { client, message } of submits.slice(next, due)) client.send(message)
    next = Math.max(next, due)
  }
  const latencies = await Promise.all(clients.map((client) => client.answered()))
  const took = performance.now() - start
  return { latencies: latencies.flat(), perSecond: (ids.length / took) * 1_000, ids }
}
