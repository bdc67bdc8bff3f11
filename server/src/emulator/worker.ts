/** The emulator in a thread of its own, so that it takes no time from the process that it serves. */
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { assert } from '@tidemark/shared'
import { type Emulator, type EmulatorOptions, startEmulator } from './emulator.ts'
import type { EmulatorFaults } from './emulator-server.ts'

/** Options that can be copied to another thread: without a clock of one's own. */
export type WorkerOptions = Omit<EmulatorOptions, 'system' | 'say'>

type Order =
  | { readonly type: 'fault'; readonly id: number; readonly name: string; readonly plan: unknown[] }
  | { readonly type: 'close'; readonly id: number }
type Report =
  | { readonly type: 'started'; readonly port: number; readonly connectionString: string }
  | { readonly type: 'failed'; readonly reason: string }
  | { readonly type: 'done'; readonly id: number }

const faultNames: { readonly [Name in keyof EmulatorFaults]: true } = {
  refuseSends: true,
  delaySends: true,
  delaySettlements: true,
  silence: true,
  expireLocks: true,
  detach: true,
  deafen: true,
  killConnections: true,
  clear: true,
}

/** Starts an emulator in a worker thread. Rejects if the port is taken. */
export async function startEmulatorInWorker(options: WorkerOptions): Promise<Emulator> {
  const isSource = import.meta.url.endsWith('.ts')
  const worker = new Worker(new URL(import.meta.url), {
    workerData: { emulator: options },
    // From source, the thread resolves packages as this process does.
    ...(isSource ? { execArgv: ['-C', '@tidemark/source'] } : {}),
  })
  const waiting = new Map<number, () => void>()
  let last = 0
  const ask = (order: (id: number) => Order): Promise<void> =>
    new Promise((resolve) => {
      last += 1
      waiting.set(last, resolve)
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread is no window
      worker.postMessage(order(last))
    })
  const started = await new Promise<Extract<Report, { type: 'started' }>>((resolve, reject) => {
    worker.once('error', reject)
    worker.on('message', (report: Report) => {
      if (report.type === 'started') resolve(report)
      else if (report.type === 'failed') reject(new Error(report.reason))
      else {
        waiting.get(report.id)?.()
        waiting.delete(report.id)
      }
    })
  })
  const faults = Object.fromEntries(
    Object.keys(faultNames).map((name) => [
      name,
      (...plan: unknown[]) => ask((id) => ({ type: 'fault', id, name, plan })),
    ]),
  ) as unknown as EmulatorFaults
  return {
    port: started.port,
    connectionString: started.connectionString,
    faults,
    async close() {
      await ask((id) => ({ type: 'close', id }))
      await worker.terminate()
    },
  }
}

/** What the thread does: starts the emulator, and follows orders. */
async function work(options: WorkerOptions): Promise<void> {
  const port = parentPort
  assert(port, 'the thread has somebody to talk to')
  const tell = (report: Report) => port.postMessage(report)
  let emulator: Emulator
  try {
    emulator = await startEmulator(options)
  } catch (error) {
    return tell({ type: 'failed', reason: String(error) })
  }
  const faults = emulator.faults as unknown as Record<string, (...plan: unknown[]) => Promise<void>>
  port.on('message', async (order: Order) => {
    if (order.type === 'close') await emulator.close()
    else await faults[order.name]?.(...order.plan)
    tell({ type: 'done', id: order.id })
  })
  tell({
    type: 'started',
    port: emulator.port,
    connectionString: emulator.connectionString,
  })
}

const given = (workerData as { readonly emulator?: WorkerOptions } | null)?.emulator
if (!isMainThread && given) void work(given)
