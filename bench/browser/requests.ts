/** What the page asks of IndexedDB, seen from below the client, and the database as it is without it. */
import { databaseOf } from './device.ts'

/** Records that were read, by object store. */
export type Reads = Readonly<Record<string, number>>

type Method = (this: IDBObjectStore | IDBIndex, ...args: unknown[]) => IDBRequest

/** Counts the records that any request of this page brings back, until `stop` says how many. */
export function countReads(): { stop(): Reads } {
  const reads: Record<string, number> = {}
  const undo = [IDBObjectStore.prototype, IDBIndex.prototype].flatMap((prototype) =>
    ['get', 'getAll', 'openCursor', 'openKeyCursor', 'getKey', 'getAllKeys'].map((name) => {
      const methods = prototype as unknown as Record<string, Method>
      const original = methods[name] as Method
      methods[name] = function (...args) {
        const store = 'objectStore' in this ? this.objectStore.name : this.name
        const request = original.apply(this, args)
        // A cursor succeeds once for each record.
        request.addEventListener('success', () => {
          reads[store] = (reads[store] ?? 0) + countRecords(request.result)
        })
        return request
      }
      return () => void (methods[name] = original)
    }),
  )
  return {
    stop() {
      for (const restore of undo) restore()
      return reads
    },
  }
}

const countRecords = (result: unknown): number =>
  Array.isArray(result) ? result.length : result === undefined || result === null ? 0 : 1

/** Calls `ended` after each transaction on a store, with when it began and when it was complete. */
export function onTransaction(
  store: string,
  mode: IDBTransactionMode,
  ended: (startMs: number, endMs: number) => void,
): () => void {
  const original = IDBDatabase.prototype.transaction
  IDBDatabase.prototype.transaction = function (...args) {
    const transaction = original.apply(this, args)
    if (transaction.mode === mode && transaction.objectStoreNames.contains(store)) {
      const startMs = performance.now()
      transaction.addEventListener('complete', () => ended(startMs, performance.now()))
    }
    return transaction
  }
  return () => void (IDBDatabase.prototype.transaction = original)
}

/** How far a user's models are on the disk. */
export const checkpointsOf = (user: string) =>
  readAll<{ readonly position: number }>(user, 'builds')

/** All records of a store of a user's database, by IndexedDB itself. */
export async function readAll<Found>(user: string, store: string): Promise<readonly Found[]> {
  const db = await toPromise(indexedDB.open(databaseOf(user)))
  const found: readonly Found[] = await toPromise(db.transaction(store).objectStore(store).getAll())
  db.close()
  return found
}

const toPromise = <Result>(request: IDBRequest<Result>): Promise<Result> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })
