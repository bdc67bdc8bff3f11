/** Deadlines of our own around calls that may never answer: the SDK's promises have been seen to hang. */
import type { System } from '@tidemark/shared'

/**
 * What `promise` settles with, or a rejection with what `onLate` returns after `ms` milliseconds. The
 * timer ends with the promise; a result that comes too late is dropped.
 */
export function withDeadline<T>(
  system: System,
  ms: number,
  promise: Promise<T>,
  onLate: () => Error,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = system.after(ms, () => reject(onLate()))
    const ending =
      <Value>(settle: (value: Value) => void) =>
      (value: Value): void => {
        cancel()
        settle(value)
      }
    promise.then(ending(resolve), ending(reject))
  })
}

/**
 * Runs something for at most `ms` milliseconds. When they are over, its signal aborts and what `onLate`
 * returns is thrown, whether or not it ever ends.
 */
export function runWithin<T>(
  system: System,
  ms: number,
  onLate: () => Error,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const over = new AbortController()
  return withDeadline(system, ms, run(over.signal), () => {
    over.abort()
    return onLate()
  })
}
