/**
 * A consumer's tables beside the app's own, in a PostgreSQL database, through the app's own pool. A
 * transaction that fails gives its connection up: whatever still waits on it can write nothing more.
 */
import { TidemarkError } from '@tidemark/shared'
import type { Pool, PoolClient } from 'pg'
import type { Processed, TransactionOptions, Unit } from './processed.ts'
import { type Dialect, refused, type Row, type Sql, tables } from './sql.ts'
import { SqlUnit } from './sql-unit.ts'

/** How durable a commit is, and how many transactions may be open at once. */
export interface PostgresOptions {
  /**
   * `full`: a commit is on disk before it is answered, also where the server's default is
   * `synchronous_commit = off`. `relaxed`: as the server is set; with `off` a crash of it loses effects.
   */
  readonly durability?: 'full' | 'relaxed'
  /** Connections of the pool that transactions may take. Default: half of the pool, at least one. */
  readonly transactionsMax?: number
}

const dialect: Dialect = {
  sequence: 'BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY',
  clustered: '',
  lock: ' FOR UPDATE',
  lockOrSkip: ' FOR UPDATE SKIP LOCKED',
  texts: (parameter) =>
    `(SELECT value, nth FROM jsonb_array_elements_text(CAST(${parameter} AS jsonb)) WITH ORDINALITY AS each (value, nth)) AS list`,
  lists: (parameter) =>
    `(SELECT value, nth FROM jsonb_array_elements(CAST(${parameter} AS jsonb)) WITH ORDINALITY AS each (value, nth)) AS list`,
  field: (column, name) => `(CAST(${column} AS json) ->> '${name}')`,
}

/** The commit is answered before it is on the server's disk. */
const beginLight = 'BEGIN; SET LOCAL synchronous_commit TO off'

/** Any number, as long as it is always the same: who makes the tables waits for whoever makes them already. */
const schemaLock = 7_165_437

/** A consumer's tables in a PostgreSQL database that the app's pool leads to. */
export function postgresProcessed(
  pool: Pool,
  {
    durability = 'full',
    transactionsMax = Math.max(1, Math.floor((pool.options.max ?? 10) / 2)),
  }: PostgresOptions = {},
): Processed<PoolClient> {
  let begin = 'BEGIN'

  async function transaction<T>(
    work: (unit: Unit<PoolClient>) => Promise<T>,
    { survives = 'machine' }: TransactionOptions = {},
  ): Promise<T> {
    const client = await guard(pool.connect())
    // A connection that dies says so twice: to the query at hand, and to listeners; without one the process ends.
    client.on('error', ignore)
    try {
      await guard(client.query(survives === 'machine' ? begin : beginLight))
      const result = await work(new SqlUnit(client, toSql(client), dialect))
      await toSql(client).conclude('COMMIT')
      client.off('error', ignore)
      client.release()
      return result
    } catch (error) {
      // Rolled back by the server when the connection ends, even where a query on it never does.
      client.release(true)
      throw error
    }
  }

  return {
    transactionsMax,
    transaction,
    async open() {
      await transaction(async ({ tx }) => {
        await guard(tx.query(`SELECT pg_advisory_xact_lock(${schemaLock})`))
        for (const statement of tables(dialect)) await guard(tx.query(statement))
        const { rows } = await guard(tx.query<Row>('SHOW synchronous_commit'))
        const isOff = rows[0]?.['synchronous_commit'] === 'off'
        if (isOff && durability === 'full') begin = 'BEGIN; SET LOCAL synchronous_commit TO on'
      })
    },
  }
}

const ignore = (): void => {}

const toSql = (client: PoolClient): Sql => ({
  async all(text, ...parameters) {
    return (await guard(client.query<Row>(text, [...parameters]))).rows
  },
  async run(text, ...parameters) {
    return (await guard(client.query(text, [...parameters]))).rowCount ?? 0
  },
  async conclude(text) {
    try {
      await client.query(text)
    } catch (cause) {
      throw isRefusal(cause) ? refused(cause) : unavailable(cause)
    }
  },
})

/** What a statement of ours settles with, and what went wrong in the port's words. */
async function guard<T>(running: Promise<T>): Promise<T> {
  try {
    return await running
  } catch (cause) {
    throw unavailable(cause)
  }
}

function unavailable(cause: unknown): TidemarkError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new TidemarkError('PROCESSED_UNAVAILABLE', { reason }, { cause })
}

/**
 * Is the database well, and what was written wrong? SQLSTATE: a constraint, an error before it that somebody
 * swallowed, or a conflict with another transaction.
 */
const isRefusal = (cause: unknown): boolean =>
  cause instanceof Error &&
  'code' in cause &&
  /^(?:23...|25P02|40001|40P01)$/.test(String(cause.code))
