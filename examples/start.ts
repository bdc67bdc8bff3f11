/** `npm run start -w @tidemark/examples`: a gateway, and Vite for the pages. */
import { join } from 'node:path'
import { gateway } from '@tidemark/server'
import { sqliteLog } from '@tidemark/server/log/sqlite'
import Fastify from 'fastify'
import { createServer } from 'vite'
import { inventory } from './events.ts'

const pages = await createServer({ configFile: join(import.meta.dirname, 'vite.config.ts') })
await pages.listen()

const app = Fastify()
const log = sqliteLog(join(import.meta.dirname, 'examples.db'))
await app.register(gateway, { log, topics: [inventory] })
await app.listen({ port: 3000 })

pages.printUrls()
