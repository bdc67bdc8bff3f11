/** The consumer kit as it is measured: it starts on a subscription that is full, and ends when all is settled. */
import type { Broker } from '@tidemark/server/broker/broker'
import { serviceBus } from '@tidemark/server/broker/service-bus'
import { consume as startConsumer } from '@tidemark/server/consumer'
import { sqliteProcessed } from '@tidemark/server/consumer/processed/sqlite'
import { insertEffect, openEffects, readEffects } from '../effects.ts'
import { inventory, log } from '../inventory.ts'
import { announce } from '../process.ts'

const [, , connectionString = '', subscription = '', folder = ''] = process.argv
const broker = serviceBus({ connectionString })
let runs = 0

async function consume(count: number): Promise<{ perSecond: number; ids: readonly string[] }> {
  const database = openEffects(folder, (runs += 1))
  const processed = sqliteProcessed(database)
  await processed.open()
  let missing = count
  let isDone = (): void => {}
  const done = new Promise<void>((resolve) => {
    isDone = resolve
  })
  const start = performance.now()
  const consumer = await startConsumer(inventory, {
    name: 'bench',
    subscription,
    ordered: false,
    processed,
    broker: watchSettlements(() => (missing -= 1) || isDone()),
    on: {
      StockPicked: (event, { tx }) => {
        const { id, stream, data } = event
        tx.prepare(insertEffect).run(id, `${log.scope}/${stream}`, data.quantity)
      },
    },
  })
  await done
  const ms = performance.now() - start
  await consumer.close()
  const ids = readEffects(database)
  database.close()
  return { perSecond: (count / ms) * 1_000, ids }
}

/** The broker, which tells of every message that is settled. */
const watchSettlements = (onSettled: () => void): Broker => ({
  limits: broker.limits,
  publish: (topic, messages) => broker.publish(topic, messages),
  receiver(options) {
    const receiver = broker.receiver(options)
    return {
      receive: (max, waitMs) => receiver.receive(max, waitMs),
      async settle(message, settlement) {
        await receiver.settle(message, settlement)
        onSettled()
      },
      close: () => receiver.close(),
    }
  },
  close: async () => undefined,
})

announce(0, () => broker.close(), { consume })
