/** Builds the pages into demo/dist. It takes a second, so it is done at each start and is never stale. */
import { join } from 'node:path'
import { build } from 'vite'

/** Where the built pages are. */
export const builtTo = join(import.meta.dirname, 'dist')

/** Builds both pages. Throws with Vite's own words where they do not build. */
export async function buildPages(outDir = builtTo): Promise<void> {
  const pages = ['index.html', 'device.html'].map((page) => join(import.meta.dirname, page))
  await build({
    configFile: join(import.meta.dirname, '../vite.config.ts'),
    root: import.meta.dirname,
    logLevel: 'error',
    build: { outDir, emptyOutDir: true, rollupOptions: { input: pages } },
  })
}
