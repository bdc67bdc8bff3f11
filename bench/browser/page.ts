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
import { chromium } from 'playwright-core'
import { build } from 'vite'
import { findChromium } from '../../demo/e2e/chromium.ts'
import type { InPage } from './main.ts'

/** A page that is ready to run the measurements of main.ts. */
export interface Page {
  /** Runs a measurement of main.ts, and says its number. */
  run(name: keyof InPage, count: number): Promise<number>
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
  const page = context.pages()[0] ?? (await context.newPage())
  page.on('pageerror', (error) => console.error(error))
  await page.goto(server.url)
  await page.waitForFunction(() => 'inPage' in globalThis)
  return {
    run: (name, count) =>
      page.evaluate(
        ([name, count]) => (globalThis as unknown as { inPage: InPage }).inPage[name](count),
        [name, count] as const,
      ),
    async close() {
      await context.close()
      await server.close()
      await rm(folder, { recursive: true, force: true })
    },
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
