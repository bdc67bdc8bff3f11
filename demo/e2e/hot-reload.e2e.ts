/** An app under Vite in a real browser, while its events file is edited: nothing of the versions before is left behind. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { chromium, type Page } from 'playwright-core'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createServer } from 'vite'
import { findChromium } from './chromium.ts'
import { findPort } from './rig.ts'

const root = join(import.meta.dirname, '../..')
const cli = join(root, 'server/src/cli.ts')

/** The events file as it is after its nth edit: the fold counts n for each piece, so that what is shown says which fold it was. */
const eventsFile = (edit: number) => `
import { model, topic } from '@tidemark/shared'
import * as z from 'zod'

export const inventory = topic('inventory', { StockReceived: z.object({ quantity: z.int() }) })

export const item = model(inventory, {
  version: 1,
  initial: { onHand: 0 },
  on: {
    StockReceived: (state, event) => ({ onHand: state.onHand + ${edit} * event.data.quantity }),
  },
})
`

/** The client as docs/client.md makes it: a module of its own, with nothing in it about hot reload. */
const clientFile = (port: number) => `
import { createClient } from '@tidemark/client'
import { item } from './events.ts'

export const client = createClient({
  url: 'ws://127.0.0.1:${port}/sync',
  user: 'ada',
  models: { item },
})
`

const mainFile = `
import { client } from './client.ts'
import { inventory } from './events.ts'

const sku = client.model.item('sku-1')
const show = () => {
  const { status, state } = sku.getSnapshot()
  document.querySelector('output').textContent = status === 'present' ? String(state.onHand) : status
}
sku.subscribe(show)
show()

window.device = {
  status: () => client.status.getSnapshot(),
  append: async () => {
    const { ids } = await client.append(inventory.stream('sku-1').StockReceived({ quantity: 1 }))
    return ids[0]
  },
}
import.meta.hot.accept()
`

interface Device {
  status(): { readonly link: string; readonly pending: number }
  append(): Promise<string>
}

interface Counts {
  databases: number
  sockets: number
}

declare global {
  interface Window {
    device: Device
    counts: Counts
  }
}

/** Runs in the page before anything else: counts what is open. */
function countOpen(): void {
  const counts: Counts = { databases: 0, sockets: 0 }
  window.counts = counts
  const { open } = IDBFactory.prototype
  IDBFactory.prototype.open = function (name, version) {
    const request = open.call(this, name, version)
    request.addEventListener('success', () => (counts.databases += 1))
    return request
  }
  const { close } = IDBDatabase.prototype
  const closed = new WeakSet<IDBDatabase>()
  IDBDatabase.prototype.close = function () {
    if (!closed.has(this)) counts.databases -= 1
    closed.add(this)
    close.call(this)
  }
  window.WebSocket = class extends WebSocket {
    constructor(url: string | URL, protocols?: string | string[]) {
      super(url, protocols)
      if (!String(url).endsWith('/sync')) return
      counts.sockets += 1
      this.addEventListener('close', () => (counts.sockets -= 1))
    }
  }
}

let folder: string
let dev: ChildProcess | undefined
const closing: (() => Promise<unknown>)[] = []

beforeEach(async () => {
  // Inside the repository, so that the app finds its libraries.
  await mkdir(join(root, '.cache'), { recursive: true })
  folder = await mkdtemp(join(root, '.cache/hot-'))
})
afterEach(async () => {
  dev?.kill('SIGKILL')
  for (const close of closing.splice(0).toReversed()) await close()
  await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
})

const write = (name: string, text: string) => writeFile(join(folder, name), text)

/** Writes the app, serves it by Vite and opens it. */
async function openApp(port: number): Promise<Page> {
  await write('package.json', '{ "type": "module" }')
  await write('events.ts', eventsFile(1))
  await write('client.ts', clientFile(port))
  await write('main.ts', mainFile)
  await write('index.html', '<output></output><script type="module" src="/main.ts"></script>')
  const vite = await createServer({
    configFile: false,
    root: folder,
    cacheDir: join(folder, '.vite'),
    logLevel: 'error',
    resolve: { conditions: ['@tidemark/source', 'module', 'browser', 'development|production'] },
    // Found at the first load otherwise, which is then done again.
    optimizeDeps: { include: ['dexie', 'uuid', 'zod'] },
    server: { host: '127.0.0.1', port: await findPort(), fs: { allow: [root] } },
  })
  closing.push(() => vite.close())
  await vite.listen()
  const { executablePath, args, env } = await findChromium()
  const browser = await chromium.launch({ executablePath, args: [...args], env })
  closing.push(() => browser.close())
  const page = await browser.newPage()
  await page.addInitScript(countOpen)
  await page.goto(vite.resolvedUrls?.local[0] ?? '')
  return page
}

/** Starts `tidemark dev`, and waits until it serves. */
async function startDev(port: number): Promise<void> {
  const args = ['-C', '@tidemark/source', cli, 'dev', 'events.ts']
  const child = spawn(process.execPath, [...args, '--port', String(port), '--bus-port', '0'], {
    cwd: folder,
  })
  dev = child
  let said = ''
  await new Promise<void>((resolve, reject) => {
    const hear = (chunk: Buffer): void => {
      said += chunk
      if (said.includes('Ctrl-C ends it.')) resolve()
    }
    child.stdout.on('data', hear)
    child.stderr.on('data', hear)
    child.once('exit', () => reject(new Error(`It ended: ${said}`)))
  })
}

const shows = (page: Page, text: string, timeout = 10_000) =>
  page.waitForFunction((wanted) => document.querySelector('output')?.textContent === wanted, text, {
    polling: 20,
    timeout,
  })

const statusOf = (page: Page) => page.evaluate(() => window.device.status())
const append = (page: Page) => page.evaluate(() => window.device.append())

test('[Y5, Y6] editing the events file twenty times shows each new fold, leaves one database, one socket and the outbox, and each event is accepted once', async () => {
  const port = await findPort()
  const page = await openApp(port)
  let loads = 0
  page.on('load', () => (loads += 1))
  await shows(page, 'absent')
  const ids: string[] = []
  for (let count = 0; count < 5; count += 1) ids.push(await append(page))
  await shows(page, '5')

  const edit = async (n: number): Promise<void> => {
    // Vite does not hear of a save that follows another one at once: then it is saved again.
    for (let isSeen = false; !isSeen;) {
      await write('events.ts', eventsFile(n))
      const seen = shows(page, String(n * ids.length), 1_000)
      isSeen = await seen.then(
        () => true,
        () => false,
      )
    }
  }
  for (let n = 2; n <= 11; n += 1) await edit(n)
  expect(await statusOf(page)).toMatchObject({ pending: 5 })
  await vi.waitFor(async () => {
    expect(await page.evaluate(() => window.counts)).toMatchObject({ databases: 1 })
  })

  await startDev(port)
  await page.evaluate(() => window.dispatchEvent(new Event('online')))
  await vi.waitFor(async () => expect((await statusOf(page)).pending).toBe(0), 15_000)
  for (let n = 12; n <= 21; n += 1) {
    ids.push(await append(page))
    await edit(n)
  }
  await vi.waitFor(async () => {
    expect(await statusOf(page)).toMatchObject({ link: 'online', pending: 0 })
    expect(await page.evaluate(() => window.counts)).toEqual({ databases: 1, sockets: 1 })
    const health = await fetch(`http://127.0.0.1:${port}/readyz`)
    expect(await health.json()).toMatchObject({ sessions: 1 })
  }, 15_000)
  const feed = await (await fetch(`http://127.0.0.1:${port}/feed/inventory/default`)).text()
  const accepted = feed
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { readonly event: { readonly id: string } }).event.id)
  expect(accepted).toEqual(ids)
  // It was all done without loading the page again.
  expect(loads).toBe(0)
})
