/** One thread that runs seeds. Where it is told of a planted bug, it loads production code with that bug in it. */
import { parentPort, workerData } from 'node:worker_threads'
import { plant } from './plant.ts'
import type { Result } from './simulate.ts'

/** What a thread is told at its start. */
export interface WorkerData {
  /** The name of the bug to plant. */
  readonly bug?: string
}

/** What a thread is asked to run. */
export interface Order {
  readonly seed: number
  /** Runs it twice, and compares. */
  readonly isDoubled: boolean
}

const { bug } = (workerData ?? {}) as WorkerData
if (bug !== undefined) plant(bug)
// Only now, so that what is planted is in what is loaded.
const { simulate } = await import('./simulate.ts')

async function run({ seed, isDoubled }: Order): Promise<Result> {
  const result = await simulate(seed)
  if (!isDoubled || result.failure) return result
  const again = await simulate(seed)
  if (again.digest === result.digest) return result
  const options = (await import('./options.ts')).drawOptions
  const { Random } = await import('./random.ts')
  return {
    ...result,
    failure: {
      invariant: 'X2',
      message: `Two runs of seed ${seed} differ: ${result.digest} and ${again.digest}.`,
      lastLines: [],
      options: options(seed, new Random(seed).fork('options')),
    },
  }
}

parentPort?.on('message', (order: Order) => {
  run(order).then(
    (result) => parentPort?.postMessage(result),
    // Whatever comes here is a mistake of the simulation itself.
    (error: unknown) => {
      throw error
    },
  )
})
