/** What a module weighs in somebody's app. */
import { gzipSync } from 'node:zlib'
import { build } from 'vite'
import { resolveConditions } from './browser/page.ts'

/** A module and what it imports as a production build has it, minified and gzipped, in kB. `external` is left out. */
export async function weigh(input: string, external: readonly string[] = []): Promise<number> {
  const output = await build({
    configFile: false,
    logLevel: 'warn',
    resolve: { conditions: resolveConditions },
    define: { 'process.env.NODE_ENV': '"production"' },
    build: {
      write: false,
      target: 'esnext',
      modulePreload: false,
      rolldownOptions: { input, external: [...external], preserveEntrySignatures: 'strict' },
    },
  })
  const chunks = [output].flat().flatMap((built) => ('output' in built ? built.output : []))
  const code = chunks.map((chunk) => ('code' in chunk ? chunk.code : '')).join('\n')
  return gzipSync(code, { level: 9 }).length / 1_000
}
