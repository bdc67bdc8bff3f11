/** What all stores agree on about the builds of models. */
import type { IndexValue } from '@tidemark/shared'
import type { Checkpoint, StateRange } from './store.ts'

/** Numbers before strings, each in their own order. */
export function compareValues(a: IndexValue, b: IndexValue): number {
  if (typeof a !== typeof b) return typeof a === 'number' ? -1 : 1
  return a < b ? -1 : a > b ? 1 : 0
}

/** Is a value within a range, both ends included? */
export const isWithin = (
  value: IndexValue,
  { from, to }: Pick<StateRange, 'from' | 'to'>,
): boolean =>
  (from === undefined || compareValues(value, from) >= 0) &&
  (to === undefined || compareValues(value, to) <= 0)

/**
 * The builds that go when one is complete: all others of its model but the newest of them, which another
 * tab with other code may still be at work with. `all` is in the order in which they were begun.
 */
export function outlived(all: readonly Checkpoint[], complete: Checkpoint): readonly Checkpoint[] {
  const others = all.filter(
    ({ model, build }) => model === complete.model && build !== complete.build,
  )
  return others.slice(0, -1)
}
