/**
 * A server in a process of its own: `startServer` in the runner, `announce` in the server. They talk
 * over Node's IPC channel, and the server ends when that channel does, so nothing outlives a run.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

type ToServer = 'memory' | 'close'
type FromServer = { readonly port: number } | { readonly residentBytes: number }

/** A server that runs. */
export interface ServerProcess {
  readonly port: number
  /** Resident memory after a full collection, in bytes. */
  memory(): Promise<number>
  /** Asks it to end, and resolves when it has. */
  close(): Promise<void>
}

/** Where `startServer` puts CPU profiles, one for each process; `undefined` for none. */
export const profiling: { directory: string | undefined } = { directory: undefined }

const startMsMax = 20_000

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
  const started = await answer(child, startMsMax)
  if (!('port' in started)) throw new Error(`${script} said something else before its port`)
  return {
    port: started.port,
    async memory() {
      tell(child, 'memory')
      const told = await answer(child, startMsMax)
      if (!('residentBytes' in told)) throw new Error(`${script} was asked for its memory`)
      return told.residentBytes
    },
    async close() {
      if (child.connected) tell(child, 'close')
      const timer = setTimeout(() => child.kill('SIGKILL'), 10_000)
      await ended
      clearTimeout(timer)
      rmSync(data, { recursive: true, force: true })
    },
  }
}

/** Tells the runner that this server listens on `port` of the loopback; `close` is called when the runner is done. */
export function announce(port: number, close: () => Promise<void>): void {
  const end = (): void => {
    void close().finally(() => process.exit(0))
  }
  process.on('message', (message: ToServer) => {
    if (message === 'close') return end()
    globalThis.gc?.()
    say({ residentBytes: process.memoryUsage().rss })
  })
  process.once('disconnect', end)
  say({ port })
}

const profileFlags = (): readonly string[] =>
  profiling.directory === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profiling.directory}`]

const tell = (child: ChildProcess, message: ToServer): void => void child.send(message)
const say = (message: FromServer): void => void process.send?.(message)

const answer = (child: ChildProcess, msMax: number): Promise<FromServer> =>
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
