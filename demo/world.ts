/** Everything behind the browser: the embedded broker, the gateway and the purchasing service. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { sleep, system } from '@tidemark/shared'
import { type Running, startProcess } from './processes.ts'

/** How to start the world. */
export interface WorldOptions {
  /** The gateway's port. */
  readonly port: number
  /** Where the log and the service's own database are kept. */
  readonly dataFolder: string
  /** Where the built pages are. */
  readonly pagesFolder: string
  /** Told when a process ended by itself and is started again. */
  readonly onRestart?: (name: string, how: string) => void
}

/** A running world. */
export interface World {
  readonly url: string
  readonly connectionString: string
  /** The process that runs now; another one after a crash. */
  gateway(): Running
  purchasing(): Running
  close(): Promise<void>
}

/** Starts the world. A real Service Bus is used where `SERVICEBUS_CONNECTION_STRING` names one. */
export async function startWorld(options: WorldOptions): Promise<World> {
  const { port, dataFolder, pagesFolder } = options
  const onRestart = options.onRestart ?? (() => {})
  const given = process.env['SERVICEBUS_CONNECTION_STRING']
  const emulator = given ? undefined : await openEmulator()
  const connectionString = given ?? emulator?.connectionString ?? ''
  const env = { SERVICEBUS_CONNECTION_STRING: connectionString }
  const common = ['--data', dataFolder]
  const gatewayArgs = [...common, '--port', String(port), '--pages', pagesFolder]
  try {
    const gateway = await keepRunning('gateway', gatewayArgs, env, dataFolder, onRestart)
    const purchasing = await keepRunning('purchasing', common, env, dataFolder, onRestart)
    return {
      url: `http://127.0.0.1:${port}`,
      connectionString,
      gateway: gateway.now,
      purchasing: purchasing.now,
      async close() {
        await Promise.all([gateway.close(), purchasing.close()])
        await emulator?.close()
      },
    }
  } catch (error) {
    await emulator?.close()
    throw error
  }
}

/** The embedded broker; loaded only where there is no real one. */
async function openEmulator() {
  const { startEmulator } = await import('@tidemark/server/emulator')
  const config = await readFile(join(import.meta.dirname, 'servicebus.json'), 'utf8')
  return startEmulator({ port: 0, config })
}

/** How long to wait before a process is started again that did not even get ready, in ms. */
const restartMs = 2_000

interface Kept {
  now(): Running
  close(): Promise<void>
}

/** Starts a process, and starts it again whenever it ends by itself. */
async function keepRunning(
  name: 'gateway' | 'purchasing',
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  dataFolder: string,
  onRestart: (name: string, how: string) => void,
): Promise<Kept> {
  const start = () =>
    startProcess({ script: `${name}.ts`, args, env, logFile: join(dataFolder, `${name}.log`) })
  let running = await start()
  const closing = new AbortController()
  const { signal } = closing
  const keep = async () => {
    let how = await running.gone
    while (!signal.aborted) {
      onRestart(name, how)
      try {
        running = await start()
        if (signal.aborted) await running.stop()
        how = await running.gone
      } catch (error) {
        how = error instanceof Error ? error.message : String(error)
        await sleep(system, restartMs, signal)
      }
    }
  }
  const kept = keep()
  return {
    now: () => running,
    async close() {
      closing.abort()
      await running.stop()
      await kept
    },
  }
}
