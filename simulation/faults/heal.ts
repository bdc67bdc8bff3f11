/** After the faults: waits until nothing moves any more, and does what a person does who has mended the service. */
import { DatabaseSync } from 'node:sqlite'
import { serviceBus } from '@tidemark/server/broker/service-bus'
import { listHeld, redrive } from '@tidemark/server/consumer'
import { sqliteProcessed } from '@tidemark/server/consumer/processed/sqlite'
import { fileIn } from './child.ts'
import { type Evidence, readBooks, readLogs } from './evidence.ts'
import type { Load } from './load.ts'
import { orders, service } from './orders.ts'

/** What has to come to rest. */
export interface Restless {
  readonly folder: string
  readonly load: Load
  readonly connectionString: string
}

const restMsMax = 120_000
const lookMs = 1_000
const peekedMax = 10_000

/** Waits until everything is at rest. Returned: what is not, once the time is over. */
export async function healAndWait(
  restless: Restless,
  say: (line: string) => void,
  wanted: { readonly nothingParked?: boolean } = {},
): Promise<string | undefined> {
  const end = performance.now() + restMsMax
  for (let looks = 0; ; looks += 1) {
    const moving = await unrest(restless, wanted)
    if (moving === undefined) return undefined
    if (looks % 10 === 9) say(`waiting: ${moving}`)
    if (performance.now() >= end) return moving
    await new Promise((resolve) => setTimeout(resolve, lookMs))
  }
}

/** What still moves; nothing where everything is at rest. */
export async function unrest(
  { folder, load, connectionString }: Restless,
  { nothingParked = false }: { readonly nothingParked?: boolean },
): Promise<string | undefined> {
  if (load.pending > 0) return `${load.pending} batches have no verdict`
  const logs = readLogs(folder)
  const behind = logs.find(({ lines, cursor }) => cursor < lines.length)
  if (behind) return `the relay is at ${behind.cursor} of ${behind.lines.length}`
  const books = readBooks(folder)
  if (books.outgoing > 0) return `${books.outgoing} answers are not published`
  const busy = books.sagas.filter(({ state }) => state === 'running' || state === 'compensating')
  if (busy.length > 0) return `${busy.length} sagas have not ended`
  if (nothingParked && books.parked.length > 0) return `${books.parked.length} events are set aside`
  const { inFlight } = await peekBroker(connectionString)
  for (const [name, ids] of Object.entries(inFlight)) {
    if (ids.length > 0) return `${ids.length} messages wait for ${name}, such as ${ids[0]}`
  }
  return undefined
}

/** What lies at the broker. */
export async function peekBroker(
  connectionString: string,
): Promise<Pick<Evidence, 'dead' | 'inFlight'>> {
  const broker = serviceBus({ connectionString })
  const look = async (subscription: string, deadLetters: boolean): Promise<readonly string[]> => {
    const place = { topic: orders.name, subscription, deadLetters }
    return (await broker.peek(place, peekedMax)).map(({ id }) => id)
  }
  try {
    return {
      dead: { gateway: await look('gateway', true), books: await look(service, true) },
      inFlight: {
        gateway: await look('gateway', false),
        books: await look(service, false),
        witness: await look('witness', false),
      },
    }
  } finally {
    await broker.close()
  }
}

/** Redrives every parked stream, twice: the second time there is nothing to redrive. Returned: what was wrong. */
export async function mend(folder: string, now: number): Promise<readonly string[]> {
  const database = new DatabaseSync(fileIn(folder, 'books'))
  const processed = sqliteProcessed(database)
  try {
    const wrong: string[] = []
    for (const { key } of await listHeld(processed, { consumer: service, state: 'parked' })) {
      const act = { by: 'the run', now }
      const first = await redrive(processed, service, key, act)
      const second = await redrive(processed, service, key, act)
      if (!first || second) wrong.push(`I15 ${key} was redriven ${first ? 'twice' : 'not once'}.`)
    }
    return wrong
  } finally {
    database.close()
  }
}
