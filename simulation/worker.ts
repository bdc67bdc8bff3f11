/** One process that runs seeds. Where it is told of a planted bug, it loads production code with that bug in it. */
import { bugs } from './bugs.ts'
import type { Rates } from './options.ts'
import { plant } from './plant.ts'
import type { Result } from './simulate.ts'

/** What a process is told at its start. */
export interface Given {
  /** The name of the bug to plant. */
  readonly bug?: string
  /** Faults that happen more often than their seeds say, or less. */
  readonly rates?: Partial<Rates>
}

/** What a process is asked to run. */
export interface Order {
  readonly seed: number
  /** Runs it twice, and compares. */
  readonly isDoubled: boolean
}

const { bug: name, rates } = JSON.parse(process.argv[2] ?? '{}') as Given
const bug = bugs.find((each) => each.name === name)
const unplanted = name === undefined ? () => [] : plant(name)
// Only now, so that what is planted is in what is loaded.
const { simulate } = await import('./simulate.ts')
if (unplanted().length > 0) throw new Error(`Nobody loads ${unplanted().join()}.`)

const allRates = { ...bug?.rates, ...rates }

async function run({ seed, isDoubled }: Order): Promise<Result> {
  const result = await simulate(seed, allRates)
  if (!isDoubled || result.failure) return result
  const again = await simulate(seed, allRates)
  if (again.digest === result.digest) return result
  const message = `Two runs of seed ${seed} differ: ${result.digest} and ${again.digest}.`
  return {
    ...result,
    failure: { invariant: 'X2', message, lastLines: [] },
  }
}

async function answer(order: Order): Promise<void> {
  process.send?.(await run(order))
}

process.on('message', (order: Order) => void answer(order))
