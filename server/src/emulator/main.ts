#!/usr/bin/env node
/**
 * The emulator as a process of its own: `tidemark-emulator [--config Config.json] [--port 5672] [--key KEY]`.
 * In memory only, for development and tests.
 */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { startEmulator } from './emulator.ts'

const { values } = parseArgs({
  options: {
    config: { type: 'string', default: 'Config.json' },
    port: { type: 'string', default: '5672' },
    host: { type: 'string', default: '127.0.0.1' },
    key: { type: 'string' },
  },
})

const emulator = await startEmulator({
  config: readFileSync(values.config, 'utf8'),
  port: Number(values.port),
  host: values.host,
  ...(values.key === undefined ? {} : { key: values.key }),
  say: (line) => console.log(line),
})
console.log(emulator.connectionString)

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void emulator.close().then(() => process.exit(0)))
}
