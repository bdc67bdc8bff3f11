/** How what states are found by is ordered, in memory and on the disk. */
import type { IndexValue } from '@tidemark/shared'

/** A range with both ends included; open where an end is missing. */
export interface Range {
  readonly from?: IndexValue | undefined
  readonly to?: IndexValue | undefined
}

/** Numbers before strings, each in their own order. */
export function compareValues(a: IndexValue, b: IndexValue): number {
  if (typeof a !== typeof b) return typeof a === 'number' ? -1 : 1
  return a < b ? -1 : a > b ? 1 : 0
}

/** Does no value lie within a range? */
export const isEmpty = ({ from = -Infinity, to = from }: Range): boolean =>
  compareValues(from, to) > 0

/** Is a value within a range? */
export const isWithin = (value: IndexValue, { from, to }: Range): boolean =>
  (from === undefined || compareValues(value, from) >= 0) &&
  (to === undefined || compareValues(value, to) <= 0)
