/** Everything for real, for one test: broker, gateway and purchasing service as processes, and browsers. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BrowserContext, chromium, type Page } from 'playwright-core'
import { buildPages } from '../build.ts'
import { importStock } from '../stock.ts'
import { startWorld, type World } from '../world.ts'
import { findChromium } from './chromium.ts'

/** How a browser of the rig is started. */
export interface BrowserOptions {
  /** Keep a page that was left as it is, to come back to: what people's browsers do, and Playwright's do not. */
  readonly keepsLeftPages?: boolean
  /** What is done with its page before the app is in it. */
  readonly before?: (page: Page) => Promise<unknown>
}

/** A running demo, and what to open it with. */
export interface Rig {
  readonly world: World
  readonly dataFolder: string
  /** Opens the page of a device in a browser of its own: another process, another profile. */
  open(device: 'a' | 'b', options?: BrowserOptions): Promise<Page>
  /** Opens the page with both panes in one browser. */
  openPanes(): Promise<Page>
  close(): Promise<void>
}

/** How long a click or a wait in a page may take, in ms. The machine may be busy. */
const actionMsMax = 30_000

/** Starts a rig whose shelves are filled from `stockFile`. */
export async function startRig(stockFile: string): Promise<Rig> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-e2e-'))
  const pagesFolder = join(folder, 'pages')
  const dataFolder = join(folder, 'data')
  await buildPages(pagesFolder)
  const world = await startWorld({ port: await findPort(), dataFolder, pagesFolder })
  await importStock(stockFile, `${world.url.replace('http', 'ws')}/sync`, () => {})
  const browsers: BrowserContext[] = []
  const openPage = async (
    path: string,
    { keepsLeftPages = false, before }: BrowserOptions = {},
  ): Promise<Page> => {
    const { executablePath, args, env } = await findChromium()
    const profile = await mkdtemp(join(folder, 'profile-'))
    const options = {
      executablePath,
      args: [...args],
      env,
      viewport: { width: 1440, height: 900 },
      ignoreDefaultArgs: keepsLeftPages ? ['--disable-back-forward-cache'] : [],
    }
    const browser = await chromium.launchPersistentContext(profile, options)
    browsers.push(browser)
    browser.setDefaultTimeout(actionMsMax)
    const page = browser.pages()[0] ?? (await browser.newPage())
    await before?.(page)
    await page.goto(`${world.url}/${path}`)
    return page
  }
  return {
    world,
    dataFolder,
    open: async (device, options) => {
      const page = await openPage(`device.html?device=${device}`, options)
      await synced(page)
      return page
    },
    openPanes: () => openPage(''),
    async close() {
      await Promise.all(browsers.map((browser) => browser.close()))
      await world.close()
      // A browser that has ended may still be writing for a moment.
      await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
    },
  }
}

/** Starts a rig with a few items: how many of each `sku-…` are on the shelf. */
export async function startSmallRig(shelves: Readonly<Record<string, number>>): Promise<Rig> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-stock-'))
  const file = join(folder, 'items.csv')
  const rows = Object.entries(shelves).map(([sku, onHand]) => `${sku},Item ${sku},A1,0,${onHand}`)
  await writeFile(file, ['sku,name,location,reorderLevel,onHand', ...rows].join('\n'))
  try {
    return await startRig(file)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** A port that nobody listens on. */
export async function findPort(): Promise<number> {
  const probe = createServer()
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve))
  const address = probe.address()
  await new Promise((resolve) => probe.close(resolve))
  if (typeof address !== 'object' || !address) throw new Error('no port')
  return address.port
}

/** Waits until the device has everything, and nothing of its own waits any more. */
export async function synced(page: Page, timeout = 60_000): Promise<void> {
  await page.waitForFunction(
    () => {
      const { link, pending, logs } = window.tidemark.status.getSnapshot()
      const areCaughtUp = ['inventory', 'orders'].every((topic) => logs[topic]?.caughtUp === true)
      return link === 'online' && pending === 0 && areCaughtUp
    },
    undefined,
    { timeout, polling: 50 },
  )
}

/** Waits until the device stores the log of a topic up to `position`. */
export async function reaches(
  page: Page,
  position: number,
  timeout = 60_000,
  topic = 'inventory',
): Promise<void> {
  await page.waitForFunction(
    ([name, wanted]) => (window.tidemark.status.getSnapshot().logs[name]?.position ?? 0) >= wanted,
    [topic, position] as const,
    { timeout, polling: 50 },
  )
}

/** Waits until `look` finds something. For what no page can tell: files, processes, health. */
export async function eventually<T>(
  look: () => T | undefined | Promise<T | undefined>,
  what: string,
  timeout = 60_000,
): Promise<T> {
  const deadline = performance.now() + timeout
  for (;;) {
    const found = await look()
    if (found !== undefined) return found
    if (performance.now() > deadline) throw new Error(`Not within ${timeout} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
