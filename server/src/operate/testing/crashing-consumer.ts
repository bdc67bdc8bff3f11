/** A consumer whose handler kills its own process at the event `bad`. A script of its own, for a test to start. */
import { DatabaseSync } from 'node:sqlite'
import { topic } from '@tidemark/shared'
import * as z from 'zod'
import { serviceBus } from '../../broker/service-bus.ts'
import { consume } from '../../consumer/consume.ts'
import { sqliteProcessed } from '../../consumer/processed/sqlite.ts'

const [connectionString = '', path = ''] = process.argv.slice(2)
const inventory = topic('inventory', { StockReceived: z.object({ quantity: z.int() }) })

const consumer = await consume(inventory, {
  name: 'purchasing',
  broker: serviceBus({ connectionString }),
  processed: sqliteProcessed(new DatabaseSync(path)),
  attemptsMax: 2,
  on: {
    StockReceived({ data }) {
      if (data.quantity === 13) process.kill(process.pid, 'SIGKILL')
    },
  },
})
process.send?.('ready')
process.on('message', () => process.send?.({ counts: consumer.counts, backlog: consumer.backlog }))
