/**
 * The gateway with its broker, as it is measured. It notes when each event was committed and when the broker
 * confirmed it, on one clock, at the ports that both go through.
 */
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { gateway, type Log } from '@tidemark/server'
import type { Broker } from '@tidemark/server/broker/broker'
import { serviceBus } from '@tidemark/server/broker/service-bus'
import { sqliteLog } from '@tidemark/server/log/sqlite'
import fastify from 'fastify'
import { inventory } from '../inventory.ts'
import { announce } from '../process.ts'

const [, , connectionString = '', folder = ''] = process.argv

/** When events that are not published yet were committed, by their ids. */
const committed = new Map<string, number>()
/** From the commit to the confirmation, in ms, of what was published since it was asked for last. */
let lags: number[] = []
let onPublished = (): void => {}

function noteCommits(log: Log): Log {
  const append = log.append.bind(log)
  log.append = async (chains) => {
    const outcomes = await append(chains)
    const now = performance.now()
    for (const { events } of chains.flat()) for (const { id } of events) committed.set(id, now)
    return outcomes
  }
  return log
}

function noteConfirmations(broker: Broker): Broker {
  const publish = broker.publish.bind(broker)
  broker.publish = async (topic, messages) => {
    const results = await publish(topic, messages)
    const now = performance.now()
    for (const [at, { id }] of messages.entries()) {
      const since = committed.get(id)
      if (results[at] !== undefined || since === undefined) continue
      lags.push(now - since)
      committed.delete(id)
    }
    if (committed.size === 0) onPublished()
    return results
  }
  return broker
}

const log = noteCommits(sqliteLog(join(folder, 'gateway.db')))
const broker = noteConfirmations(serviceBus({ connectionString }))
const app = fastify()
await app.register(gateway, {
  log,
  broker,
  topics: [inventory],
  authenticate: () => ({ author: 'u-42' }),
  authorize: () => 'allow',
})
await app.listen({ host: '127.0.0.1', port: 0 })

async function close(): Promise<void> {
  await app.close()
  await broker.close()
  await log.close()
}

announce((app.server.address() as AddressInfo).port, close, {
  /** Waits until all that was accepted is published. Answered: how long each took. */
  async lags() {
    if (committed.size > 0) {
      await new Promise<void>((resolve) => {
        onPublished = resolve
      })
    }
    const taken = lags
    lags = []
    return taken
  },
})
