import type { Pool, PoolClient } from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startPostgres, type TestPostgres } from '../testing/postgres.ts'
import { postgresProcessed } from './postgres.ts'
import { processedContract } from './processed.contract.ts'

let server: TestPostgres
beforeAll(async () => {
  server = await startPostgres()
}, 120_000)
afterAll(() => server?.stop(), 60_000)

async function openDatabase(): Promise<Pool> {
  const pool = await server.createDatabase()
  await pool.query(
    `CREATE TABLE effects (name TEXT PRIMARY KEY,
       owner TEXT REFERENCES effects DEFERRABLE INITIALLY DEFERRED)`,
  )
  return pool
}

processedContract<PoolClient>('postgres', async () => {
  const pool = await openDatabase()
  const open = async () => {
    const processed = postgresProcessed(pool)
    await processed.open()
    return processed
  }
  return {
    processed: await open(),
    reopen: open,
    write: async (tx, name) => void (await tx.query('INSERT INTO effects VALUES ($1)', [name])),
    writeUncommittable: async (tx, name) => {
      await tx.query("INSERT INTO effects VALUES ($1, 'nobody')", [name])
    },
    effects: async () => {
      const { rows } = await pool.query<{ name: string }>('SELECT name FROM effects ORDER BY name')
      return rows.map(({ name }) => name)
    },
  }
})

test('postgres: several processes may make the tables at once', async () => {
  const pool = await openDatabase()
  await Promise.all([1, 2, 3, 4].map(() => postgresProcessed(pool).open()))
  expect(await postgresProcessed(pool).transaction(async () => 'fine')).toBe('fine')
})

test('[C7] postgres: a transaction that is given up ends, though a query in it never does', async () => {
  const pool = await openDatabase()
  const processed = postgresProcessed(pool)
  await processed.open()
  const given = processed.transaction(async ({ tx }) => {
    await tx.query("INSERT INTO effects VALUES ('zombie')")
    // Nobody waits for this one, as after a deadline.
    tx.query('SELECT pg_sleep(60)').catch(() => {})
    throw new Error('too slow')
  })
  await expect(given).rejects.toThrow('too slow')
  const { rows } = await pool.query('SELECT name FROM effects')
  expect(rows).toEqual([])
})

test('postgres: two batches with the same events in another order do not wait for each other for ever', async () => {
  const pool = await openDatabase()
  const processed = postgresProcessed(pool)
  await processed.open()
  const ids = Array.from({ length: 50 }, (_, at) => `e-${at}`)
  const run = (order: readonly string[]) =>
    processed.transaction(async ({ attempts }) => {
      await attempts.count('stock', order, true)
      await attempts.standing('stock', order)
      await attempts.finish('stock', order, 1)
    })
  const backwards = ids.toReversed()
  await Promise.all(Array.from({ length: 20 }, (_, n) => run(n % 2 === 0 ? ids : backwards)))
  await processed.transaction(async ({ attempts }) => {
    expect((await attempts.standing('stock', ids)).size).toBe(50)
  })
})

test('postgres: streams that one process has claimed are passed by', async () => {
  const pool = await openDatabase()
  const processed = postgresProcessed(pool)
  await processed.open()
  const hold = {
    state: 'retrying',
    code: 'X',
    reason: 'x',
    attempts: 1,
    firstAt: 1,
    lastAt: 1,
  } as const
  await processed.transaction(async ({ holds }) => {
    await holds.hold('stock', 'a', { ...hold, dueAt: 1 })
    await holds.hold('stock', 'b', { ...hold, dueAt: 2 })
  })
  await processed.transaction(async (one) => {
    expect((await one.holds.due('stock', 9)).item?.key).toBe('a')
    await processed.transaction(async (two) => {
      expect((await two.holds.due('stock', 9)).item?.key).toBe('b')
    })
  })
})

test('postgres: a server that is gone is unavailable', async () => {
  const pool = await openDatabase()
  const processed = postgresProcessed(pool)
  await processed.open()
  const failing = processed.transaction(async ({ tx, attempts }) => {
    await tx.query('SELECT pg_terminate_backend(pg_backend_pid())').catch(() => {})
    await attempts.count('stock', ['e-1'], false)
  })
  await expect(failing).rejects.toMatchObject({ code: 'PROCESSED_UNAVAILABLE' })
  expect(await processed.transaction(async () => 'fine')).toBe('fine')
})

test('postgres: a commit is on disk before it is answered, whatever the server was told', async () => {
  const pool = await openDatabase()
  const { rows } = await pool.query<{ name: string }>('SELECT current_database() AS name')
  await pool.query(`ALTER DATABASE ${rows[0]?.name} SET synchronous_commit TO off`)
  const fresh = await pool.connect()
  fresh.release(true)
  const show = async (durability: 'full' | 'relaxed') => {
    const processed = postgresProcessed(pool, { durability })
    await processed.open()
    const { rows: shown } = await processed.transaction(({ tx }) =>
      tx.query<{ synchronous_commit: string }>('SHOW synchronous_commit'),
    )
    return shown[0]?.synchronous_commit
  }
  expect(await show('relaxed')).toBe('off')
  expect(await show('full')).toBe('on')
})
