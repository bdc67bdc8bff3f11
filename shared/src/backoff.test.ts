import fc from 'fast-check'
import { expect, test } from 'vitest'
import { backoffMs } from './backoff.ts'

const options = { firstMs: 500, maxMs: 30_000 }

test('[L1] the wait is spread over everything below the cap, so clients do not come back together', () => {
  const waits = [0, 0.25, 0.5, 0.75].map((at) => backoffMs(options, 20, () => at))
  expect(waits).toEqual([0, 7_500, 15_000, 22_500])
})

test('the ceiling doubles from the first wait up to the cap', () => {
  const ceilings = [0, 1, 2, 6, 7, 60].map((attempt) => backoffMs(options, attempt, () => 0.999999))
  expect(ceilings).toEqual([499, 999, 1_999, 29_999, 29_999, 29_999])
})

test('[L1] the wait is never shorter than what the other side asked for', () => {
  fc.assert(
    fc.property(
      fc.nat(100),
      fc.nat(100_000),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (attempt, retryAfterMs, random) => {
        const wait = backoffMs(options, attempt, () => random, retryAfterMs)
        expect(wait).toBeGreaterThanOrEqual(retryAfterMs)
        expect(wait).toBeLessThan(retryAfterMs + options.maxMs)
      },
    ),
  )
})
