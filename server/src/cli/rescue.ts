/** `tidemark rescue`: what a device could not send, into the log. */
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { isTidemarkError, parseRescue, type Rescue } from '@tidemark/shared'
import { toLimits } from '../gateway.ts'
import { importRescue, type Rescued } from '../operate/import-rescue.ts'
import {
  BadInput,
  type Command,
  CommandFailed,
  readArgs,
  readWord,
  type Terminal,
} from './command.ts'
import { openLog, readConfiguration } from './configuration.ts'

const help = `
tidemark rescue import FILE --why TEXT [--by NAME] [--json]

Appends what \`exportUnsynced(client)\` wrote on a device, with the ids, the bytes and the author that it has
there. The function \`rescue\` of the configuration says for each batch whether it may: without it nobody may.
The checksum in the file finds damage; it does not prove who wrote it.

Each event is printed: accepted, known (it was in the log already), refused (for good), held (\`rescue\` said
not now), or blocked (it rests on one that is not accepted). Doing it twice does it once. The exit code is 0
where every event is in the log. A gateway may be running meanwhile.

  --why TEXT      the reason, for the audit
  --by NAME       who you are, for the audit (the name of your account)
  --config PATH   the configuration (tidemark.config.ts)
  --json          print JSON, a line for each event
`

const options = {
  why: { type: 'string' },
  by: { type: 'string' },
  config: { type: 'string' },
  json: { type: 'boolean', default: false },
} as const

/** `tidemark rescue`. */
export const rescue: Command = {
  summary: 'append what a device exported, under its author',
  help,
  async run(args, terminal) {
    const { values, positionals } = readArgs(args, options)
    const [verb, path, ...others] = positionals
    readWord('The command', verb, ['import'])
    if (path === undefined || others.length > 0) throw new BadInput('import takes one FILE.')
    const { why, by = terminal.user } = values
    if (!why?.trim()) throw new BadInput('--why says the reason. It is written down.')
    const file = await readRescue(path, terminal)
    const configuration = await readConfiguration(values.config, terminal)
    const { config } = configuration
    const { rescue: authorize, topics } = config
    try {
      if (!authorize) throw new CommandFailed('The configuration has no `rescue`: nobody may.')
      const log = openLog(configuration, terminal)
      try {
        const subject = `${file.user} in ${file.scope}, ${file.batches.length} batches of ${file.clientId}`
        await log.audit({ at: terminal.system.now(), by, action: 'rescue', subject, note: why })
        const limits = toLimits(config)
        const counts = new Map<Rescued['type'], number>()
        for await (const one of importRescue({ log, topics, limits, authorize, by }, file)) {
          counts.set(one.type, (counts.get(one.type) ?? 0) + 1)
          terminal.out(values.json ? `${JSON.stringify(one)}\n` : toText(one))
        }
        return sayTotal(counts, terminal)
      } finally {
        await log.close()
      }
    } finally {
      await config.broker?.close()
    }
  },
}

async function readRescue(path: string, { cwd }: Terminal): Promise<Rescue> {
  let text: string
  try {
    text = await readFile(resolve(cwd, path), 'utf8')
  } catch (cause) {
    throw new BadInput(`There is no file ${path} that could be read.`, { cause })
  }
  try {
    return await parseRescue(text)
  } catch (cause) {
    if (!isTidemarkError(cause, 'RESCUE_INVALID')) throw cause
    throw new BadInput(`${path} cannot be imported: ${cause.details.reason}.`, { cause })
  }
}

const toText = ({ type, id, log, note }: Rescued): string =>
  `${type.padEnd(8)}  ${id}  ${log.topic}/${log.scope}  ${note}\n`

function sayTotal(counts: ReadonlyMap<Rescued['type'], number>, { err }: Terminal): number {
  const total = [...counts].map(([type, count]) => `${count} ${type}`).join(', ')
  err(`${total === '' ? 'The file is empty.' : `In all ${total}.`}\n`)
  return [...counts.keys()].every((type) => type === 'accepted' || type === 'known') ? 0 : 1
}
