import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { system } from '@tidemark/shared'
import { afterAll, expect, test } from 'vitest'
import { processedContract } from './processed.contract.ts'
import { sqliteProcessed, type SqliteTx } from './sqlite.ts'

const folder = mkdtempSync(join(tmpdir(), 'tidemark-processed-'))
const opened: DatabaseSync[] = []
afterAll(() => {
  for (const database of opened) database.close()
  rmSync(folder, { recursive: true })
})

let files = 0
const openDatabase = (path: string): DatabaseSync => {
  const database = new DatabaseSync(path)
  database.exec(`PRAGMA journal_mode = WAL;
    CREATE TABLE IF NOT EXISTS effects (name PRIMARY KEY,
      owner REFERENCES effects DEFERRABLE INITIALLY DEFERRED)`)
  opened.push(database)
  return database
}
const newFile = (): string => join(folder, `${(files += 1)}.db`)

processedContract<SqliteTx>('sqlite', async () => {
  const path = newFile()
  const database = openDatabase(path)
  const processed = sqliteProcessed(database)
  await processed.open()
  return {
    processed,
    reopen: async () => {
      const again = sqliteProcessed(openDatabase(path))
      await again.open()
      return again
    },
    write: async (tx, name) => void tx.prepare('INSERT INTO effects (name) VALUES (?)').run(name),
    writeUncommittable: async (tx, name) =>
      void tx.prepare("INSERT INTO effects VALUES (?, 'nobody')").run(name),
    effects: async () =>
      database
        .prepare('SELECT name FROM effects ORDER BY name')
        .all()
        .map((row) => String(row['name'])),
  }
})

test('sqlite: a commit survives a power failure unless the app asks for less', async () => {
  const synchronous = (database: DatabaseSync) =>
    database.prepare('PRAGMA synchronous').get()?.['synchronous']
  const database = openDatabase(newFile())
  database.exec('PRAGMA synchronous = NORMAL')
  await sqliteProcessed(database, { durability: 'relaxed' }).open()
  expect(synchronous(database)).toBe(1)
  const processed = sqliteProcessed(database)
  await processed.open()
  const during = (survives: 'machine' | 'process') =>
    processed.transaction(async () => synchronous(database), { survives })
  expect(await during('machine')).toBe(2)
  expect(await during('process')).toBe(1)
  expect(await during('machine')).toBe(2)
})

test('sqlite: without a write-ahead log every commit waits for the disk', async () => {
  const database = new DatabaseSync(newFile())
  opened.push(database)
  const processed = sqliteProcessed(database)
  await processed.open()
  const level = await processed.transaction(
    async () => database.prepare('PRAGMA synchronous').get()?.['synchronous'],
    { survives: 'process' },
  )
  expect(level).toBe(2)
})

test('sqlite: consumers that share a connection take turns', async () => {
  const database = openDatabase(newFile())
  const [one, two] = [sqliteProcessed(database), sqliteProcessed(database)]
  await one.open()
  const order: string[] = []
  const first = one.transaction(async () => {
    order.push('one begins')
    await new Promise((resolve) => setImmediate(resolve))
    order.push('one ends')
  })
  const second = two.transaction(async () => void order.push('two'))
  await Promise.all([first, second])
  expect(order).toEqual(['one begins', 'one ends', 'two'])
})

test('sqlite: a database that another process writes to is unavailable, not a crash', async () => {
  const path = newFile()
  const processed = sqliteProcessed(openDatabase(path), { busyMsMax: 10 })
  await processed.open()
  const other = openDatabase(path)
  other.exec('BEGIN IMMEDIATE')
  const busy = processed.transaction(async () => undefined)
  await expect(busy).rejects.toMatchObject({ code: 'PROCESSED_UNAVAILABLE' })
  other.exec('ROLLBACK')
  expect(await processed.transaction(async () => 'fine')).toBe('fine')
})

test('sqlite: a database that another process writes to just now is opened once that has let go', async () => {
  const path = newFile()
  const other = openDatabase(path)
  const processed = sqliteProcessed(openDatabase(path))
  other.exec('BEGIN IMMEDIATE')
  const opening = processed.open()
  await system.breathe()
  other.exec('COMMIT')
  await opening
  expect(await processed.transaction((unit) => unit.revision('stock', 'items'))).toBe(0)
})
