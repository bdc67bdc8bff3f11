/** `tidemark emulator`: a Service Bus on this machine. */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { toEmulatorConfig } from '../operate/provision.ts'
import {
  BadInput,
  type Command,
  CommandFailed,
  expectNothing,
  readArgs,
  readNumber,
  type Terminal,
} from './command.ts'
import { planOf, readConfiguration } from './configuration.ts'

const help = `
tidemark emulator [--config PATH] [--port N] [--host NAME] [--key TEXT]

Runs an embedded Service Bus broker that the SDKs of any language connect to. It keeps everything in memory
and loses it when it stops: for development and tests only.

  --config PATH   a Config.json of Microsoft's emulator, or a tidemark.config.ts whose topics and consumers
                  it then has (tidemark.config.ts)
  --port N        the port; 0 takes a free one (5672)
  --host NAME     the address to listen on (127.0.0.1)
  --key TEXT      the key that clients must sign with (none: any will do)
`

const options = {
  config: { type: 'string' },
  port: { type: 'string', default: '5672' },
  host: { type: 'string', default: '127.0.0.1' },
  key: { type: 'string' },
} as const

/** `tidemark emulator`. */
export const emulator: Command = {
  summary: 'run an embedded Service Bus broker, for development and tests',
  help,
  async run(args, terminal) {
    const { values, positionals } = readArgs(args, options)
    expectNothing(positionals)
    const port = readNumber('port', values.port, 0, 65_535)
    const config = await readTopology(values.config, terminal)
    const { host, key } = values
    const { out, signal, system } = terminal
    const { parseConfig, startEmulator } = await import('../emulator/index.ts')
    try {
      parseConfig(config)
    } catch (cause) {
      throw new BadInput(`The Config.json is none: ${reasonOf(cause)}`, { cause })
    }
    const say = (line: string): void => out(`${line}\n`)
    const settings = { config, port, host, say, system, ...(key === undefined ? {} : { key }) }
    const running = await startEmulator(settings).catch((cause: unknown) => {
      throw new CommandFailed(sayStart(cause, port), { cause })
    })
    out(`${running.connectionString}\n`)
    if (!signal.aborted) {
      await new Promise<void>((done) => {
        signal.addEventListener('abort', () => done(), { once: true })
      })
    }
    await running.close()
    return 0
  },
}

async function readTopology(named: string | undefined, terminal: Terminal): Promise<string> {
  if (named?.endsWith('.json')) {
    try {
      return readFileSync(resolve(terminal.cwd, named), 'utf8')
    } catch (cause) {
      throw new BadInput(`There is no file ${named}.`, { cause })
    }
  }
  const configuration = await readConfiguration(named, terminal)
  await configuration.config.broker?.close()
  await configuration.config.log?.close()
  return JSON.stringify(toEmulatorConfig(planOf(configuration)))
}

const sayStart = (cause: unknown, port: number): string =>
  (cause as { code?: string }).code === 'EADDRINUSE'
    ? `Port ${port} is taken.`
    : `The emulator did not start: ${reasonOf(cause)}`

const reasonOf = (cause: unknown): string =>
  (cause instanceof Error ? cause.message : String(cause)).replace(/^Assertion failed: /, '')
