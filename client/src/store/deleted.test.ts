import { IDBDatabase, IDBFactory, IDBKeyRange } from 'fake-indexeddb'
import { expect, test } from 'vitest'
import { dexieStore } from './dexie.ts'

const batch = { topic: 'inventory', scope: 'shop-7', lines: ['1'] }

const deleteDatabase = (indexedDB: IDBFactory, name: string): Promise<unknown> =>
  new Promise((resolve) => {
    indexedDB.deleteDatabase(name).addEventListener('success', resolve)
  })

test('[E4] a store whose database was deleted writes to no other one of that name', async () => {
  const indexedDB = new IDBFactory()
  const open = () => dexieStore({ name: 'deleted', indexedDB, IDBKeyRange })
  const [store, late] = [open(), open()]
  const { incarnation } = await store.open()
  await late.open()
  expect(await store.append([batch, batch])).toEqual([1, 2])
  await deleteDatabase(indexedDB, 'deleted')
  await expect(store.append([batch])).rejects.toMatchObject({ code: 'STORE_DELETED' })
  expect(await indexedDB.databases()).toEqual([])
  const next = open()
  expect((await next.open()).incarnation).not.toBe(incarnation)
  expect(await next.append([batch])).toEqual([1])
  await expect(late.append([batch])).rejects.toMatchObject({ code: 'STORE_DELETED' })
  await next.close()
})

test('[E4] a database that was deleted without a word, as by clearing site data, is noticed at the next use', async () => {
  const indexedDB = new IDBFactory()
  const name = 'cleared'
  const store = dexieStore({ name, indexedDB, IDBKeyRange })
  await store.open()
  // Its connection is closed from outside, and by the time that it is opened again there is another one.
  const { transaction } = IDBDatabase.prototype
  let failures = 1
  IDBDatabase.prototype.transaction = function (this: IDBDatabase, ...args) {
    if (failures-- > 0) throw new DOMException('connection is closing', 'InvalidStateError')
    return Reflect.apply(transaction, this, args)
  }
  const { open } = indexedDB
  indexedDB.open = function (...args) {
    indexedDB.open = open
    void deleteDatabase(indexedDB, name)
    return Reflect.apply(open, this, args)
  }
  await expect(store.append([batch])).rejects.toMatchObject({ code: 'STORE_DELETED' })
  IDBDatabase.prototype.transaction = transaction
  await store.close()
})
