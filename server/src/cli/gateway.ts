/** `tidemark gateway`: the gateway as a process of its own. */
import { type Command, expectNothing, readArgs } from './command.ts'
import { readConfiguration } from './configuration.ts'

const help = `
tidemark gateway [--config PATH]

Runs the gateway of the configuration. It listens on 127.0.0.1:4747, serves the WebSocket at /sync, history at
/feed, dead letters at /operate, and its health at /healthz and /readyz. SIGTERM drains it.

  --config PATH   the configuration (tidemark.config.ts)

  HOST, PORT      the address to listen on
  TIDEMARK_LOG    the file of its log (tidemark.db), where the configuration has no \`log\`
`

const options = { config: { type: 'string' } } as const

/** `tidemark gateway`. */
export const gateway: Command = {
  summary: 'run the gateway',
  help,
  async run(args, terminal) {
    const { values, positionals } = readArgs(args, options)
    expectNothing(positionals)
    const { path } = await readConfiguration(values.config, terminal)
    // main.ts is the same program without a command line around it, and reads its one argument itself.
    process.argv.splice(2, process.argv.length, path)
    await import('../main.ts')
    return await new Promise<number>(() => {})
  },
}
