/** What all stores agree on about the builds of models. */
import type { Checkpoint } from './store.ts'

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
