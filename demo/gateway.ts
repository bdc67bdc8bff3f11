/** The demo's gateway: a Fastify app with the gateway's plugin, and the built pages beside it. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { gateway } from '@tidemark/server'
import { serviceBus } from '@tidemark/server/broker/service-bus'
import { sqliteLog } from '@tidemark/server/log/sqlite'
import fastify, { LogController } from 'fastify'
import { inventory, orders } from './events.ts'
import { servePages } from './pages.ts'
import { authenticate, authorize } from './people.ts'
import { sayReady } from './processes.ts'

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '4747' },
    data: { type: 'string', default: join(import.meta.dirname, '.data') },
    pages: { type: 'string', default: join(import.meta.dirname, 'dist') },
  },
})

await mkdir(values.data, { recursive: true })
const log = sqliteLog(join(values.data, 'log.db'))
const logController = new LogController({ disableRequestLogging: true })
const app = fastify({ logger: true, logController })
const broker = serviceBus({ connectionString: process.env['SERVICEBUS_CONNECTION_STRING'] ?? '' })
await app.register(gateway, {
  log,
  broker,
  ingest: { subscription: 'gateway', sessions: 16 },
  topics: [inventory, orders],
  authenticate,
  authorize,
})
await servePages(app, values.pages)
await app.listen({ port: Number(values.port), host: '127.0.0.1' })
sayReady(async () => {
  await app.close()
  await broker.close()
  await log.close()
})
