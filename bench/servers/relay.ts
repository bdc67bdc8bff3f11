/** The relay as it is measured: a gateway starts on a log in a file that holds everything already, and publishes it. */
import { join } from 'node:path'
import { createGateway, type Log } from '@tidemark/server'
import { serviceBus } from '@tidemark/server/broker/service-bus'
import { sqliteLog } from '@tidemark/server/log/sqlite'
import type { EventId } from '@tidemark/shared'
import { inventory, log as name } from '../inventory.ts'
import { announce } from '../process.ts'
import { writeEvent } from '../wire.ts'

/** Events that were accepted in one transaction. */
const transactionEvents = 100

const broker = serviceBus({ connectionString: process.argv[2] ?? '' })
let runs = 0

async function send(count: number): Promise<{ perSecond: number; ids: readonly string[] }> {
  runs += 1
  const log = sqliteLog(join(process.argv.at(-1) ?? '.', `${runs}.db`))
  const ids: EventId[] = []
  while (ids.length < count) {
    const attempts = Array.from({ length: transactionEvents }, () => {
      const { id, stream, line } = writeEvent()
      ids.push(id as EventId)
      const events = [{ id: id as EventId, stream, line }]
      return { log: name, author: 'u-42', source: 'client' as const, events }
    })
    await log.append([attempts])
  }
  const ms = await publishAll(log, count)
  await log.close()
  return { perSecond: (count / ms) * 1_000, ids }
}

/** Runs a gateway until the broker has confirmed `count` messages. Returns how long that took, in ms. */
async function publishAll(log: Log, count: number): Promise<number> {
  let missing = count
  let isDone = (): void => {}
  const done = new Promise<void>((resolve) => {
    isDone = resolve
  })
  const start = performance.now()
  const gateway = createGateway({
    log,
    topics: [inventory],
    authenticate: () => undefined,
    authorize: () => 'hold',
    broker: {
      limits: broker.limits,
      async publish(topic, messages) {
        const results = await broker.publish(topic, messages)
        missing -= results.filter((error) => error === undefined).length
        if (missing <= 0) isDone()
        return results
      },
      receiver: (options) => broker.receiver(options),
      // It is connected once for all runs, as the SDK beside it is.
      close: async () => undefined,
    },
  })
  await done
  const ms = performance.now() - start
  await gateway.close()
  return ms
}

announce(0, () => broker.close(), { send })
