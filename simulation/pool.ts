/** Runs seeds on several threads, in order of their numbers, until one of them fails or all are done. */
import { Worker } from 'node:worker_threads'
import type { Rates } from './options.ts'
import type { Result } from './simulate.ts'
import type { Order, WorkerData } from './worker.ts'

/**
 * A thread keeps something of each process that was killed in it: signals that will never abort are held by
 * Node itself. So after this many seeds another thread goes on.
 */
const seedsPerThread = 200

/** What to run. */
export interface PoolOptions {
  readonly seeds: Iterable<number>
  readonly threads: number
  /** The planted bug to run with. */
  readonly bug?: string
  /** Faults that happen more often than their seeds say, or less. */
  readonly rates?: Partial<Rates>
  /** Of the seeds, those that are run twice. */
  readonly isDoubled?: (seed: number) => boolean
  /** Stops at the first failure. */
  readonly isBailing: boolean
  readonly onResult?: (result: Result) => void
}

/** All results, in the order in which they came. */
export async function runSeeds(options: PoolOptions): Promise<readonly Result[]> {
  const { seeds, threads, bug, rates, isDoubled = () => false, isBailing, onResult } = options
  const left = seeds[Symbol.iterator]()
  const results: Result[] = []
  let isOver = false
  const next = (): Order | undefined => {
    const { value, done } = left.next()
    return done || isOver ? undefined : { seed: value, isDoubled: isDoubled(value) }
  }
  const workerData: WorkerData = { ...(bug !== undefined && { bug }), ...(rates && { rates }) }
  /** Runs seeds on a thread of its own. Answers whether there are more. */
  const runThread = (): Promise<boolean> =>
    new Promise((resolve, reject) => {
      const worker = new Worker(new URL('./worker.ts', import.meta.url), {
        workerData,
        execArgv: ['--conditions=@tidemark/source', '--disable-warning=ExperimentalWarning'],
      })
      let seedsLeft = seedsPerThread
      const order = () => {
        const seed = seedsLeft-- > 0 ? next() : undefined
        // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
        if (seed) worker.postMessage(seed)
        else void worker.terminate().then(() => resolve(seedsLeft < 0))
      }
      worker.on('error', reject)
      worker.on('message', (result: Result) => {
        results.push(result)
        onResult?.(result)
        if (result.failure && isBailing) isOver = true
        order()
      })
      order()
    })
  const runThreads = async (): Promise<void> => {
    while (await runThread());
  }
  await Promise.all(Array.from({ length: threads }, runThreads))
  return results
}
