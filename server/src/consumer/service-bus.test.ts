import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { sleep, system } from '@tidemark/shared'
import type { PoolClient } from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Broker } from '../broker/broker.ts'
import { serviceBus } from '../broker/service-bus.ts'
import { type Emulator, startEmulator } from '../emulator/index.ts'
import { type Consumer, consume } from './consume.ts'
import { postgresProcessed } from './processed/postgres.ts'
import { sqliteProcessed, type SqliteTx } from './processed/sqlite.ts'
import { startPostgres, type TestPostgres } from './testing/postgres.ts'
import { inventory, toMessage } from './testing/world.ts'

const mailbox = { requiresSession: true, lockMs: 5_000, maxDeliveryCount: 10 }
const folder = mkdtempSync(join(tmpdir(), 'tidemark-consumer-'))
let postgres: TestPostgres
const life = { isOver: false }
const ends: (() => Promise<unknown> | void)[] = []

beforeAll(async () => {
  postgres = await startPostgres()
}, 120_000)
afterAll(async () => {
  life.isOver = true
  for (const end of ends.toReversed()) await end()
  await postgres?.stop()
  rmSync(folder, { recursive: true, force: true })
}, 60_000)

async function openNamespace(): Promise<{ emulator: Emulator; connect(): Broker }> {
  const emulator = await startEmulator({
    config: {
      topics: [
        {
          name: 'inventory',
          duplicateWindowMs: 60_000,
          subscriptions: [
            { name: 'stock', ...mailbox },
            { name: 'billing', ...mailbox },
          ],
        },
      ],
    },
  })
  ends.push(() => emulator.close())
  const connect = (): Broker => {
    const broker = serviceBus({ connectionString: emulator.connectionString, answerMsMax: 5_000 })
    ends.push(() => broker.close())
    return broker
  }
  return { emulator, connect }
}

const streams = Array.from({ length: 10 }, (_, at) => `sku-${at}`)

async function publish(broker: Broker, from: number, to: number): Promise<void> {
  for (let n = from; n <= to; n += 1) {
    const messages = streams.map((name) => toMessage(inventory.stream(name).Picked({ n }), n))
    expect(await broker.publish('inventory', messages)).toEqual(streams.map(() => undefined))
  }
}

/** Waits for a condition of the world outside, and no longer than a test may take. */
async function until(isTrue: () => boolean | Promise<boolean>): Promise<void> {
  while (!life.isOver && !(await isTrue())) await sleep(system, 20)
}

const range = (count: number) => Array.from({ length: count }, (_, at) => at + 1)

function openSqlite(path: string): DatabaseSync {
  const database = new DatabaseSync(path)
  database.exec(
    'PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS effects (nth INTEGER PRIMARY KEY, stream, n)',
  )
  ends.push(() => database.close())
  return database
}

/** The numbers of each stream, in the order of their effects. */
const effectsOf = (rows: readonly { readonly stream: unknown; readonly n: unknown }[]) =>
  streams.map((name) => rows.filter(({ stream }) => stream === name).map(({ n }) => Number(n)))

test('[C1, C3] competing consumers on SQLite make each effect once and in order, whatever breaks', async () => {
  const { emulator, connect } = await openNamespace()
  const path = join(folder, 'stock.db')
  const reader = openSqlite(path)
  const start = (): Promise<Consumer> =>
    consume(inventory, {
      name: 'stock',
      broker: connect(),
      processed: sqliteProcessed(openSqlite(path)),
      concurrency: 10,
      on: {
        Picked: (
          { stream, data },
          { tx, emit }: { tx: SqliteTx; emit: (draft: never) => unknown },
        ) => {
          tx.prepare('INSERT INTO effects (stream, n) VALUES (?, ?)').run(stream, data.n)
          emit(inventory.stream(stream).Counted({ n: data.n }) as never)
        },
      },
    })
  const [one, two] = await Promise.all([start(), start()])
  const read = () =>
    reader.prepare('SELECT stream, n FROM effects ORDER BY nth').all() as {
      stream: string
      n: number
    }[]
  const broker = connect()
  await publish(broker, 1, 10)
  await until(() => read().length >= 30)
  await emulator.faults.detach('inventory/Subscriptions/stock')
  await publish(broker, 11, 15)
  await until(() => read().length >= 120)
  await emulator.faults.killConnections()
  await publish(connect(), 16, 20)
  await until(() => read().length >= 200)
  await until(() => one.counts.published + two.counts.published >= 200)
  expect(effectsOf(read())).toEqual(streams.map(() => range(20)))
  expect(one.counts.processed + two.counts.processed).toBe(200)
  expect(one.counts.failed + two.counts.failed).toBe(0)
  await Promise.all([one.close(), two.close()])
}, 60_000)

test('[C1, C3] competing consumers on PostgreSQL make each effect once and in order, beside another service', async () => {
  const { emulator, connect } = await openNamespace()
  const pool = await postgres.createDatabase()
  await pool.query(
    'CREATE TABLE effects (nth BIGSERIAL, who TEXT, stream TEXT, n INT, UNIQUE (who, stream, n))',
  )
  const start = (name: string): Promise<Consumer> =>
    consume(inventory, {
      name,
      broker: connect(),
      processed: postgresProcessed(pool, { transactionsMax: 2 }),
      concurrency: 10,
      retry: { firstMs: 50, maxMs: 200 },
      on: {
        Picked: async ({ stream, data }, { tx, attempt }: { tx: PoolClient; attempt: number }) => {
          const values = [name, stream, data.n]
          await tx.query('INSERT INTO effects (who, stream, n) VALUES ($1, $2, $3)', values)
          if (data.n === 3 && attempt === 1) throw new Error('the first attempt fails')
        },
      },
    })
  const consumers = await Promise.all([start('stock'), start('stock'), start('billing')])
  const read = async (who: string) =>
    (await pool.query('SELECT stream, n FROM effects WHERE who = $1 ORDER BY nth', [who])).rows
  await publish(connect(), 1, 6)
  await emulator.faults.detach('inventory/Subscriptions/stock')
  await publish(connect(), 7, 10)
  await until(async () => (await read('stock')).length + (await read('billing')).length >= 200)
  for (const who of ['stock', 'billing']) {
    expect(effectsOf(await read(who)), who).toEqual(streams.map(() => range(10)))
  }
  expect(consumers.reduce((sum, { counts }) => sum + counts.failed, 0)).toBe(20)
  await Promise.all(consumers.map((consumer) => consumer.close()))
}, 60_000)
