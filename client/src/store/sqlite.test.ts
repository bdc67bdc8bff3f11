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

/** A file as layout 1 wrote it. It stays as it is, whatever becomes of the code. */
const layout1 = `
  create table device (clientId text not null, incarnation text not null);
  create table outbox (seq integer primary key autoincrement, batch text not null);
  create table logs (
    topic text not null, scope text not null, cursor text, rewinds integer not null default 0,
    primary key (topic, scope)
  ) without rowid;
  create table entries (
    topic text not null, scope text not null, position integer not null, line text not null,
    primary key (topic, scope, position)
  ) without rowid;
  create table refused (id text primary key, refused text not null) without rowid;
  create table accepted (id text primary key, accepted text not null) without rowid;
  insert into device values ('a-client', 'an-incarnation');
  insert into outbox (batch) values ('${JSON.stringify(batch)}'), ('${JSON.stringify(batch)}');
  delete from outbox where seq = 1;
  insert into logs values ('inventory', 'shop-7', '{"epoch":"e","position":1,"id":"x"}', 0);
  insert into entries values ('inventory', 'shop-7', 1, 'a line');
  insert into refused values ('r', '{"id":"r"}');
  pragma application_id = ${0x74696463};
  pragma user_version = 1;
`

test('[A11] a file of layout 1 is upgraded without losing anything, by whichever process is first', async () => {
  const path = newFile()
  const database = new DatabaseSync(path)
  database.exec(layout1)
  database.close()
  const [store, other] = [sqliteStore(path), sqliteStore(path)]
  const identity = { clientId: 'a-client', incarnation: 'an-incarnation' }
  expect(await store.open()).toEqual(identity)
  expect(await other.open()).toEqual(identity)
  const log = { topic: 'inventory', scope: 'shop-7' }
  const seen = { ...nothing, logs: [{ ...log, position: 0 as never, rewinds: 0 }] }
  expect(await store.load(seen, 1_000)).toMatchObject({
    rows: [{ ...batch, seq: 2 }],
    refused: [{ id: 'r' }],
    logs: [{ cursor: { position: 1 }, lines: ['a line'] }],
    fates: { upTo: 0, rows: [] },
  })
  expect(await other.append([batch])).toEqual([3])
  // What was there may have been handed to a link.
  const fate = { ...log, type: 'withdrawn', ids: [], by: [] } as const
  expect(await other.withdraw(2, fate)).toBe(false)
  expect(await other.withdraw(3, fate)).toBe(true)
  await store.close()
  await other.close()
})
