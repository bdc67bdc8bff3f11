/** A bound on how long we wait for somebody else's promise. */
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
    promise.then(resolve, reject).finally(cancel)
  })
}
