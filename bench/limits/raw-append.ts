/**
 * The limit for append: IndexedDB itself, without a library. A record for each event, with a plain
 * number for a key and no index, and the clock stops at the last transaction's `complete`.
 */
import { v7 } from 'uuid'
import { log, makeData, makeStream } from '../inventory.ts'

/** Adds `count` events, `size` in each transaction, one transaction after the other, and says how many a second. */
export async function rawAppend(count: number, size: number): Promise<number> {
  const name = `raw-${v7()}`
  const db = await openDatabase(name)
  const start = performance.now()
  for (let first = 1; first <= count; first += size) await addEvents(db, first, size)
  const ms = performance.now() - start
  db.close()
  indexedDB.deleteDatabase(name)
  return (count / ms) * 1_000
}

const addEvents = (db: IDBDatabase, first: number, size: number): Promise<void> =>
  new Promise((resolve, reject) => {
    const transaction = db.transaction('outbox', 'readwrite', { durability: 'relaxed' })
    const outbox = transaction.objectStore('outbox')
    for (let seq = first; seq < first + size; seq += 1) outbox.add(makeRecord(seq))
    transaction.commit()
    transaction.oncomplete = () => resolve()
    transaction.onabort = () => reject(transaction.error)
  })

const makeRecord = (seq: number) => ({
  seq,
  ...log,
  id: v7(),
  stream: makeStream(seq),
  type: 'StockPicked',
  version: 1,
  occurredAt: Date.now(),
  data: makeData(seq),
})

const openDatabase = (name: string): Promise<IDBDatabase> =>
  new Promise((resolve, reject) => {
    const request = indexedDB.open(name, 1)
    request.onupgradeneeded = () => request.result.createObjectStore('outbox', { keyPath: 'seq' })
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })
