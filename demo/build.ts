/** Builds the pages into demo/dist. It takes a second, so it is done at each start and is never stale. */
import { join } from 'node:path'
import { build } from 'vite'

/** Where the built pages are. */
export const builtTo = join(import.meta.dirname, 'dist')

/** Builds both pages. Throws with Vite's own words where they do not build. */
export async function buildPages(outDir = builtTo): Promise<void> {
  const pages = ['index.html', 'device.html'].map((page) => join(import.meta.dirname, page))
  const before = process.env['NODE_ENV']
  // What people get, also where a test builds it.
  process.env['NODE_ENV'] = 'production'
  await build({
    configFile: join(import.meta.dirname, '../vite.config.ts'),
    root: import.meta.dirname,
    logLevel: 'error',
    build: { outDir, emptyOutDir: true, rollupOptions: { input: pages } },
  })
  if (before === undefined) delete process.env['NODE_ENV']
  else process.env['NODE_ENV'] = before
}
