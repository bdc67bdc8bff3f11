/** `tidemark dev`: gateway, broker and watcher for an app that is being written. */
import { resolve } from 'node:path'
import { namePattern } from '@tidemark/shared'
import { runDev } from '../dev/dev.ts'
import { BadInput, type Command, CommandFailed, readArgs, readNumber } from './command.ts'
import { loadDescribersOf } from './describers.ts'

const help = `
tidemark dev FILE [--port N] [--data FOLDER] [--consumer NAME]... [--reset]

For development only. Serves every topic that FILE exports, in any scope, to this machine, with a Service Bus
broker in the same process; whoever says who they are is believed. FILE (src/events.ts) is read again
whenever it or a file that it imports is saved. New topics and types are served at once. Where a schema has
changed under which the log has events, the difference is shown, and whether the old events fit; where they
may not, you are asked whether to empty the log.

  --port N          the port of the WebSocket; 0 takes a free one (4747)
  --bus-port N      the port of the Service Bus; 0 takes a free one (5672). It is there where
                    @azure/service-bus and rhea are installed; else the broker is in memory
  --consumer NAME   a service that reads the bus, by a subscription of this name; may be given several times
  --data FOLDER     where the log is kept, and the schemas of what is in it (.tidemark)
  --reset           empty the log without asking, wherever it would be asked
`

const options = {
  port: { type: 'string', default: '4747' },
  'bus-port': { type: 'string', default: '5672' },
  consumer: { type: 'string', multiple: true, default: [] as string[] },
  data: { type: 'string', default: '.tidemark' },
  reset: { type: 'boolean', default: false },
} as const

const question = 'Empty the development log and start anew? [y/N] '

/** `tidemark dev`. */
export const dev: Command = {
  summary: 'serve an app that is being written, and follow its edits',
  help,
  async run(args, terminal) {
    const { values, positionals } = readArgs(args, options)
    const [named, ...rest] = positionals
    if (named === undefined || rest.length > 0) {
      throw new BadInput('dev takes one FILE, the one that exports your topics: src/events.ts')
    }
    const { cwd, system, signal, ask, out } = terminal
    const file = resolve(cwd, named)
    const port = readNumber('port', values.port, 0, 65_535)
    const unnamed = values.consumer.find((name) => !namePattern.test(name) || name.length > 50)
    if (unnamed !== undefined) {
      throw new BadInput(
        `--consumer is a name of at most 50 letters, digits, dots, dashes and underscores, not "${unnamed}".`,
      )
    }
    const busPort = readNumber('bus-port', values['bus-port'], 0, 65_535)
    const settings = {
      file,
      port,
      busPort,
      system,
      reset: values.reset,
      folder: resolve(cwd, values.data),
      consumers: values.consumer,
      say: (line: string) => out(`${line}\n`),
      ask: ask && ((withdrawn: AbortSignal) => ask(question, withdrawn)),
      resetCommand: ['tidemark dev', ...args.filter((arg) => arg !== '--reset'), '--reset'].join(
        ' ',
      ),
      describers: loadDescribersOf(file),
    }
    try {
      await runDev(settings, signal)
      return 0
    } catch (cause) {
      const { code, port: taken } = cause as { readonly code?: string; readonly port?: number }
      if (code !== 'EADDRINUSE') throw cause
      const option = taken === port ? '--port' : '--bus-port'
      throw new CommandFailed(`Port ${taken} is taken. Choose another with ${option}.`, { cause })
    }
  },
}
