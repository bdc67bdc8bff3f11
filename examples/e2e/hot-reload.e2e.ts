/** An app developer edits the events file while the pages are open, as often as it takes. */
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { gateway } from '@tidemark/server'
import { sqliteLog } from '@tidemark/server/log/sqlite'
import Fastify, { type FastifyInstance } from 'fastify'
import { type Browser, chromium, type Page } from 'playwright-core'
import { createServer, type ViteDevServer } from 'vite'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { findChromium } from '../../demo/e2e/chromium.ts'
import { eventually, findPort } from '../../demo/e2e/rig.ts'
import { inventory } from '../events.ts'
import { frameworks, press, reads, receive, says } from './page.ts'

const examples = join(import.meta.dirname, '..')
const parts = ['client.ts', 'events.ts', 'style.css', 'vite.config.ts', ...frameworks]

const cleanups: (() => unknown)[] = []
let folder: string
let port: number
let vite: ViteDevServer
let browser: Browser

beforeAll(async () => {
  // A copy to edit. It lies in the repository, so that it finds the packages.
  const cache = join(examples, '../.cache')
  await mkdir(cache, { recursive: true })
  folder = await mkdtemp(join(cache, 'hot-reload-'))
  cleanups.push(() => rm(folder, { recursive: true, force: true }))
  for (const part of parts) await cp(join(examples, part), join(folder, part), { recursive: true })
  port = await findPort()
  // Under Vitest the plugins leave hot reload away.
  vi.stubEnv('VITEST', undefined)
  vi.stubEnv('NODE_ENV', 'development')
  vite = await createServer({
    configFile: join(folder, 'vite.config.ts'),
    cacheDir: join(folder, '.vite'),
    mode: 'development',
    logLevel: 'silent',
    // Vite looks for them in no folder below a dotted one, and a page that is open when one is found gets two copies.
    optimizeDeps: { include: ['react', 'react-dom/client', 'vue', 'dexie', 'zod'] },
    server: {
      port: await findPort(),
      proxy: { '/sync': { target: `ws://127.0.0.1:${port}`, ws: true } },
    },
  })
  vi.unstubAllEnvs()
  await vite.listen()
  cleanups.push(() => vite.close())
  const { executablePath, args, env } = await findChromium()
  browser = await chromium.launch({ executablePath, args: [...args], env: { ...env } })
  cleanups.push(() => browser.close())
})
afterAll(async () => {
  for (const cleanup of cleanups.toReversed()) await cleanup()
})

async function startGateway(): Promise<FastifyInstance> {
  const app = Fastify()
  const log = sqliteLog(join(folder, 'log.db'))
  await app.register(gateway, { log, topics: [inventory] })
  app.addHook('onClose', () => log.close())
  await app.listen({ host: '127.0.0.1', port })
  return app
}

/** Counts the open connections to Tidemark's database, as `window.connections`. */
function countConnections(): void {
  const counted = Object.assign(window, { connections: 0 })
  const { open } = IDBFactory.prototype
  IDBFactory.prototype.open = function (...args) {
    const request = open.apply(this, args)
    request.addEventListener('success', () => {
      counted.connections += 1
      const close = request.result.close.bind(request.result)
      request.result.close = () => {
        counted.connections -= 1
        close()
      }
    })
    return request
  }
}

async function openPage(framework: string): Promise<Page> {
  const page = await browser.newPage()
  await page.addInitScript(countConnections)
  await page.goto(`${vite.resolvedUrls?.local[0]}${framework}/`)
  return page
}

const connections = (page: Page): Promise<number> =>
  page.evaluate(() => (window as unknown as { readonly connections: number }).connections)

/** Saves the events file with something new in it, and waits until every page runs it. */
async function edit(pages: readonly Page[], times: number): Promise<void> {
  const file = join(folder, 'events.ts')
  for (let time = 0; time < times; time += 1) {
    // Vite drops what changes again within 50 ms.
    await setTimeout(100)
    const updated = pages.map((page) =>
      page.waitForEvent('console', { predicate: (said) => said.text().includes('hot updated') }),
    )
    await writeFile(
      file,
      `${await readFile(file, 'utf8')}\nexport const edit${crypto.randomUUID().slice(0, 8)} = 1\n`,
    )
    await Promise.all(updated)
  }
}

test('editing the events file 20 times leaves one database connection, one socket and the outbox', async () => {
  let running = await startGateway()
  const pages = await Promise.all(frameworks.map(openPage))
  const loads = vi.fn()
  for (const page of pages) await says(page, 'online, 0 pending')
  for (const page of pages) page.on('load', loads)

  await running.close()
  for (const [at, page] of pages.entries()) {
    await receive(page, frameworks[at] ?? '')
    await says(page, 'offline, 1 pending')
  }
  await edit(pages, 10)
  for (const page of pages) await says(page, 'offline, 1 pending')

  running = await startGateway()
  cleanups.push(() => running.close())
  for (const page of pages) await says(page, 'online, 0 pending')
  await edit(pages, 10)
  for (const page of pages) {
    await press(page, 'vue', '+1')
    await says(page, 'online, 0 pending')
    await eventually(
      async () => ((await connections(page)) === 1 ? true : undefined),
      'one connection',
    )
  }
  for (const page of pages) {
    await reads(page, 'Stock', 'react 1')
    await reads(page, 'Stock', 'vue 4')
  }
  const { sessions } = running.tidemark.status()
  expect(sessions).toBe(pages.length)
  expect(loads).not.toHaveBeenCalled()
})
