#!/usr/bin/env node
/** The command line, `tidemark`. Bad input ends with a sentence and code 2, what failed with a sentence and code 1. */
import { userInfo } from 'node:os'
import { createInterface } from 'node:readline/promises'
import { system } from '@tidemark/shared'
import { runCommand } from './cli/commands.ts'

const interrupted = new AbortController()
// The first Ctrl-C ends what is under way in order, the second one at once.
process.once('SIGINT', () => interrupted.abort())
process.once('SIGTERM', () => interrupted.abort())

const write = (stream: NodeJS.WriteStream) => (text: string) => void stream.write(text)

const { stdin: input, stdout: output } = process

/** Asks the person at the terminal. There Ctrl-C comes to whoever reads the line, and is passed on. */
async function ask(question: string, withdrawn: AbortSignal): Promise<boolean> {
  const lines = createInterface({ input, output })
  lines.once('SIGINT', () => interrupted.abort())
  try {
    const signal = AbortSignal.any([withdrawn, interrupted.signal])
    return /^y(es)?$/i.test((await lines.question(question, { signal })).trim())
  } catch {
    // The question was withdrawn, or the terminal is gone.
    output.write('\n')
    return false
  } finally {
    lines.close()
  }
}

process.exitCode = await runCommand(process.argv.slice(2), {
  out: write(process.stdout),
  err: write(process.stderr),
  cwd: process.cwd(),
  env: process.env,
  user: userInfo().username,
  system,
  signal: interrupted.signal,
  ask: input.isTTY && output.isTTY ? ask : undefined,
})
// A pipe may still have to take what was written; nothing else is waited for.
await new Promise((written) => void process.stdout.write('', written))
process.exit()
