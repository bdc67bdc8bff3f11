#!/usr/bin/env node
/**
 * A gateway on its own: `node main.ts [tidemark.config.ts]`. SIGTERM drains it: it is not ready any more,
 * sends its clients away to come back at different times, and is gone within eight seconds.
 */
import { system } from '@tidemark/shared'
import fastify from 'fastify'
import { type GatewayConfig, loadConfig } from './config.ts'
import { gateway } from './fastify.ts'
import { isLoopback } from './loopback.ts'
import { sqliteLog } from './log/sqlite.ts'

/** From SIGTERM to the end, in milliseconds. Orchestrators kill after ten seconds. */
const exitMsMax = 8_000

async function start(config: GatewayConfig): Promise<void> {
  const { env } = process
  const host = env['HOST'] ?? config.host ?? '127.0.0.1'
  const port = Number(env['PORT'] ?? config.port ?? 4747)
  if (!isLoopback(host) && !(config.authenticate && config.authorize)) {
    throw new Error(`Refusing to serve ${host} without \`authenticate\` and \`authorize\``)
  }
  const log = config.log ?? sqliteLog(env['TIDEMARK_LOG'] ?? 'tidemark.db')
  const app = fastify({ logger: true, disableRequestLogging: true })
  await app.register(gateway, { ...config, log })
  await app.listen({ host, port })

  const stop = async (signal: string): Promise<void> => {
    app.log.info({ event: 'draining', signal }, 'sending clients away')
    system.after(exitMsMax, () => process.exit(1))
    await app.close()
    await config.broker?.close()
    await log.close()
    process.exit(0)
  }
  for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => void stop(signal))
}

try {
  await start(await loadConfig(process.argv[2] ?? 'tidemark.config.ts'))
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(1)
}
