/** The development loop as a process, with devices, while its events file is edited. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { ServiceBusClient } from '@azure/service-bus'
import { createClient, memoryStore } from '@tidemark/client'
import { type Topic, topic } from '@tidemark/shared'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import * as z from 'zod'
import { findPort } from './rig.ts'

const root = join(import.meta.dirname, '../..')
const cli = join(root, 'server/src/cli.ts')
const answering = join(root, 'server/src/cli/testing/answering.ts')

let folder: string
const closing: (() => Promise<unknown>)[] = []

beforeEach(async () => {
  // Inside the repository, so that the events file finds its libraries.
  await mkdir(join(root, '.cache'), { recursive: true })
  folder = await mkdtemp(join(root, '.cache/dev-'))
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }')
})
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
  await rm(folder, { recursive: true, force: true })
})

/** Saves the events file as many editors do: under another name, which then takes its place. */
async function save(text: string, name = 'events.ts'): Promise<void> {
  await writeFile(join(folder, `.${name}.swp`), text)
  await rename(join(folder, `.${name}.swp`), join(folder, name))
}

const head = `import { model, topic } from '@tidemark/shared'\nimport * as z from 'zod'\n`
const events = (quantity: string, more = '') => `${head}
export const inventory = topic('inventory', { StockReceived: z.object({ ${quantity} }) ${more} })
`

/** Runs the command line as a process. `says` resolves when it has said something since the last time. */
function run(program: string, ...args: string[]) {
  const child = spawn(process.execPath, ['-C', '@tidemark/source', program, 'dev', ...args], {
    cwd: folder,
  })
  let output = ''
  const wake = new Set<() => void>()
  const hear = (chunk: Buffer): void => {
    output += chunk
    for (const each of wake) each()
  }
  child.stdout.on('data', hear)
  child.stderr.on('data', hear)
  const ended = once(child, 'close').then(([code]) => code as number | null)
  const says = (text: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        const at = output.indexOf(text)
        if (at < 0) return
        wake.delete(look)
        const said = output.slice(0, at + text.length)
        output = output.slice(at + text.length)
        resolve(said)
      }
      wake.add(look)
      look()
      void ended.then(() => reject(new Error(`It ended without saying "${text}":\n${output}`)))
    })
  const stop = async (signal: NodeJS.Signals = 'SIGINT') => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal)
    return await ended
  }
  closing.push(() => stop('SIGKILL'))
  return { child, ended, says, stop, output: () => output }
}

/** Starts the loop and waits until it serves. */
async function startDev(port: number, ...more: string[]) {
  const program = more.includes('--answering') ? answering : cli
  const flags = more.filter((flag) => flag !== '--answering')
  const dev = run(program, 'events.ts', '--port', String(port), '--bus-port', '0', ...flags)
  const welcome = await dev.says('Ctrl-C ends it.')
  return { ...dev, port, welcome }
}

const inventory = topic('inventory', {
  StockReceived: z.looseObject({}),
  StockCounted: z.object({ onHand: z.int() }),
})
const orders = topic('orders', { Placed: z.object({}) })

function openDevice(port: number, topics: readonly Topic[] = [inventory], user = 'ada') {
  const client = createClient({
    url: `ws://127.0.0.1:${port}/sync`,
    user,
    scope: 'any-shop',
    token: () => user,
    topics,
    store: memoryStore(),
    onError: () => {},
  })
  closing.push(() => client.close())
  const receive = (data: Record<string, unknown>) =>
    client.append(inventory.stream('sku-1').StockReceived(data))
  return { client, receive, entries: () => client.entries(inventory) }
}

/** The status with which a page of an origin is answered that asks for a WebSocket. */
function connectFrom(origin: string, port: number): Promise<number | undefined> {
  const headers = {
    origin,
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
  }
  return new Promise((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port, path: '/sync', headers })
    asked.once('upgrade', ({ statusCode }, socket) => {
      socket.destroy()
      resolve(statusCode)
    })
    asked.once('response', ({ statusCode }) => resolve(statusCode))
    asked.once('error', reject)
    asked.end()
  })
}

const accepted = async (appended: Promise<{ readonly settled: Promise<{ type: string }> }>) =>
  (await (await appended).settled).type

test('[Y1] it serves what the file exports, in any scope, believes who says who they are, and takes new types and topics at once', async () => {
  await save(events('quantity: z.int()'))
  const dev = await startDev(await findPort())
  const { client, receive, entries } = openDevice(dev.port, [inventory, orders])
  expect(await accepted(receive({ quantity: 1 }))).toBe('accepted')
  await vi.waitFor(async () => {
    const known = (await entries()).map(({ author, scope }) => [author, scope])
    expect(known).toEqual([['ada', 'any-shop']])
  })
  // Nobody serves this topic yet: it is not refused, it waits.
  const placed = client.append(orders.stream('order-1').Placed({}))

  await save(events('quantity: z.int()', ', StockCounted: z.object({ onHand: z.int() })'))
  await dev.says('New type inventory/StockCounted: it is served.')
  const counted = inventory.stream('sku-1').StockCounted({ onHand: 3 })
  expect(await accepted(client.append(counted))).toBe('accepted')

  await save(
    `${events('quantity: z.int()')}\nexport const orders = topic('orders', { Placed: z.object({}) })`,
  )
  await dev.says('New topic orders (Placed): it is served.')
  expect(await accepted(placed)).toBe('accepted')
  expect(await dev.stop()).toBe(0)
})

test('[Y1] it says that it is for development, hears pages of this machine alone, and has a bus for services', async () => {
  await save(events('quantity: z.int()'))
  const dev = await startDev(await findPort(), '--consumer', 'purchasing')
  expect(dev.welcome).toContain('FOR DEVELOPMENT ONLY')
  const answers = ['http://localhost:5173', 'http://[::1]:5173', 'https://shop.example'].map(
    (origin) => connectFrom(origin, dev.port),
  )
  expect(await Promise.all(answers)).toEqual([101, 101, 403])

  const { receive } = openDevice(dev.port)
  const { ids } = await receive({ quantity: 1 })
  const bus = new ServiceBusClient(/Endpoint=sb:\S+/.exec(dev.welcome)?.[0] ?? '')
  closing.push(() => bus.close())
  const purchasing = await bus.acceptNextSession('inventory', 'purchasing')
  const [message] = await purchasing.receiveMessages(1)
  expect(message).toMatchObject({ messageId: ids[0], body: { quantity: 1 } })
})

test('[Y1, Y5] the topics of exported models are served, also where another file defines them, and a changed fold is named', async () => {
  await save(events('quantity: z.int()'), 'inventory.ts')
  const model = (fold: string) => `${head}
import { inventory } from './inventory.ts'
export const item = model(inventory, { version: 1, initial: 0, on: { StockReceived: ${fold} } })`
  await save(model('(state) => state + 1'))
  const dev = await startDev(await findPort())
  const { client, receive } = openDevice(dev.port)
  expect(await accepted(receive({ quantity: 1 }))).toBe('accepted')
  const links = new Set<string>()
  client.status.subscribe(() => links.add(client.status.getSnapshot().link))

  // A fold is the devices' affair: it is named, and no link is cut for it.
  await save(model('(state) => state + 2'))
  await dev.says('The model item (StockReceived) has changed: devices fold it anew')

  await save(events('quantity: z.int().positive()'), 'inventory.ts')
  await dev.says('~ quantity  integer → integer (exclusiveMinimum 0)  breaking')
  expect(await accepted(receive({ quantity: 0 }))).toBe('refused')
  expect([...links]).toEqual(['online'])
})

test('[Y2] a file that cannot be read changes nothing, and the next good save goes on', async () => {
  await save(events('quantity: z.int()'))
  const dev = await startDev(await findPort())
  const { receive } = openDevice(dev.port)
  const bad: readonly (readonly [string, string])[] = [
    [`${events('quantity: z.int()')} export const x = {`, 'events.ts'],
    [`${head} export const inventory = nothing`, 'nothing is not defined'],
    ['export const x = 1', 'it exports no topic'],
    [
      `${head}\nexport const a = topic('a', {})\nexport const b = topic('a', {})`,
      'two topics named a',
    ],
    [`import './missing.ts'`, 'missing.ts'],
  ]
  for (const [text, said] of bad) {
    await save(text)
    const output = await dev.says('What was served before is served on.')
    expect(output).toContain('EVENTS_INVALID')
    expect(output).toContain(said)
    expect(await accepted(receive({ quantity: 1 }))).toBe('accepted')
  }
  await save(events('quantity: z.int()', ', New: z.object({})'))
  await dev.says('New type inventory/New')
})

test('[Y3] a changed schema is shown for what the log has of it, also after a restart, and nothing is deleted unasked', async () => {
  await save(events('quantity: z.int()'))
  const port = await findPort()
  const first = await startDev(port)
  const { client, receive } = openDevice(port)
  await save(events('quantity: z.int(), at: z.string()'))
  await first.says('Read events.ts again.')
  expect(await accepted(receive({ quantity: 5, at: 'A1' }))).toBe('accepted')

  await save(events('quantity: z.int(), at: z.string(), note: z.string().optional()'))
  const compatible = await first.says('Compatible: every event of the log fits.')
  expect(compatible).toContain('inventory/StockReceived has changed, and the log has 1 event of it')
  expect(compatible).toContain('+ note  string, optional  compatible')

  await save(events('quantity: z.string(), by: z.string()'))
  const breaking = await first.says('--reset')
  for (const line of [
    /~ quantity +integer → string +breaking/,
    /- at +string +breaking/,
    /- note +string +breaking/,
    /\+ by +string, required +breaking/,
  ]) {
    expect(breaking).toMatch(line)
  }
  // It is served all the same: the page that was edited with it appends by it.
  expect(await accepted(receive({ quantity: '5', by: 'ada' }))).toBe('accepted')
  expect(await first.stop()).toBe(0)

  const second = await startDev(port)
  expect(await second.says('tidemark dev events.ts')).toMatch(/- at +string +breaking/)
  await vi.waitFor(() => expect(client.status.getSnapshot().link).toBe('online'), 15_000)
  expect(await client.entries(inventory)).toHaveLength(2)
  expect(await second.stop()).toBe(0)
})

test('[Y4] a reset that is asked for empties the log, and devices start from its beginning', async () => {
  await save(events('quantity: z.int()'))
  const dev = await startDev(await findPort(), '--answering')
  const ada = openDevice(dev.port)
  const ben = openDevice(dev.port, [inventory], 'ben')
  for (const quantity of [1, 2, 3]) await accepted(ada.receive({ quantity }))
  await vi.waitFor(async () => expect(await ben.entries()).toHaveLength(3), 15_000)
  const epoch = () => ben.client.status.getSnapshot().logs['inventory']

  await save(events('amount: z.int()'))
  await dev.says('Empty the development log and start anew? [y/N]')
  // An edit withdraws the question, and asks another one.
  await save(events('amount: z.int().positive()'))
  await dev.says('Empty the development log and start anew? [y/N]')
  dev.child.stdin?.write('y\n')
  await dev.says('The log is empty now.')
  await vi.waitFor(() => expect(epoch()).toMatchObject({ position: 0 }), 15_000)
  expect(await accepted(ada.receive({ amount: 4 }))).toBe('accepted')
  await vi.waitFor(async () => {
    const data = (await ben.entries()).map((entry) => entry.data)
    expect(data).toEqual([{ amount: 4 }])
  }, 15_000)
  // Nobody wants back what was emptied.
  for (const { client } of [ada, ben]) {
    expect(client.status.getSnapshot()).toMatchObject({ pending: 0, refused: 0 })
  }

  expect(await dev.stop()).toBe(0)
  // What was emptied is not asked for again; what has changed meanwhile is, and --reset says yes.
  await save(events('count: z.int()'))
  const again = await startDev(dev.port, '--reset')
  await again.says('The log is empty now.')
})

test('[Y2] at the start a file that is none, and a port that is taken, are a sentence', async () => {
  const none = run(cli, 'nowhere.ts', '--port', '0', '--bus-port', '0')
  expect(await none.ended).toBe(1)
  expect(none.output()).toContain('EVENTS_INVALID')
  expect(none.output()).toContain('there is no such file')

  await save(events('quantity: z.int()'))
  const port = await findPort()
  const other = createServer().listen(port, '127.0.0.1')
  await once(other, 'listening')
  const taken = run(cli, 'events.ts', '--port', String(port), '--bus-port', '0')
  expect(await taken.ended).toBe(1)
  expect(taken.output().trim()).toBe(`Port ${port} is taken. Choose another with --port.`)
  other.close()
})
