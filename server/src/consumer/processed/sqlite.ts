/**
 * A consumer's tables beside the app's own, in one SQLite file. A transaction stays open while a handler
 * awaits, so the connection should be the consumer's alone: whatever else writes through it meanwhile
 * becomes part of the transaction.
 */
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'
import { assert, sleep, system as realSystem, type System, TidemarkError } from '@tidemark/shared'
import type { Processed, Unit } from './processed.ts'
import { type Dialect, refused, type Row, type Sql, tables, type Value } from './sql.ts'
import { SqlUnit } from './sql-unit.ts'

/** The app's handle inside a transaction. It ends with the transaction, so a handler that was given up cannot write later. */
export interface SqliteTx {
  /** The statement for this text, prepared once for each connection. Use it at once; do not keep it. */
  prepare(text: string): SqliteStatement
  /** Runs several statements. Beginning and ending transactions is not up to the handler. */
  exec(text: string): void
}

type Read<Method extends 'run' | 'get' | 'all' | 'iterate'> = (
  ...values: readonly SQLInputValue[]
) => ReturnType<StatementSync[Method]>

/** A prepared statement; its parameters are bound in order. */
export interface SqliteStatement {
  readonly run: Read<'run'>
  readonly get: Read<'get'>
  readonly all: Read<'all'>
  readonly iterate: Read<'iterate'>
}

/** How durable a commit is, and how patient a transaction. */
export interface SqliteOptions {
  /** How long a transaction waits for other processes that write to the file, in ms. Default: 5,000. */
  readonly busyMsMax?: number
  readonly system?: System
  /**
   * `full`: a commit survives a power failure, which is what lets a message be completed after it.
   * `relaxed`: as the connection is set; with WAL and `synchronous=NORMAL` a power failure loses effects.
   */
  readonly durability?: 'full' | 'relaxed'
}

const dialect: Dialect = {
  sequence: 'INTEGER PRIMARY KEY AUTOINCREMENT',
  clustered: ' WITHOUT ROWID',
  lock: '',
  lockOrSkip: '',
  texts: (parameter) => `(SELECT value, key AS nth FROM json_each(${parameter})) AS list`,
  lists: (parameter) => `(SELECT value, key AS nth FROM json_each(${parameter})) AS list`,
  field: (column, name) => `(${column} ->> '${name}')`,
}

/** A consumer's tables in a SQLite database that the app has opened, and closes. */
export function sqliteProcessed(
  database: DatabaseSync,
  { durability = 'full', busyMsMax = 5_000, system = realSystem }: SqliteOptions = {},
): Processed<SqliteTx> {
  const connection = connectionOf(database)
  return {
    transactionsMax: 1,
    async open() {
      await connection.inTurn(async () => {
        // A consumer that competes with us may be writing just now.
        await beginWhenFree(connection, busyMsMax, system)
        await connection.transaction(async () => {
          for (const statement of tables(dialect)) connection.guard(() => database.exec(statement))
        })
        connection.guard(() => connection.prepareDurability(durability))
      })
    },
    transaction: (work, { survives = 'machine' } = {}) =>
      connection.inTurn(async () => {
        connection.setSynchronous(survives)
        try {
          await beginWhenFree(connection, busyMsMax, system)
          return await connection.transaction(work)
        } finally {
          // The app may write through this connection too.
          connection.setSynchronous('machine')
        }
      }),
  }
}

/** Waits beside the event loop, where SQLite's own timeout would stop it. */
async function beginWhenFree(
  connection: Connection,
  busyMsMax: number,
  system: System,
): Promise<void> {
  const end = system.mono() + busyMsMax
  while (!connection.begin()) {
    if (system.mono() >= end) throw unavailable('another process writes to the database')
    await sleep(system, 1 + system.random() * 20)
  }
}

/** Consumers of one process may share a connection; their transactions take turns. */
const connections = new WeakMap<DatabaseSync, Connection>()

function connectionOf(database: DatabaseSync): Connection {
  const known = connections.get(database) ?? new Connection(database)
  connections.set(database, known)
  return known
}

const statementsMax = 500
/** SQLite's levels of `synchronous`: with a write-ahead log, `normal` does not wait for the disk at a commit. */
const normal = 1
const full = 2
/** SQLite's code for a file that another connection writes to. */
const sqliteBusy = 5
/** SQLite's code for a constraint that was violated. */
const sqliteConstraint = 19

class Connection {
  readonly #database: DatabaseSync
  readonly #statements = new Map<string, StatementSync>()
  #turn: Promise<unknown> = Promise.resolve()
  #level = full
  #mayWaive = false

  constructor(database: DatabaseSync) {
    this.#database = database
  }

  /** Runs `work` after all that came before it has ended. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work)
    this.#turn = result.catch(() => undefined)
    return result
  }

  /** Makes commits survive a power failure, where that is asked for; says whether some may do with less. */
  prepareDurability(durability: 'full' | 'relaxed'): void {
    const pragma = (name: string): unknown => this.#database.prepare(`PRAGMA ${name}`).get()?.[name]
    if (durability === 'full' && Number(pragma('synchronous')) < full) this.#synchronize(full)
    // Without a write-ahead log a commit that does not wait for the disk may harm the file.
    this.#mayWaive = durability === 'full' && pragma('journal_mode') === 'wal'
  }

  /** What the commit of the next transaction waits for. */
  setSynchronous(survives: 'machine' | 'process'): void {
    const level = survives === 'machine' ? full : normal
    if (this.#mayWaive && level !== this.#level) this.#synchronize(level)
  }

  #synchronize(level: number): void {
    this.#database.exec(`PRAGMA synchronous = ${level}`)
    this.#level = level
  }

  /** Begins a transaction. Returned: false where another process is writing. */
  begin(): boolean {
    try {
      this.#database.exec('BEGIN IMMEDIATE')
      return true
    } catch (cause) {
      if (cause instanceof Error && 'errcode' in cause && cause.errcode === sqliteBusy) return false
      throw unavailable(cause)
    }
  }

  async transaction<T>(work: (unit: Unit<SqliteTx>) => Promise<T>): Promise<T> {
    const life = { over: false }
    try {
      const result = await work(new SqlUnit(this.#tx(life), this.#sql(life), dialect))
      this.#conclude('COMMIT')
      return result
    } catch (error) {
      if (this.#database.isOpen && this.#database.isTransaction) this.#database.exec('ROLLBACK')
      throw error
    } finally {
      life.over = true
    }
  }

  /** Runs a statement of ours, and says what went wrong in the port's words. */
  guard<T>(run: () => T): T {
    try {
      return run()
    } catch (cause) {
      throw unavailable(cause)
    }
  }

  #conclude(text: string): void {
    try {
      this.#database.exec(text)
    } catch (cause) {
      throw isRefusal(cause) ? refused(cause) : unavailable(cause)
    }
  }

  #prepare(text: string): StatementSync {
    let statement = this.#statements.get(text)
    if (!statement) {
      if (this.#statements.size >= statementsMax) this.#statements.clear()
      statement = this.#database.prepare(text)
      this.#statements.set(text, statement)
    }
    return statement
  }

  #sql(life: Life): Sql {
    const statement = (text: string) => {
      assert(!life.over, 'a transaction is not used after its end')
      return this.#prepare(text)
    }
    return {
      all: async (text, ...values) =>
        this.guard(() => statement(text).all(named(values)) as unknown as readonly Row[]),
      run: async (text, ...values) =>
        this.guard(() => Number(statement(text).run(named(values)).changes)),
      conclude: async (text) => {
        assert(!life.over, 'a transaction is not used after its end')
        this.#conclude(text)
      },
    }
  }

  #tx(life: Life): SqliteTx {
    const alive = () => assert(!life.over, 'a handler does not write after its transaction')
    return {
      prepare: (text) => ({
        run: (...values) => (alive(), this.#prepare(text).run(...values)),
        get: (...values) => (alive(), this.#prepare(text).get(...values)),
        all: (...values) => (alive(), this.#prepare(text).all(...values)),
        // A statement that is being read must not be reset by another use of the same text.
        iterate: (...values) => (alive(), this.#database.prepare(text).iterate(...values)),
      }),
      exec: (text) => (alive(), this.#database.exec(text)),
    }
  }
}

/** A constraint that is checked only now: the low byte is SQLite's code, the others say which. */
const isRefusal = (cause: unknown): boolean =>
  cause instanceof Error &&
  'errcode' in cause &&
  (Number(cause.errcode) & 0xff) === sqliteConstraint

function unavailable(cause: unknown): TidemarkError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new TidemarkError('PROCESSED_UNAVAILABLE', { reason }, { cause })
}

interface Life {
  over: boolean
}

const named = (values: readonly Value[]): Record<string, Value> =>
  Object.fromEntries(values.map((value, index) => [`$${index + 1}`, value]))
