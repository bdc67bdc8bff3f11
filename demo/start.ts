/** `npm start`: builds the pages, starts everything behind them, fills the shelves and says where to look. */
import { createServer } from 'node:net'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { buildPages, builtTo } from './build.ts'
import { drawBar } from './progress-bar.ts'
import { importStock } from './stock.ts'
import { startWorld, type World } from './world.ts'

const usage = `npm start -- [options]

  --port NUMBER   The port of the demo (4747).
  --data FOLDER   Where its data is kept (demo/.data). Delete it to start anew.
`

const say = (text: string): boolean => process.stdout.write(`${text}\n`)

function fail(text: string): never {
  process.stderr.write(`${text}\n`)
  process.exit(1)
}

function readOptions(): { readonly port: number; readonly dataFolder: string } {
  const options = {
    port: { type: 'string', default: '4747' },
    data: { type: 'string', default: join(import.meta.dirname, '.data') },
    help: { type: 'boolean', default: false },
  } as const
  try {
    const { values } = parseArgs({ options })
    if (values.help) {
      say(usage)
      process.exit(0)
    }
    const port = Number(values.port)
    if (!Number.isInteger(port) || port < 1 || port > 65_535) fail(`No such port: ${values.port}`)
    // A folder for each port: browsers keep a device's data by port too.
    return { port, dataFolder: join(values.data, String(port)) }
  } catch (error) {
    return fail(`${error instanceof Error ? error.message : error}\n\n${usage}`)
  }
}

/** Is somebody listening there already? */
function isTaken(port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(true) : reject(error),
    )
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(false)))
  })
}

function sayWelcome({ url, gateway }: World): void {
  say(`
  Tidemark is running at  ${url}

  Open it and try this first: on Ada's tablet, switch the network off and pick 2 of the first item.
  Reload the tablet: the booking is still there. Switch the network on: it arrives once on Ben's
  laptop, and the purchasing service, which heard of it over Service Bus, answers both.

  Then be rude: kill -9 ${gateway().pid} ends the gateway while you book. It is started again.
  Ctrl-C stops everything.
`)
}

const { port, dataFolder } = readOptions()
if (await isTaken(port)) fail(`Port ${port} is taken. Try another: npm start -- --port ${port + 1}`)
say('  Building the pages …')
await buildPages()
say('  Starting the gateway, an embedded Service Bus broker and the purchasing service …')
const world = await startWorld({
  port,
  dataFolder,
  pagesFolder: builtTo,
  onRestart: (name, how) => say(`  The ${name} process ended (${how}). Starting it again.`),
}).catch((error: Error) => fail(`It did not start: ${error.message}`))

let closing = false
async function close(): Promise<void> {
  if (closing) process.exit(1)
  closing = true
  say('\n  Stopping …')
  await world.close()
  process.exit(0)
}
process.on('SIGINT', () => void close())
process.on('SIGTERM', () => void close())

const { imported } = await importStock(
  join(import.meta.dirname, 'items.csv'),
  `${world.url.replace('http', 'ws')}/sync`,
  drawBar('Filling the shelves'),
)
if (imported > 0) say(`  ${imported.toLocaleString('en')} items are on the shelves.`)
sayWelcome(world)
