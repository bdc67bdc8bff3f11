/** What a client may do on its disk, and until when: nothing begins there once the client has ended. */
import { TidemarkError } from '@tidemark/shared'
import type { Store } from './store/store.ts'
import { noDisk } from './sync.ts'

/** A store on loan. */
export interface Lease {
  /** As the store itself while the loan lasts; after that its calls reject with `CLOSED` and touch nothing. */
  readonly store: Store
  /** Resolves when no call is under way. */
  idle(): Promise<void>
}

/**
 * Lends a store until `signal` aborts. All that may be written down after that is that no link takes any more.
 * Where there is no disk, calls reject with `STORAGE_UNAVAILABLE`.
 */
export function lend(disk: Store | undefined, signal: AbortSignal): Lease {
  const underway = new Set<unknown>()
  const get =
    (_lent: Store, name: keyof Store) =>
    async (...args: readonly unknown[]): Promise<unknown> => {
      if (signal.aborted && name !== 'linked') throw new TidemarkError('CLOSED')
      if (!disk) throw noDisk()
      const result: unknown = Reflect.apply(disk[name], disk, args)
      underway.add(result)
      try {
        return await result
      } finally {
        underway.delete(result)
      }
    }
  return {
    store: new Proxy({} as Store, { get } as ProxyHandler<Store>),
    async idle() {
      while (underway.size > 0) await Promise.allSettled(underway)
    },
  }
}
