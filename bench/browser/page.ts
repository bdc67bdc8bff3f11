/**
 * A page in a real Chromium, with a profile on a real disk: a context without one would keep
 * IndexedDB in memory. Vite bundles what runs in it, from the same sources that users get.
 */
import { readFile, rm } from 'node:fs/promises'
import { mkdtempSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BrowserContext, chromium, type Page as Tab } from 'playwright-core'
import { build } from 'vite'
import { findChromium } from '../../demo/e2e/chromium.ts'
import type { InPage } from './main.ts'

/** Runs what main.ts has by this name, and answers with what it did. */
export type RunInPage = <Name extends keyof InPage>(
  name: Name,
  ...args: Parameters<InPage[Name]>
) => Promise<Awaited<ReturnType<InPage[Name]>>>

/** A page that is ready to run what main.ts has. */
export interface Page {
  readonly run: RunInPage
  /** The tab in the browser. */
  readonly tab: Tab
  /** Loads the page anew: no code of it is warm, and nothing of it in memory. */
  reload(): Promise<void>
  /** Opens another tab on the same page, beside this one. */
  open(): Promise<Page>
  /** Closes the tab; of the page that was opened first, the browser. */
  close(): Promise<void>
}

/** How Vite resolves Tidemark's packages: to their sources. */
export const resolveConditions = ['@tidemark/source', 'module', 'browser', 'production']

/** Builds the page, serves it on the loopback and opens it. */
export async function openPage(): Promise<Page> {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-bench-page-'))
  const built = join(folder, 'page')
  await build({
    root: import.meta.dirname,
    configFile: false,
    logLevel: 'warn',
    resolve: { conditions: resolveConditions },
    build: { outDir: built, emptyOutDir: true, target: 'esnext', modulePreload: false },
  })
  const server = await serve(built)
  const { executablePath, args, env } = await findChromium()
  const context = await chromium.launchPersistentContext(join(folder, 'profile'), {
    executablePath,
    args: [...args],
    env: { ...env },
  })
  const first = context.pages()[0] ?? (await context.newPage())
  const page = await toPage(context, first, server.url)
  return {
    ...page,
    async close() {
      await context.close()
      await server.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

async function toPage(context: BrowserContext, tab: Tab, url: string): Promise<Page> {
  const isReady = () => tab.waitForFunction(() => 'inPage' in globalThis)
  tab.on('pageerror', (error) => console.error(error))
  await tab.goto(url)
  await isReady()
  return {
    run: (name, ...args) =>
      tab.evaluate(
        ([name, args]) => {
          const { inPage } = globalThis as unknown as { inPage: Record<string, Function> }
          return inPage[name]?.(...args)
        },
        [name, args] as const,
      ),
    tab,
    async reload() {
      await tab.reload()
      await isReady()
    },
    open: async () => toPage(context, await context.newPage(), url),
    close: () => tab.close(),
  }
}

const contentTypes: Readonly<Record<string, string>> = { html: 'text/html', js: 'text/javascript' }

async function serve(folder: string): Promise<{ url: string; close(): Promise<void> }> {
  const server = createServer((request, response) => {
    const path = request.url === '/' ? 'index.html' : `.${request.url}`
    const type = contentTypes[path.split('.').at(-1) ?? '']
    readFile(join(folder, path)).then(
      (body) => response.writeHead(200, { 'content-type': type }).end(body),
      () => response.writeHead(404).end(),
    )
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  }
}
