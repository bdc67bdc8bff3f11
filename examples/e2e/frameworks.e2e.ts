/** The examples as people would open them: built by Vite, in a real browser, beside a real gateway. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gateway } from '@tidemark/server'
import { createMemoryBroker, createNamespace } from '@tidemark/server/broker/memory'
import { sqliteLog } from '@tidemark/server/log/sqlite'
import { system } from '@tidemark/shared'
import Fastify from 'fastify'
import { type Browser, chromium, type Page } from 'playwright-core'
import { build } from 'vite'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { findChromium } from '../../demo/e2e/chromium.ts'
import { servePages } from '../../demo/pages.ts'
import { inventory } from '../events.ts'
import { cutOff, frameworks, press, reads, receive, rows, says } from './page.ts'

const app = Fastify()
const cleanups: (() => unknown)[] = []
const thrown: Error[] = []
let browser: Browser
let url: string

beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-examples-'))
  cleanups.push(() => rm(folder, { recursive: true, force: true }))
  await build({
    configFile: join(import.meta.dirname, '../vite.config.ts'),
    // Vitest says that this is a test; what is built is what people get.
    mode: 'production',
    logLevel: 'error',
    build: { outDir: join(folder, 'pages'), emptyOutDir: true },
  })
  const log = sqliteLog(join(folder, 'log.db'))
  const topics = [{ name: inventory.name, subscriptions: [{ name: 'all', requiresSession: true }] }]
  const broker = createMemoryBroker({ system, namespace: createNamespace(system, { topics }) })
  await app.register(gateway, { log, broker, topics: [inventory] })
  await servePages(app, join(folder, 'pages'))
  url = await app.listen({ host: '127.0.0.1', port: 0 })
  cleanups.push(async () => {
    await app.close()
    await broker.close()
    await log.close()
  })
  const { executablePath, args, env } = await findChromium()
  browser = await chromium.launch({ executablePath, args: [...args], env: { ...env } })
  cleanups.push(() => browser.close())
})
afterAll(async () => {
  for (const cleanup of cleanups.toReversed()) await cleanup()
  expect(thrown).toEqual([])
})

/** Opens a page on a device of its own: another profile, another database. */
async function open(path: string): Promise<Page> {
  const page = await browser.newPage({ viewport: { width: 1200, height: 800 } })
  page.on('pageerror', (error) => thrown.push(error))
  await page.goto(`${url}/${path}index.html`)
  return page
}

// Side by side: most of the time they wait until a browser without a network is missed.
test.concurrent.each(frameworks)('two devices in %s see what the other does', async (framework) => {
  const [ada, ben] = [await open(`${framework}/`), await open(`${framework}/`)]
  const sku = `${framework}-tea`
  await receive(ada, sku)
  await reads(ben, 'Stock', `${sku} 1`)
  await press(ben, sku, '+1')
  await reads(ada, 'Stock', `${sku} 2`)
  await press(ada, sku, '−1')
  await reads(ben, 'Stock', `${sku} 1`)
})

test.concurrent.each(frameworks)(
  'what is received offline in %s shows at once, and elsewhere once',
  async (framework) => {
    const [ada, ben] = [await open(`${framework}/`), await open(`${framework}/`)]
    const sku = `${framework}-oats`
    await says(ada, 'online, 0 pending')
    await cutOff(ada)
    await receive(ada, sku)
    await reads(ada, 'Stock', `${sku} 1`)
    await says(ada, 'offline, 1 pending')
    // Ben's own goes to the gateway and back meanwhile, and Ada's is not there.
    await receive(ben, `${framework}-rye`)
    await says(ben, 'online, 0 pending')
    expect(await rows(ben, 'Stock').filter({ hasText: sku }).count()).toBe(0)

    await ada.context().setOffline(false)
    await says(ada, 'online, 0 pending')
    await reads(ben, 'Stock', `${sku} 1`)
    // Had it come twice, this would be the third.
    await press(ben, sku, '+1')
    await reads(ada, 'Stock', `${sku} 2`)
  },
)

test.concurrent.each(frameworks)(
  'a pick of what is not there is denied in %s, now or later',
  async (framework) => {
    const [ada, ben] = [await open(`${framework}/`), await open(`${framework}/`)]
    const sku = `${framework}-salt`
    await receive(ada, sku)
    await reads(ben, 'Stock', `${sku} 1`)
    await says(ada, 'online, 0 pending')
    await cutOff(ada)
    await press(ada, sku, '−1')
    await reads(ada, 'Stock', `${sku} 0`)
    await press(ada, sku, '−1')
    await ada
      .getByRole('alert')
      .filter({ hasText: `${sku}: OUT_OF_STOCK` })
      .waitFor()
    // Ben is quicker with the last one.
    await press(ben, sku, '−1')
    await says(ben, 'online, 0 pending')

    await ada.context().setOffline(false)
    await reads(ada, 'Refused', `${sku} OUT_OF_STOCK`)
    await reads(ada, 'Stock', `${sku} 0`)
    await says(ada, 'online, 0 pending')
    await ada.getByRole('button', { name: 'Discard' }).click()
    await rows(ada, 'Refused').waitFor({ state: 'detached' })
  },
)

test.concurrent('what one framework does shows in the two others', async () => {
  const pages = await Promise.all(frameworks.map((framework) => open(`${framework}/`)))
  for (const [at, page] of pages.entries()) {
    await receive(page, 'milk')
    for (const other of pages) await reads(other, 'Stock', `milk ${at + 1}`)
  }
})

test.concurrent('all three are tabs of one device where one browser shows them', async () => {
  const page = await open('')
  const panes = frameworks.map((framework) =>
    page.frameLocator(`iframe[src="/${framework}/index.html"]`),
  )
  for (const pane of panes) await says(pane, 'online, 0 pending')
  await cutOff(page)
  for (const [at, pane] of panes.entries()) {
    await receive(pane, 'rice')
    for (const other of panes) {
      await reads(other, 'Stock', `rice ${at + 1}`)
      await says(other, `offline, ${at + 1} pending`)
    }
  }
  await page.context().setOffline(false)
  for (const pane of panes) await says(pane, 'online, 0 pending')
  for (const pane of panes) await reads(pane, 'Stock', 'rice 3')
})
