/** The file of a SQLite log: its tables, its statements, what is checked before it is trusted, and its errors. */
import { type Epoch, type EventId, type System, TidemarkError } from '@tidemark/shared'

/** What is used of the driver, which only sqlite.ts names. */
export interface Database {
  exec(sql: string): void
  prepare(sql: string): Statement
}

/** A prepared statement. */
export interface Statement {
  get(...values: Value[]): Row | undefined
  all(...values: Value[]): Row[]
  run(...values: Value[]): {
    readonly changes: number | bigint
    readonly lastInsertRowid: number | bigint
  }
}

type Value = null | number | string | Uint8Array
type Row = Record<string, null | number | bigint | string | Uint8Array>

const schemaVersion = 1
/** 'TIDE': marks the file as ours. */
const applicationId = 0x54494445
/** How many bytes a file may have to be checked page by page when it is opened. */
const checkedBytesMax = 268_435_456

const schema = `
  create table meta (name text primary key, value text not null) strict, without rowid;
  create table logs (
    log integer primary key, topic text not null, scope text not null,
    head integer not null, received_at integer not null, unique (topic, scope)
  ) strict;
  create table epochs (log integer not null, first integer not null, epoch text not null,
    primary key (log, first)) strict, without rowid;
  create table entries (key integer primary key, last integer not null, lines text not null) strict;
  create table verdicts (
    log integer not null, id blob not null, position integer,
    author text, hash blob, refusal text, primary key (log, id)
  ) strict, without rowid;
  create table streams (log integer not null, stream text not null, revision integer not null,
    primary key (log, stream)) strict, without rowid;
  create table relayed (log integer primary key, cursor integer not null) strict;
  create table parked (
    log integer not null, stream text not null, from_position integer not null,
    from_revision integer not null, code text not null, reason text not null,
    attempts integer not null, remedy text, primary key (log, stream)
  ) strict, without rowid;
  create table audits (
    nth integer primary key, at integer not null, by text not null, action text not null,
    subject text not null, note text not null
  ) strict;
  create table leases (name text primary key, holder text not null, term integer not null,
    until integer not null) strict, without rowid;
`

/** Positions of one log, and so the distance between two logs' keys. Keys stay below 2^53 for a million logs. */
export const span = 2 ** 33

/** A row of `logs`. */
export interface LogRow {
  readonly log: number
  readonly head: number
  readonly received_at: number
  /** The greatest id that has a verdict: what is greater is new, and need not be looked for. */
  readonly newest?: string
}

/** All statements of a log. */
export type Statements = ReturnType<typeof prepareStatements>

/** Prepares them. */
export function prepareStatements(database: Database) {
  const prepare = (sql: string): Statement => database.prepare(sql)
  return {
    begin: prepare('begin immediate'),
    commit: prepare('commit'),
    version: prepare('pragma data_version'),
    row: prepare('select log, head, received_at from logs where topic = ? and scope = ?'),
    logs: prepare('select topic, scope from logs where head > 0 order by log'),
    addLog: prepare('insert into logs (topic, scope, head, received_at) values (?, ?, 0, 0)'),
    saveHead: prepare('update logs set head = ?, received_at = ? where log = ?'),
    epoch: prepare('select epoch from epochs where log = ? order by first desc limit 1'),
    addEpoch: prepare('insert into epochs (log, first, epoch) values (?, 1, ?)'),
    nextRun: prepare(
      'select last, lines from entries where key > ? and key <= ? order by key limit 1',
    ),
    runAt: prepare(
      'select key, last from entries where key > ? and key <= ? order by key desc limit 1',
    ),
    run: prepare('select lines from entries where key = ?'),
    runHolding: prepare(
      'select key, lines from entries where key > ? and key <= ? order by key desc limit 1',
    ),
    addRun: prepare('insert into entries (key, last, lines) values (?, ?, ?)'),
    verdict: prepare(
      'select position, author, hash, refusal from verdicts where log = ? and id = ?',
    ),
    accept: prepare('insert into verdicts (log, id, position) values (?, ?, ?)'),
    refuse: prepare(
      'insert or ignore into verdicts (log, id, author, hash, refusal) values (?, ?, ?, ?, ?)',
    ),
    newest: prepare('select hex(id) as id from verdicts where log = ? order by id desc limit 1'),
    revision: prepare('select revision from streams where log = ? and stream = ?'),
    saveRevision: prepare(
      `insert into streams (log, stream, revision) values (?, ?, ?)
        on conflict (log, stream) do update set revision = excluded.revision`,
    ),
    relayed: prepare('select cursor from relayed where log = ?'),
    saveRelayed: prepare('insert or replace into relayed (log, cursor) values (?, ?)'),
    parked: prepare(
      `select stream, from_position as fromPosition, from_revision as fromRevision, code, reason,
        attempts, remedy from parked where log = ? order by from_position`,
    ),
    park: prepare('insert or replace into parked values (?, ?, ?, ?, ?, ?, ?, ?)'),
    remedy: prepare(
      `update parked set remedy = ?
        where log = ? and stream = ? and from_revision = ? and remedy is null`,
    ),
    unpark: prepare('delete from parked where log = ? and stream = ?'),
    addAudit: prepare('insert into audits (at, by, action, subject, note) values (?, ?, ?, ?, ?)'),
    audits: prepare('select at, by, action, subject, note from audits order by nth desc limit ?'),
    lease: prepare('select holder, term, until from leases where name = ?'),
    saveLease: prepare(
      'insert or replace into leases (name, holder, term, until) values (?, ?, ?, ?)',
    ),
    endLease: prepare('update leases set until = 0 where name = ? and term = ?'),
  }
}

/** An id as it is stored. */
export function toBlob(id: EventId): Uint8Array {
  const hex = id.slice(0, 8) + id.slice(9, 13) + id.slice(14, 18) + id.slice(19, 23) + id.slice(24)
  return Buffer.from(hex, 'hex')
}

const readPragma = (database: Database, name: string): unknown =>
  Object.values(database.prepare(`pragma ${name}`).get() ?? {})[0]

/** Refuses what is not ours, newer than we are, or damaged, before anything is written to it. */
export function checkFile(database: Database, bytes: number): void {
  const tables = database.prepare('select count(*) as count from sqlite_schema').get()
  if (tables?.['count'] === 0) return
  if (readPragma(database, 'application_id') !== applicationId) {
    throw corrupt('the file is a database of some other program')
  }
  const version = Number(readPragma(database, 'user_version'))
  if (version > schemaVersion) {
    throw corrupt(`the file has version ${version}, this program knows ${schemaVersion}`)
  }
  if (bytes > checkedBytesMax) return
  const found = readPragma(database, 'quick_check(1)')
  if (found !== 'ok') throw corrupt(String(found))
}

/** What a file says of the logs in it. */
export interface FileMeta {
  /** Of new logs. */
  readonly epoch: Epoch
  readonly isStartedOver: boolean
}

/** Creates the tables where there are none, in one transaction. */
export function prepareFile(database: Database, system: System, startOver: boolean): FileMeta {
  database.exec('begin immediate')
  try {
    if (Number(readPragma(database, 'user_version')) === 0) {
      database.exec(schema)
      const write = database.prepare('insert into meta values (?, ?)')
      write.run('epoch', system.uuid())
      if (startOver) write.run('startedOver', 'yes')
      database.exec(
        `pragma application_id = ${applicationId}; pragma user_version = ${schemaVersion}`,
      )
    }
    database.exec('commit')
  } catch (error) {
    rollback(database)
    throw error
  }
  const read = database.prepare('select value from meta where name = ?')
  const epoch = String(read.get('epoch')?.['value']) as Epoch
  return { epoch, isStartedOver: read.get('startedOver') !== undefined }
}

/** A log whose last entry is not its head has lost something: it must not be served as if it were whole. */
export function checkHeads(database: Database): void {
  const wrong = database
    .prepare(
      `select topic, scope, head, (
        select last from entries where key > log * ${span} and key < (log + 1) * ${span}
        order by key desc limit 1
      ) as last from logs where head > 0 and head is not last`,
    )
    .get()
  if (wrong) {
    const { topic, scope, head, last } = wrong
    throw corrupt(`${String(topic)}/${String(scope)} ends at ${last}, and should at ${head}`)
  }
}

/** Ends a transaction without a trace, if there still is one. */
export function rollback(database: Database): void {
  try {
    database.exec('rollback')
  } catch {
    // SQLite has rolled back by itself, as it does when the disk is full: then there is no transaction.
  }
}

/** A file that must not be served. */
export const corrupt = (reason: string, cause?: unknown): TidemarkError =>
  new TidemarkError('LOG_CORRUPT', { reason }, { cause })

/** SQLite's result codes that pass: busy, locked, out of memory, read-only, interrupted, I/O error, full, cannot open. */
const passing = new Set([5, 6, 7, 8, 9, 10, 13, 14])
/** SQLite's result codes for a damaged file, and for a file that is no database. */
const damaged = new Set([11, 26])

/** Runs `body`, and turns what SQLite throws into our codes. */
export function translating<T>(body: () => T): T {
  try {
    return body()
  } catch (error) {
    throw toTidemarkError(error)
  }
}

function toTidemarkError(error: unknown): unknown {
  const { code, errcode, errstr, message } = error as {
    code?: string
    errcode?: number
    errstr?: string
    message: string
  }
  const reason = errstr ?? message
  if (errcode !== undefined && damaged.has(errcode & 0xff)) return corrupt(reason, error)
  const closed = code === 'ERR_INVALID_STATE'
  if (closed || (errcode !== undefined && passing.has(errcode & 0xff))) {
    return new TidemarkError('LOG_UNAVAILABLE', { reason }, { cause: error })
  }
  return error
}
