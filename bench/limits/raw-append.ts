/**
 * The limit for append: IndexedDB itself, without a library. All events are added in one transaction,
 * a record each, with a plain number for a key and no index, and the clock stops at its `complete`.
 */
import { v7 } from 'uuid'
import { log, makeData, makeStream } from '../inventory.ts'

/** Adds `count` events and says how many a second. */
export async function rawAppend(count: number): Promise<number> {
  const name = `raw-${v7()}`
  const db = await openDatabase(name)
  const start = performance.now()
  const transaction = db.transaction('outbox', 'readwrite', { durability: 'relaxed' })
  const outbox = transaction.objectStore('outbox')
  for (let seq = 1; seq <= count; seq += 1) {
    outbox.add({
      seq,
      ...log,
      id: v7(),
      stream: makeStream(seq),
      type: 'StockPicked',
      version: 1,
      occurredAt: Date.now(),
      data: makeData(seq),
    })
  }
  await new Promise<void>((resolve, reject) => {
    transaction.oncomplete = () => resolve()
    transaction.onabort = () => reject(transaction.error)
  })
  const ms = performance.now() - start
  db.close()
  indexedDB.deleteDatabase(name)
  return (count / ms) * 1_000
}

const openDatabase = (name: string): Promise<IDBDatabase> =>
  new Promise((resolve, reject) => {
    const request = indexedDB.open(name, 1)
    request.onupgradeneeded = () => request.result.createObjectStore('outbox', { keyPath: 'seq' })
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })
