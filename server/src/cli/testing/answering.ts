/** The command line with somebody at the terminal who answers every question by the next line of standard input. */
import { createInterface } from 'node:readline'
import { system } from '@tidemark/shared'
import { runCommand } from '../commands.ts'

const interrupted = new AbortController()
process.once('SIGINT', () => interrupted.abort())
const lines = createInterface({ input: process.stdin })

process.exitCode = await runCommand(process.argv.slice(2), {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  cwd: process.cwd(),
  env: process.env,
  user: 'ann',
  system,
  signal: interrupted.signal,
  ask(question, withdrawn) {
    process.stdout.write(`${question}\n`)
    return new Promise((resolve) => {
      withdrawn.addEventListener('abort', () => resolve(false))
      lines.once('line', (line) => resolve(line === 'y'))
    })
  },
})
process.exit()
