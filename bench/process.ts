/**
 * A server in a process of its own: `startServer` in the runner, `announce` in the server. They talk
 * over Node's IPC channel, and the server ends when that channel does, so nothing outlives a run. What
 * has no port, such as a consumer, is started the same way and asked to do its work.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

type ToServer =
  | { readonly type: 'ask'; readonly what: string; readonly about: unknown }
  | { readonly type: 'close' }
type FromServer =
  | { readonly type: 'started'; readonly port: number }
  | { readonly type: 'answer'; readonly answer: unknown }
  | { readonly type: 'fault'; readonly reason: string }

/** What a server does when it is asked, by the name of the question. */
export type Answers = Readonly<Record<string, (about: never) => unknown>>

/** A server that runs. */
export interface ServerProcess {
  readonly port: number
  /** Resident memory after a full collection, in bytes. */
  memory(): Promise<number>
  /** Asks it something that it announced an answer for; one question at a time. Rejects with what it threw. */
  ask<Answer>(what: string, about?: unknown): Promise<Answer>
  /** Asks it to end, and resolves when it has. */
  close(): Promise<void>
}

/** Where `startServer` puts CPU profiles, one for each process; `undefined` for none. */
export const profiling: { directory: string | undefined } = { directory: undefined }

const startMsMax = 20_000
const answerMsMax = 120_000

/** Starts `script` (a file of this folder) with an empty directory for its data as the last argument. */
export async function startServer(
  script: string,
  args: readonly string[] = [],
): Promise<ServerProcess> {
  const data = mkdtempSync(join(tmpdir(), 'tidemark-bench-'))
  const child = fork(join(import.meta.dirname, script), [...args, data], {
    execArgv: ['-C', '@tidemark/source', '--expose-gc', ...profileFlags()],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const started = await report(child, startMsMax)
  if (started.type !== 'started') throw new Error(`${script} said something else before its port`)
  const ask = async <Answer>(what: string, about?: unknown): Promise<Answer> => {
    tell(child, { type: 'ask', what, about })
    const told = await report(child, answerMsMax)
    if (told.type === 'answer') return told.answer as Answer
    throw new Error(`${script}, asked for ${what}: ${JSON.stringify(told)}`)
  }
  return {
    port: started.port,
    memory: () => ask('memory'),
    ask,
    async close() {
      if (child.connected) tell(child, { type: 'close' })
      const timer = setTimeout(() => child.kill('SIGKILL'), 10_000)
      await ended
      clearTimeout(timer)
      rmSync(data, { recursive: true, force: true })
    },
  }
}

/**
 * Tells the runner that this server listens on `port` of the loopback (0: on none). `close` is called when
 * the runner is done, and `answers` when it asks.
 */
export function announce(port: number, close: () => Promise<void>, answers: Answers = {}): void {
  const end = (): void => {
    void close().finally(() => process.exit(0))
  }
  const known: Answers = { memory, ...answers }
  const answer = async (what: string, about: unknown): Promise<void> => {
    try {
      say({ type: 'answer', answer: await known[what]?.(about as never) })
    } catch (error) {
      say({ type: 'fault', reason: error instanceof Error ? `${error.stack}` : String(error) })
    }
  }
  process.on('message', (message: ToServer) => {
    if (message.type === 'close') end()
    else void answer(message.what, message.about)
  })
  process.once('disconnect', end)
  say({ type: 'started', port })
}

function memory(): number {
  globalThis.gc?.()
  return process.memoryUsage().rss
}

const profileFlags = (): readonly string[] =>
  profiling.directory === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profiling.directory}`]

const tell = (child: ChildProcess, message: ToServer): void => void child.send(message)
const say = (message: FromServer): void => void process.send?.(message)

const report = (child: ChildProcess, msMax: number): Promise<FromServer> =>
  new Promise((resolve, reject) => {
    const settle = (run: () => void): void => {
      clearTimeout(timer)
      child.off('message', heard).off('exit', gone)
      run()
    }
    const heard = (message: unknown): void => settle(() => resolve(message as FromServer))
    const gone = (code: number | null): void =>
      settle(() => reject(new Error(`the server ended with ${code}`)))
    const timer = setTimeout(() => settle(() => reject(new Error('the server is silent'))), msMax)
    child.on('message', heard).on('exit', gone)
  })
