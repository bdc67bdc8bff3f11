import { Dexie } from 'dexie'
import { IDBDatabase, IDBFactory, IDBKeyRange, IDBTransaction } from 'fake-indexeddb'
import { system as realSystem } from '@tidemark/shared'
import { expect, test } from 'vitest'
import { createTestSystem } from '../testing.ts'
import { dexieStore } from './dexie.ts'
import { storeContract } from './store.contract.ts'

const log = { topic: 'inventory', scope: 'shop-7' }
const nothing = { seq: 0, pending: [], logs: [] }

storeContract('Dexie on fake-indexeddb', () => {
  const indexedDB = new IDBFactory()
  return { open: () => dexieStore({ name: 'contract', indexedDB, IDBKeyRange }) }
})

test('[A5] without IndexedDB every call says STORAGE_UNAVAILABLE', async () => {
  const store = dexieStore({ name: 'none', IDBKeyRange })
  await expect(store.open()).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' })
  await expect(store.append([{ ...log, lines: ['{}'] }])).rejects.toMatchObject({
    code: 'STORAGE_UNAVAILABLE',
  })
})

test('[A1] an append whose requests succeed and whose transaction aborts is rejected, and not there', async () => {
  const indexedDB = new IDBFactory()
  const store = dexieStore({ name: 'full', indexedDB, IDBKeyRange })
  await store.open()
  const restore = abortAtCommit('QuotaExceededError')
  await expect(store.append([{ ...log, lines: ['{}'] }])).rejects.toMatchObject({
    code: 'STORAGE_FULL',
  })
  restore()
  expect((await store.load(nothing, 1)).rows).toEqual([])
  expect(await store.append([{ ...log, lines: ['{}'] }])).toHaveLength(1)
  expect((await store.load(nothing, 1)).rows).toHaveLength(1)
})

test('[A1] a call of which a part cannot be stored is rejected with a code, and none of it is there', async () => {
  const store = dexieStore({ name: 'uncloneable', indexedDB: new IDBFactory(), IDBKeyRange })
  await store.append([{ ...log, lines: ['{}'] }])
  const refused = (id: string, details: unknown) =>
    ({ ...log, id, line: '{}', refusal: { code: 'BAD_EVENT', details }, refusedAt: 1 }) as never
  const settlement = { seqs: [1], refused: [refused('a', {}), refused('b', () => 1)], accepted: [] }
  await expect(store.settle(settlement)).rejects.toMatchObject({ code: 'STORAGE_LOST' })
  const { rows, refused: left } = await store.load(nothing, 1)
  expect([rows.length, left]).toEqual([1, []])
})

test('[A5] what was stored and cannot be read is said with a code, and nobody waits for ever', async () => {
  const indexedDB = new IDBFactory()
  const store = dexieStore({ name: 'damaged', indexedDB, IDBKeyRange })
  await store.open()
  const damaged = new Dexie('damaged', { indexedDB, IDBKeyRange })
  await damaged.open()
  await damaged.table('outbox').put({ seq: 1, batches: 'none' })
  damaged.close()
  await expect(store.load(nothing, 1)).rejects.toMatchObject({ code: 'STORAGE_LOST' })
})

test('[A6] a newer version of the app closes this one, which then writes nothing more', async () => {
  const indexedDB = new IDBFactory()
  const store = dexieStore({ name: 'upgraded', indexedDB, IDBKeyRange })
  await store.append([{ ...log, lines: ['{}'] }])
  const newer = new Dexie('upgraded', { indexedDB, IDBKeyRange })
  newer.version(99).stores({ outbox: '++seq' })
  await newer.open()
  await expect(store.append([{ ...log, lines: ['{}'] }])).rejects.toMatchObject({
    code: 'STORE_TOO_NEW',
  })
  const reloaded = dexieStore({ name: 'upgraded', indexedDB, IDBKeyRange })
  await expect(reloaded.open()).rejects.toMatchObject({ code: 'STORE_TOO_NEW' })
  expect(await newer.table('outbox').count()).toBe(1)
  newer.close()
})

test('[A7] an upgrade that another tab blocks is STORAGE_BLOCKED after 3 s, and heals when the tab goes', async () => {
  const indexedDB = new IDBFactory()
  const old = await openRaw(indexedDB, 'blocked', 1)
  const system = createTestSystem()
  const store = dexieStore({ name: 'blocked', system, indexedDB, IDBKeyRange })
  const opening = expect(store.open()).rejects.toMatchObject({ code: 'STORAGE_BLOCKED' })
  await system.advance(3_000)
  await opening
  old.close()
  expect(await store.open()).toHaveProperty('clientId')
})

test('[A8] a connection that was lost behind our back is opened again', async () => {
  const indexedDB = new IDBFactory()
  const store = dexieStore({ name: 'lost', indexedDB, IDBKeyRange })
  await store.append([{ ...log, lines: ['1'] }])
  const { transaction } = IDBDatabase.prototype
  let failures = 1
  IDBDatabase.prototype.transaction = function (this: IDBDatabase, ...args) {
    if (failures-- > 0) throw new DOMException('connection is closing', 'InvalidStateError')
    return Reflect.apply(transaction, this, args)
  }
  expect(await store.append([{ ...log, lines: ['2'] }])).toEqual([2])
  IDBDatabase.prototype.transaction = transaction
  await store.close()
})

test('[A8] a call that comes at any moment while the database is being made waits for it', async () => {
  for (let moments = 0; moments < 40; moments++) {
    const store = dexieStore({ name: 'new', indexedDB: new IDBFactory(), IDBKeyRange })
    const opening = store.open()
    for (let moment = 0; moment < moments; moment++) await realSystem.breathe()
    const appending = store.append([{ ...log, lines: ['{}'] }])
    await Promise.all([opening, appending])
    await store.close()
  }
})

/** As Chrome does on a full disk: all requests succeed, then the transaction aborts. */
function abortAtCommit(name: string): () => void {
  const { commit } = IDBTransaction.prototype
  IDBTransaction.prototype.commit = function (this: IDBTransaction) {
    const error = new DOMException('', name)
    Object.defineProperty(this, 'error', {
      get: () => error,
      set: Function.prototype as () => void,
    })
    this.objectStore('outbox').count().onsuccess = () => this.abort()
  }
  return () => void (IDBTransaction.prototype.commit = commit)
}

function openRaw(indexedDB: IDBFactory, name: string, version: number): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(name, version)
    request.onupgradeneeded = () => request.result.createObjectStore('old')
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })
}

test('[A11] a database of layout 1 is upgraded without losing anything', async () => {
  const indexedDB = new IDBFactory()
  const old = new Dexie('past', { indexedDB, IDBKeyRange })
  // As version 1 wrote it. It stays as it is, whatever becomes of the code.
  old.version(1).stores({
    meta: '',
    outbox: '++seq',
    entries: '',
    logs: '',
    refused: 'id',
    accepted: 'id',
  })
  const identity = { clientId: 'a-client', incarnation: 'an-incarnation' }
  await old.table('meta').put(identity, 'identity')
  const batch = (line: string) => ({ ...log, lines: [line] })
  await old
    .table('outbox')
    .bulkAdd([
      { batches: [batch('1')] },
      { seq: 2, batches: [null, batch('3')] },
      { seq: 4, batches: [batch('4')] },
    ])
  await old.table('refused').put({ ...log, id: 'r' })
  await old
    .table('logs')
    .put({ cursor: { epoch: 'e', position: 2 }, rewinds: 0 }, 'inventory/shop-7')
  await old.table('entries').put({ first: 1, text: 'one\ntwo' }, ['inventory/shop-7', 2])
  old.close()
  const store = dexieStore({ name: 'past', indexedDB, IDBKeyRange })
  expect(await store.open()).toEqual(identity)
  const seen = { ...nothing, logs: [{ ...log, position: 0 as never, rewinds: 0 }] }
  expect(await store.load(seen, 100_000)).toMatchObject({
    rows: [
      { seq: 1, lines: ['1'] },
      { seq: 3, lines: ['3'] },
      { seq: 4, lines: ['4'] },
    ],
    refused: [{ id: 'r' }],
    logs: [{ cursor: { position: 2 }, lines: ['one', 'two'] }],
    fates: { upTo: 0, rows: [] },
  })
  expect(await store.append([batch('5')])).toEqual([5])
  // What was there may have been handed to a link.
  await store.linked(false)
  const fate = { ...log, type: 'withdrawn', ids: [], by: [] } as const
  expect(await store.withdraw(3, fate)).toBe(false)
  await store.close()
})
