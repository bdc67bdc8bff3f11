/**
 * What a row of the table is, and how it is measured: both sides in turn (limit, ours, limit, ours …).
 * Two runs side by side meet the same machine, so it is pairs that are compared; a median of all runs of
 * one side against that of the other would compare the machine with itself a minute later.
 */

/** What a ratio has to reach, or not to exceed. A ratio is always a value divided by its limit. */
export type Goal = { readonly atLeast: number } | { readonly atMost: number }

/** One run of a side: does the work, checks that it was done, and says the number in the bench's unit. */
export type Run = () => Promise<number>

/** The two sides of a row, ready to be measured. */
export interface Sides {
  readonly limit: Run
  readonly ours: Run
  /** What a number leaves out and a reader should know, once all runs are done. */
  note?(): string
  close(): Promise<void>
}

/** One row: something that Tidemark does, beside the least that the platform needs for it. */
export interface Bench {
  readonly name: string
  readonly unit: string
  readonly goal?: Goal
  /** What is measured against what, in a line. */
  readonly about: string
  /** Pairs of runs that are thrown away first, so that compilers have seen the code. Default 1. */
  readonly warmups?: number
  /** Set where a number cannot vary: it is taken once. */
  readonly exact?: boolean
  open(): Promise<Sides>
}

/** One measured row, as it is written to JSON. `value` and `limit` are medians of all runs. */
export interface Row {
  readonly name: string
  readonly value: number
  readonly limit: number
  readonly unit: string
  /** The median over the pairs of value / limit. */
  readonly ratio: number
  readonly goal?: Goal
  readonly reached?: boolean
  /** Each run's value, in order. */
  readonly values: readonly number[]
  /** Each run's limit, in order: the one at index i ran just before the value at i. */
  readonly limits: readonly number[]
  /** What the numbers leave out. */
  readonly note?: string
}

/** The middle one of an odd number of samples, the mean of the two middle ones otherwise. */
export function median(samples: readonly number[]): number {
  const sorted = [...samples].sort((a, b) => a - b)
  const half = sorted.length >> 1
  const upper = sorted[half] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[half - 1] ?? upper) + upper) / 2
}

/** The smallest sample that a share of them (0 to 1) does not exceed. */
export function quantile(samples: readonly number[], share: number): number {
  const sorted = [...samples].sort((a, b) => a - b)
  return sorted[Math.ceil(sorted.length * share) - 1] ?? Number.NaN
}

/** Measures a bench `runs` times a side. */
export async function measure(bench: Bench, runs: number): Promise<Row> {
  const sides = await bench.open()
  try {
    for (let n = 0; n < (bench.exact ? 0 : (bench.warmups ?? 1)); n += 1) {
      await sides.limit()
      await sides.ours()
    }
    const values: number[] = []
    const limits: number[] = []
    for (let n = 0; n < (bench.exact ? 1 : runs); n += 1) {
      limits.push(await sides.limit())
      values.push(await sides.ours())
    }
    return toRow(bench, values, limits, sides.note?.())
  } finally {
    await sides.close()
  }
}

function toRow(
  bench: Bench,
  values: readonly number[],
  limits: readonly number[],
  note: string | undefined,
): Row {
  const { name, unit, goal } = bench
  const ratio = median(toRatios({ values, limits }))
  return {
    name,
    value: round(median(values)),
    limit: round(median(limits)),
    unit,
    ratio: round(ratio),
    ...(goal && { goal, reached: isReached(goal, ratio) }),
    values: values.map(round),
    limits: limits.map(round),
    ...(note !== undefined && { note }),
  }
}

/** The ratio of each pair of runs, in order. */
export const toRatios = ({ values, limits }: Pick<Row, 'values' | 'limits'>): readonly number[] =>
  values.map((value, at) => value / (limits[at] ?? Number.NaN))

const isReached = (goal: Goal, ratio: number): boolean =>
  'atLeast' in goal ? ratio >= goal.atLeast : ratio <= goal.atMost

const round = (number: number): number => Number(number.toPrecision(4))
