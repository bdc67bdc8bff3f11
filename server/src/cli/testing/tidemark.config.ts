/** The configuration that the tests of the command line read: a gateway, a consumer of ours, and a foreign one. */
import { DatabaseSync } from 'node:sqlite'
import { topic } from '@tidemark/shared'
import * as z from 'zod'
import { serviceBus } from '../../broker/service-bus.ts'
import { sqliteProcessed } from '../../consumer/processed/sqlite.ts'
import { defineConfig } from '../../index.ts'

/** The topic of the tests. */
export const inventory = topic('inventory', {
  StockReceived: z.object({ quantity: z.int(), note: z.string().optional() }),
})

const connectionString = process.env['SERVICEBUS_CONNECTION_STRING']
const database = process.env['TIDEMARK_TEST_PROCESSED'] ?? ':memory:'

/** What the commands read. */
export const config = defineConfig({
  topics: [inventory],
  ...(connectionString === undefined ? {} : { broker: serviceBus({ connectionString }) }),
  ingest: { subscription: 'gateway', sessions: 4 },
  consumers: [
    {
      name: 'purchasing',
      topic: inventory,
      processed: sqliteProcessed(new DatabaseSync(database)),
    },
    { name: 'reporting', topic: inventory, ordered: false },
  ],
})
