/** What every command of the command line is made of. */
import { type ParseArgsConfig, parseArgs } from 'node:util'
import type { System } from '@tidemark/shared'

/** What a command may touch. */
export interface Terminal {
  out(text: string): void
  err(text: string): void
  readonly cwd: string
  readonly env: Readonly<Record<string, string | undefined>>
  /** The operating system's name for whoever runs it. */
  readonly user: string
  readonly system: System
  /** Aborts when the command is to end. */
  readonly signal: AbortSignal
  /** Asks for a yes or a no; no where `withdrawn` aborts first. Absent: nobody sits here who could answer. */
  readonly ask?: ((question: string, withdrawn: AbortSignal) => Promise<boolean>) | undefined
}

/** One command. */
export interface Command {
  /** One line for the list of commands. */
  readonly summary: string
  /** All there is to know, shown by `--help`. */
  readonly help: string
  /** Runs it. Returned: the exit code. Throws `BadInput` for what was typed wrongly. */
  run(args: readonly string[], terminal: Terminal): Promise<number>
}

/** What was typed is not understood. `message` is a sentence that says what would be. */
export class BadInput extends Error {
  override readonly name = 'BadInput'
}

/** Something that a person can mend without reading a stack: the message says what. */
export class CommandFailed extends Error {
  override readonly name = 'CommandFailed'
}

type Options = NonNullable<ParseArgsConfig['options']>

/** Reads options and positionals. Throws `BadInput`. */
export function readArgs<const O extends Options>(args: readonly string[], options: O) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true })
  } catch (cause) {
    throw new BadInput(firstSentence(cause instanceof Error ? cause.message : String(cause)), {
      cause,
    })
  }
}

/** `parseArgs` explains at length what a positional argument is. */
const firstSentence = (text: string): string => `${text.split('. ')[0]?.replace(/\.$/, '')}.`

/** A whole number in a range, or `BadInput`. */
export function readNumber(name: string, text: string, min: number, max: number): number {
  const number = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN
  if (number >= min && number <= max) return number
  throw new BadInput(`--${name} is a whole number from ${min} to ${max}, not "${text}".`)
}

/** One of several words, or `BadInput`. */
export function readWord<const Word extends string>(
  name: string,
  text: string | undefined,
  words: readonly Word[],
): Word {
  const found = words.find((word) => word === text)
  if (found !== undefined) return found
  throw new BadInput(`${name} is ${words.join(' or ')}, not "${text ?? ''}".`)
}

/** Refuses arguments that nobody asked for. */
export function expectNothing(positionals: readonly string[]): void {
  if (positionals.length > 0) throw new BadInput(`"${positionals[0]}" is not expected here.`)
}
