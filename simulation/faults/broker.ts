/** The broker, in a process of its own, and a witness in it who writes down every message of the topic. */
import { serviceBus } from '@tidemark/server/broker/service-bus'
import { type Emulator, startEmulator } from '@tidemark/server/emulator'
import { sleep, system } from '@tidemark/shared'
import { createLines, fileIn, runChild } from './child.ts'
import { brokerConfig, orders } from './orders.ts'

/** A message of the topic, as the witness saw it. */
export interface Seen {
  /** The broker's number, in the order of arrival. */
  readonly sequence: number
  readonly id: string
  readonly attributes: Readonly<Record<string, string | number | boolean>>
  readonly body: string
}

let emulator: Emulator | undefined
let malformed = 0

runChild(
  async ({ folder }) => {
    emulator = await startEmulator({ config: brokerConfig })
    void witness(emulator.connectionString, createLines(fileIn(folder, 'witness')))
    return emulator.connectionString
  },
  async (what) => {
    if (!emulator) return
    if (what === 'cut') return emulator.faults.killConnections()
    await sendMalformed(emulator.connectionString)
  },
)

async function witness(connectionString: string, note: (seen: Seen) => void): Promise<void> {
  const broker = serviceBus({ connectionString })
  const place = { topic: orders.name, subscription: 'witness', unsettledMax: 1_000 }
  const receiver = broker.receiver(place)
  const decoder = new TextDecoder()
  for (;;) {
    const messages = await receiver.receive(500, 5_000).catch(() => [])
    for (const { sequence = '', id, attributes, body } of messages) {
      note({ sequence: Number(sequence), id, attributes, body: decoder.decode(body) })
    }
    // One that is not settled comes again, under the same number.
    for (const message of messages) {
      receiver.settle(message, { type: 'complete' }).catch(() => {})
    }
    if (messages.length === 0) await sleep(system, 50)
  }
}

/** Sends something that is no event. It has to end in the dead letters of whoever reads it. */
async function sendMalformed(connectionString: string): Promise<void> {
  const broker = serviceBus({ connectionString })
  const id = `malformed-${(malformed += 1)}`
  const attributes = { datacontenttype: 'application/json' }
  const body = new TextEncoder().encode('{ not JSON')
  // Again and again, under the same id, until it is confirmed: more than one of them may arrive.
  for (;;) {
    const [error] = await broker.publish(orders.name, [
      { id, key: 'north/malformed', attributes, body },
    ])
    if (!error) break
    await sleep(system, 200)
  }
  await broker.close()
}
