/**
 * The demo's processes. Each is a script of its own that says `ready` to whoever started it, so that one
 * can be killed while the others go on.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** What to start. */
export interface ProcessOptions {
  /** A script beside this file. */
  readonly script: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** The file that what it prints goes to. */
  readonly logFile: string
}

/** A process that said it is ready. */
export interface Running {
  readonly pid: number
  /** Resolves when it is gone, with how. */
  readonly gone: Promise<string>
  /** Sends a signal and waits until it is gone. `SIGTERM` lets it finish what is under way. */
  stop(signal?: 'SIGTERM' | 'SIGKILL'): Promise<void>
}

const stopMsMax = 10_000

/** Starts a process and waits until it is ready. Throws where it ends before. */
export async function startProcess(options: ProcessOptions): Promise<Running> {
  const { script, args, env, logFile } = options
  await mkdir(dirname(logFile), { recursive: true })
  const child = fork(join(import.meta.dirname, script), [...args], {
    execArgv: ['-C', '@tidemark/source', '--disable-warning=ExperimentalWarning'],
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    // A process group of its own: Ctrl-C reaches only the one that started all, and it stops the others in order.
    detached: true,
  })
  const log = createWriteStream(logFile, { flags: 'a' })
  child.stdout?.pipe(log, { end: false })
  child.stderr?.pipe(log, { end: false })
  const gone = once(child, 'exit').then(([code, signal]) => {
    log.end()
    return signal ? `signal ${signal}` : `code ${code}`
  })
  const first = await Promise.race([once(child, 'message').then(() => 'ready'), gone])
  if (first !== 'ready') throw new Error(`${script} ended with ${first}. Its log is ${logFile}`)
  return { pid: child.pid ?? 0, gone, stop: (signal = 'SIGTERM') => stop(child, gone, signal) }
}

async function stop(
  child: ChildProcess,
  gone: Promise<string>,
  signal: 'SIGTERM' | 'SIGKILL',
): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill(signal)
  const patience = setTimeout(() => child.kill('SIGKILL'), stopMsMax)
  await gone
  clearTimeout(patience)
}

/** Tells whoever started this process that it is ready, and runs `close` when it is asked to stop. */
export function sayReady(close: () => Promise<void>): void {
  let closing = false
  const end = () => {
    if (closing) return
    closing = true
    void close().then(
      () => process.exit(0),
      (error: unknown) => {
        process.stderr.write(`${error instanceof Error ? error.stack : error}\n`)
        process.exit(1)
      },
    )
  }
  process.on('SIGTERM', end)
  process.on('SIGINT', end)
  // Whoever started us is gone, however it ended: nobody is left to stop us.
  process.on('disconnect', end)
  process.send?.('ready')
}
