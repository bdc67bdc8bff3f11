/** What is published works in somebody else's project: it installs, type-checks, bundles and starts. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'

const root = join(import.meta.dirname, '..')
const project = mkdtempSync(join(tmpdir(), 'tidemark-pack-'))
const run = (command: string, args: readonly string[], cwd = project): string =>
  execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
const bin = (name: string) => join(root, 'node_modules/.bin', name)
const write = (name: string, content: string | object) =>
  writeFileSync(
    join(project, name),
    typeof content === 'string' ? content : JSON.stringify(content, null, 2),
  )

const events = `
import { model, topic } from '@tidemark/shared'
import * as z from 'zod'
export const inventory = topic('inventory', { StockReceived: z.object({ quantity: z.int() }) })
export const item = model(inventory, {
  version: 1,
  initial: { onHand: 0 },
  on: { StockReceived: (state, { data }) => ({ onHand: state.onHand + data.quantity }) },
})
`
const app = `
import { createClient } from '@tidemark/client'
import { inventory, item } from './events.ts'
export const client = createClient({ url: 'ws://localhost:3000/sync', user: 'ada', models: { item } })
void client.append(inventory.stream('sku-1').StockReceived({ quantity: 5 }))
export const onHand: number | undefined = client.model.item('sku-1').get()?.onHand
// @ts-expect-error -- no such event
void client.append(inventory.stream('sku-1').StockMoved({ quantity: 5 }))
// @ts-expect-error -- no such payload
void client.append(inventory.stream('sku-1').StockReceived({ quantity: 'five' }))
// @ts-expect-error -- no such state
client.model.item('sku-1').get()?.inHand
// @ts-expect-error -- no such model
client.model.shelf('sku-1')
`
const server = `
import { createClient, createDisk, memoryStore } from '@tidemark/client'
import { gateway } from '@tidemark/server'
import { sqliteLog } from '@tidemark/server/log/sqlite'
import Fastify from 'fastify'
import { inventory, item } from './events.ts'
const app = Fastify()
const log = sqliteLog('tidemark.db')
await app.register(gateway, { log, topics: [inventory] })
const url = (await app.listen({ port: 0, host: '127.0.0.1' })).replace('http', 'ws') + '/sync'
const client = createClient({ url, user: 'ada', models: { item }, store: memoryStore(createDisk()) })
const { settled } = await client.append(inventory.stream('sku-1').StockReceived({ quantity: 5 }))
console.log((await settled).type, client.model.item('sku-1').get()?.onHand)
await client.close()
await app.close()
await log.close()
`

const service = `
import { consume } from '@tidemark/server/consumer'
import { memoryProcessed } from '@tidemark/server/consumer/processed/memory'
import type { Broker } from '@tidemark/server/broker/broker'
import { inventory } from './events.ts'
export const start = (broker: Broker) =>
  consume(inventory, {
    name: 'purchasing',
    broker,
    subscription: 'purchasing',
    processed: memoryProcessed(),
    on: {
      StockReceived: (event) => {
        const quantity: number = event.data.quantity
        // @ts-expect-error -- no such field
        event.data.amount
        void quantity
      },
    },
  })
`

beforeAll(() => {
  run('npm', ['run', '--silent', 'build'], root)
  for (const name of ['shared', 'client', 'server']) {
    run('npm', ['pack', '--pack-destination', project, '--workspace', name], root)
  }
  write('package.json', { name: 'somebody', private: true, type: 'module' })
  const tarballs = readdirSync(project).filter((name) => name.endsWith('.tgz'))
  const others = ['zod', 'fastify', '@types/node@24']
  run('npm', [
    'install',
    '--prefer-offline',
    '--ignore-scripts',
    ...tarballs.map((name) => `./${name}`),
    ...others,
  ])
  write('events.ts', events)
  write('app.ts', app)
  write('server.ts', server)
  write('service.ts', service)
}, 300_000)

afterAll(() => rmSync(project, { recursive: true, force: true }))

test('[K1] an app type-checks against what is published, and what is wrong does not', () => {
  write('tsconfig.json', {
    compilerOptions: {
      target: 'es2023',
      module: 'nodenext',
      strict: true,
      noEmit: true,
      allowImportingTsExtensions: true,
      types: ['node'],
    },
    include: ['*.ts'],
  })
  run(bin('tsc'), ['-p', project])
})

test('[K1] it bundles for the browser', () => {
  write('index.html', '<script type="module" src="/app.ts"></script>')
  run(bin('vite'), ['build', '--logLevel', 'error'])
  expect(readdirSync(join(project, 'dist/assets'))).toHaveLength(1)
}, 60_000)

test('[K1] a gateway starts from it in Node, and a client is answered', () => {
  expect(run(bin('node'), ['server.ts']).trim()).toBe('accepted 5')
}, 60_000)

test('[K1] its command line starts', () => {
  const cli = join(project, 'node_modules/.bin/tidemark')
  expect(run(bin('node'), [cli, '--version']).trim()).toBe('0.1.0')
  expect(run(bin('node'), [cli, 'emulator', '--help'])).toContain('--port')
})

test('[K1] what is published holds neither tests nor sources', () => {
  const published = run('find', [join(project, 'node_modules/@tidemark'), '-type', 'f']).split('\n')
  expect(published.filter((path) => /\.test\.|(?<!\.d)\.ts$/.test(path))).toEqual([])
})
