/** The gateway as it is measured: the Fastify plugin on a log in a file, without a broker. */
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { gateway } from '@tidemark/server'
import { sqliteLog } from '@tidemark/server/log/sqlite'
import fastify from 'fastify'
import { inventory } from '../inventory.ts'
import { announce } from '../process.ts'

const log = sqliteLog(join(process.argv.at(-1) ?? '.', 'gateway.db'))
const app = fastify()
await app.register(gateway, {
  log,
  topics: [inventory],
  authenticate: () => ({ author: 'u-42' }),
  authorize: () => 'allow',
})
await app.listen({ host: '127.0.0.1', port: 0 })
announce((app.server.address() as AddressInfo).port, async () => {
  await app.close()
  await log.close()
})
