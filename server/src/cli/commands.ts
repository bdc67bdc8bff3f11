/** The commands, and what happens around each of them. */
import { createRequire } from 'node:module'
import { sayWhy } from '../operate/dead-letters.ts'
import { BadInput, type Command, type Terminal } from './command.ts'
import { deadLetters } from './dead-letters.ts'
import { dev } from './dev.ts'
import { doctor } from './doctor.ts'
import { emulator } from './emulator.ts'
import { gateway } from './gateway.ts'
import { provision } from './provision.ts'
import { replay } from './replay.ts'
import { rescue } from './rescue.ts'
import { schema } from './schema.ts'

const commands: Readonly<Record<string, Command>> = {
  dev,
  gateway,
  emulator,
  'dead-letters': deadLetters,
  replay,
  rescue,
  schema,
  provision,
  doctor,
}

/** Runs what was typed. Returned: the exit code. Never throws. */
export async function runCommand(args: readonly string[], terminal: Terminal): Promise<number> {
  const [first = '--help', ...rest] = args
  if (first === '--version') {
    terminal.out(`${readVersion()}\n`)
    return 0
  }
  const asked = first === 'help' ? (rest[0] ?? '--help') : first
  if (asked === '--help' || asked === '-h') {
    terminal.out(overview())
    return args.length === 0 ? 2 : 0
  }
  const command = Object.hasOwn(commands, asked) ? commands[asked] : undefined
  if (!command) {
    terminal.err(`There is no command "${asked}". Try: tidemark --help\n`)
    return 2
  }
  if (first === 'help' || rest.includes('--help') || rest.includes('-h')) {
    terminal.out(`${command.help.trim()}\n`)
    return 0
  }
  return await runOne(asked, command, rest, terminal)
}

async function runOne(
  name: string,
  command: Command,
  args: readonly string[],
  terminal: Terminal,
): Promise<number> {
  try {
    return await command.run(args, terminal)
  } catch (error) {
    terminal.err(`${sayWhy(error)}\n`)
    if (!(error instanceof BadInput)) return 1
    terminal.err(`Try: tidemark ${name} --help\n`)
    return 2
  }
}

function overview(): string {
  const width = Math.max(...Object.keys(commands).map((name) => name.length))
  const lines = Object.entries(commands).map(
    ([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`,
  )
  return `tidemark <command> [options]

${lines.join('\n')}

tidemark <command> --help says more. Commands read tidemark.config.ts (or .js, .mjs) of this folder;
--config names another. Exit codes: 0 it is well, 1 it is not, 2 what was typed is not understood.
`
}

function readVersion(): string {
  const { version } = createRequire(import.meta.url)('../../package.json') as { version: string }
  return version
}
