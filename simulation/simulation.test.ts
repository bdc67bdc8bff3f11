/** A sample of what `npm run sim` runs, and the proof that it would notice: planted bugs have to be caught. */
import { availableParallelism } from 'node:os'
import { expect, test } from 'vitest'
import { bugs } from './bugs.ts'
import { runSeeds } from './pool.ts'
import { regressions } from './regressions.ts'

const processes = Math.min(2, availableParallelism())
const seedsFrom = (from: number, count: number) =>
  Array.from({ length: count }, (_, index) => from + index)

test('sixty seeds keep every invariant, and the same seed gives the same history', async () => {
  const results = await runSeeds({
    seeds: seedsFrom(1, 60),
    processes,
    isDoubled: (seed) => seed % 20 === 0,
    isBailing: true,
  })
  expect(results.flatMap(({ seed, failure }) => (failure ? { seed, ...failure } : []))).toEqual([])
  expect(results).toHaveLength(60)
}, 120_000)

test('seeds that once failed pass', async () => {
  const seeds = regressions.map(({ seed }) => seed)
  const results = await runSeeds({ seeds, processes, isBailing: false })
  expect(results.flatMap(({ seed, failure }) => (failure ? { seed, ...failure } : []))).toEqual([])
}, 120_000)

test('there are two dozen planted bugs or more', () => {
  expect(bugs.length).toBeGreaterThanOrEqual(24)
})

for (const { name, seeds, caughtBy } of bugs) {
  test(`${caughtBy.join(' or ')} catches it: ${name}`, async () => {
    const results = await runSeeds({
      seeds: seedsFrom(1, seeds),
      processes: 1,
      bug: name,
      isBailing: true,
    })
    const failed = results.find(({ failure }) => failure)
    expect(caughtBy, failed?.failure?.message ?? `${seeds} seeds pass`).toContain(
      failed?.failure?.invariant,
    )
  }, 120_000)
}
