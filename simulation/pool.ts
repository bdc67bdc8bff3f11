/** Runs seeds in several processes, in order of their numbers, until one of them fails or all are done. */
import { fork } from 'node:child_process'
import type { Rates } from './options.ts'
import type { Result } from './simulate.ts'
import type { Given, Order } from './worker.ts'

/**
 * What is killed in a simulation leaves something behind: signals that will never abort are held by Node
 * itself. So after this many seeds another process goes on.
 */
const seedsPerProcess = 200

/** What to run. */
export interface PoolOptions {
  readonly seeds: Iterable<number>
  readonly processes: number
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
  const { seeds, processes, bug, rates, isDoubled = () => false, isBailing, onResult } = options
  const left = seeds[Symbol.iterator]()
  const results: Result[] = []
  let isOver = false
  const next = (): Order | undefined => {
    const { value, done } = left.next()
    return done || isOver ? undefined : { seed: value, isDoubled: isDoubled(value) }
  }
  const given: Given = { ...(bug !== undefined && { bug }), ...(rates && { rates }) }
  /** Runs seeds in a process of its own. Answers whether there are more. */
  const runProcess = (): Promise<boolean> =>
    new Promise((resolve, reject) => {
      const worker = fork(new URL('./worker.ts', import.meta.url), [JSON.stringify(given)], {
        execArgv: ['--conditions=@tidemark/source', '--disable-warning=ExperimentalWarning'],
        serialization: 'advanced',
      })
      let seedsLeft = seedsPerProcess
      const order = () => {
        const seed = seedsLeft-- > 0 ? next() : undefined
        if (seed) return void worker.send(seed)
        // It has nothing under way, and nothing to say any more.
        worker.removeAllListeners('exit').kill('SIGKILL')
        resolve(seedsLeft < 0)
      }
      worker.on('error', reject)
      worker.on('exit', (code, signal) => reject(new Error(`A process ended: ${signal ?? code}.`)))
      worker.on('message', (result: Result) => {
        results.push(result)
        onResult?.(result)
        if (result.failure && isBailing) isOver = true
        order()
      })
      order()
    })
  const runProcesses = async (): Promise<void> => {
    while (await runProcess());
  }
  await Promise.all(Array.from({ length: processes }, runProcesses))
  return results
}
