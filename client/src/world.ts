/** What a browser, or Node, brings along: the default for each port that an app does not hand over. */
import type { Broadcast, Cancel, Locks } from '@tidemark/shared'
import type { Hints } from './hints.ts'
import type { Witness } from './witness.ts'

/** Is there a disk for `dexieStore` here? On a server there is none. */
export const hasIndexedDb = (): boolean => typeof indexedDB !== 'undefined'

/** Nobody else is there: for stores that no other tab can open, and for pages without the Web Locks API. */
export const soloLocks: Locks = {
  request: (_name, _options, hold) => hold(new AbortController().signal),
}

/** Nobody else listens. */
export const soloBroadcast: Broadcast = {
  post: () => undefined,
  listen: () => () => undefined,
  close: () => undefined,
}

/** The Web Locks API. It is missing where a page is not served securely; then each tab talks for itself. */
export function webLocks(): Locks {
  if (!globalThis.navigator?.locks) return soloLocks
  return {
    async request(name, { signal, steal }, hold) {
      const lost = new AbortController()
      const options = steal ? { steal } : signal ? { signal } : {}
      try {
        await navigator.locks.request(name, options, () => hold(lost.signal))
      } catch (error) {
        // Rejects while `hold` still runs where another tab has stolen the lock.
        lost.abort()
        if (!signal?.aborted) throw error
      }
    },
  }
}

/** A `BroadcastChannel`. */
export function webBroadcast(name: string): Broadcast {
  if (typeof BroadcastChannel === 'undefined') return soloBroadcast
  const channel = new BroadcastChannel(name)
  let isClosed = false
  return {
    post(message) {
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a channel has none
      if (!isClosed) channel.postMessage(message)
    },
    listen(heard) {
      const listener = ({ data }: MessageEvent<unknown>): void => heard(data)
      channel.addEventListener('message', listener)
      return () => channel.removeEventListener('message', listener)
    },
    close() {
      isClosed = true
      channel.close()
    },
  }
}

/** Listens in a page, until the answer is called. On a server nothing ever happens. */
function inPage(listen: (stop: AbortController) => void): Cancel {
  const stop = new AbortController()
  if (typeof window !== 'undefined' && typeof document !== 'undefined') listen(stop)
  return () => stop.abort()
}

/** The events of window and document that say something about the network or about being looked at. */
export const webHints: Hints = {
  listen: (hinted) =>
    inPage(({ signal }) => {
      const seen = (): void => {
        if (document.visibilityState === 'visible') hinted()
      }
      for (const name of ['online', 'offline', 'pageshow']) {
        addEventListener(name, hinted, { signal })
      }
      document.addEventListener('visibilitychange', seen, { signal })
    }),
  isSeen: () => typeof document === 'undefined' || document.visibilityState === 'visible',
  onAway: (told) =>
    inPage(({ signal }) => {
      const left = (): void => told(true)
      const back = (): void => told(false)
      // A page that is closed and not kept needs nothing of this.
      const hidden = ({ persisted }: PageTransitionEvent): void => {
        if (persisted) left()
      }
      addEventListener('pagehide', hidden, { signal })
      addEventListener('pageshow', back, { signal })
      document.addEventListener('freeze', left, { signal })
      document.addEventListener('resume', back, { signal })
    }),
}

/** Nobody remembers: for stores that no browser throws away. */
export const noWitness: Witness = { read: () => undefined, write: () => undefined }

/** A line of `localStorage`. Where that is switched off, nobody remembers. */
export function webWitness(key: string): Witness {
  const attempt = <Result>(use: (storage: Storage) => Result): Result | undefined => {
    try {
      return use(localStorage)
    } catch {
      return undefined
    }
  }
  return {
    read: () => attempt((storage) => storage.getItem(key)) ?? undefined,
    write: (text) =>
      attempt((storage) =>
        text === undefined ? storage.removeItem(key) : storage.setItem(key, text),
      ),
  }
}

/** Asks the browser not to throw away what this origin stores, unless it has promised already. */
export async function askToPersist(): Promise<boolean | undefined> {
  const storage = globalThis.navigator?.storage as StorageManager | undefined
  if (!storage?.persist) return undefined
  return (await storage.persisted()) || (await storage.persist())
}
