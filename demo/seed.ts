/** `npm run seed`: imports a stock list into a running demo. `--file items.csv`, `--url ws://127.0.0.1:4747/sync`. */
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { drawBar } from './progress-bar.ts'
import { importStock } from './stock.ts'

const { values } = parseArgs({
  options: {
    file: { type: 'string', default: join(import.meta.dirname, 'items.csv') },
    url: { type: 'string', default: 'ws://127.0.0.1:4747/sync' },
  },
})

try {
  const { imported, known } = await importStock(values.file, values.url, drawBar('Importing'))
  process.stdout.write(`${imported} items imported, ${known} were there already.\n`)
} catch (error) {
  process.stderr.write(`${values.file}: ${error instanceof Error ? error.message : error}\n`)
  process.exitCode = 1
}
