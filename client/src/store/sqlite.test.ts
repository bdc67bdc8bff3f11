import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, expect, test } from 'vitest'
import { sqliteStore } from './sqlite.ts'
import { storeContract } from './store.contract.ts'

const folder = mkdtempSync(join(tmpdir(), 'tidemark-store-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
let files = 0
const newFile = () => join(folder, `${(files += 1)}.db`)

const batch = { topic: 'inventory', scope: 'shop-7', lines: ['{}'] }
const nothing = { seq: 0, pending: [], logs: [] }

storeContract('SQLite', () => {
  const path = newFile()
  return { open: () => sqliteStore(path) }
})

test('[A3] seqs go on counting after the outbox was emptied and the file opened again', async () => {
  const path = newFile()
  const first = sqliteStore(path)
  const [seq = 0] = await first.append([batch])
  await first.settle({ seqs: [seq], refused: [], accepted: [] })
  await first.close()
  const again = sqliteStore(path)
  expect(await again.append([batch])).toEqual([seq + 1])
  await again.close()
})

test('[A6] a file that a newer version wrote is left alone', async () => {
  const path = newFile()
  const store = sqliteStore(path)
  await store.open()
  await store.close()
  const database = new DatabaseSync(path)
  database.exec('pragma user_version = 99')
  database.close()
  await expect(sqliteStore(path).open()).rejects.toMatchObject({ code: 'STORE_TOO_NEW' })
})

test('[A5] what is no file of ours is said to be unavailable, and not touched', async () => {
  const garbage = newFile()
  writeFileSync(
    garbage,
    'this is not a database, and long enough to be looked at as one '.repeat(20),
  )
  await expect(sqliteStore(garbage).open()).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' })
  const foreign = newFile()
  const database = new DatabaseSync(foreign)
  database.exec('create table theirs (x)')
  database.close()
  await expect(sqliteStore(foreign).open()).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' })
  await expect(sqliteStore(join(folder, 'no/such/folder.db')).open()).rejects.toMatchObject({
    code: 'STORAGE_UNAVAILABLE',
  })
})

test('[A1] a file that another program holds takes nothing of an append, and the next one works', async () => {
  const path = newFile()
  const store = sqliteStore(path)
  await store.open()
  const other = new DatabaseSync(path)
  other.exec('begin immediate')
  await expect(store.append([batch])).rejects.toMatchObject({ code: 'STORAGE_BLOCKED' })
  other.exec('rollback')
  other.close()
  expect((await store.load(nothing, 1)).rows).toEqual([])
  expect(await store.append([batch])).toHaveLength(1)
  await store.close()
})
