/** What the client adds to an app's bundle. */
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { build } from 'vite'
import type { Bench } from '../bench.ts'
import { resolveConditions } from '../browser/page.ts'

const kilobytesMax = 10

/** The client's own code beside Dexie, minified and gzipped, against what we allow ourselves. */
export const clientSize: Bench = {
  name: 'client-size',
  unit: 'kB',
  goal: { atMost: 1 },
  about: 'own code of createClient, topic and model, min+gz, without Dexie, against our bound',
  exact: true,
  open: async () => ({
    limit: async () => kilobytesMax,
    ours: async () => gzipSync(await bundle(), { level: 9 }).length / 1_000,
    close: async () => undefined,
  }),
}

/** The code of browser/app.ts as a production build has it, with Dexie left out. */
async function bundle(): Promise<string> {
  const input = join(import.meta.dirname, '../browser/app.ts')
  const output = await build({
    configFile: false,
    logLevel: 'warn',
    resolve: { conditions: resolveConditions },
    build: {
      write: false,
      target: 'esnext',
      modulePreload: false,
      rolldownOptions: { input, external: ['dexie'], preserveEntrySignatures: 'strict' },
    },
  })
  const chunks = [output].flat().flatMap((built) => ('output' in built ? built.output : []))
  return chunks.map((chunk) => ('code' in chunk ? chunk.code : '')).join('\n')
}
