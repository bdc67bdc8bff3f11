/**
 * The log in one SQLite file. A commit is on the disk before it is answered (WAL, synchronous=FULL), and
 * one transaction holds the entries, the verdicts and the stream heads of everybody who waited for it.
 *
 * `verdicts` is the only index of ids. `entries` has a row for each run of batches that came in one
 * transaction, so that a page is read in a few rows and a batch cannot be torn; its key is one integer,
 * log * 2^33 + position of the first entry, because SQLite is quickest at the end of an integer key.
 */
import { statSync } from 'node:fs'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import {
  assert,
  type Cursor,
  type Epoch,
  type EventId,
  logKey,
  type LogName,
  type Position,
  type Refusal,
  system as realSystem,
  type System,
  TidemarkError,
} from '@tidemark/shared'
import { judgeChains, type Known, refusalOf, type Transaction, writeBatch } from './judge.ts'
import type {
  Attempt,
  AuditRecord,
  Head,
  Lease,
  Log,
  Outcome,
  Page,
  Parked,
  RelayProgress,
  Remedy,
} from './log.ts'

const schemaVersion = 1
/** 'TIDE': marks the file as ours. */
const applicationId = 0x54494445
/** Positions of one log, and so the distance between two logs' keys. Keys stay below 2^53 for a million logs. */
const span = 2 ** 33
/** A run of entries in one row, in UTF-16 code units. Longer ones read no faster and cost memory. */
const runLengthMax = 65_536
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
    log integer not null, id blob not null, hash blob not null, author text not null,
    position integer, revision integer, refusal text, primary key (log, id)
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

/** Where a SQLite log lives. */
export interface SqliteLogOptions {
  readonly system?: System
}

/**
 * Opens a log in a file, and creates it where there is none. Throws `LOG_CORRUPT` for a file that is
 * damaged, newer than this program, or something else, and `LOG_UNAVAILABLE` where it cannot be opened.
 */
export function sqliteLog(path: string, options: SqliteLogOptions = {}): Log {
  const opened = translating(() => {
    const bytes = path === ':memory:' ? 0 : (statSync(path, { throwIfNoEntry: false })?.size ?? 0)
    const database = new DatabaseSync(path)
    try {
      checkFile(database, bytes)
      return database
    } catch (error) {
      database.close()
      throw error
    }
  })
  return createSqliteLog(opened, options.system ?? realSystem)
}

/** Builds a log on a database that is open already. */
export function createSqliteLog(database: DatabaseSync, system: System): Log {
  return translating(() => new SqliteLog(database, system))
}

interface LogRow {
  readonly log: number
  readonly head: number
  readonly received_at: number
}

class SqliteLog implements Log {
  readonly #database: DatabaseSync
  readonly #system: System
  readonly #statements: Statements
  readonly #listeners = new Set<(logs: readonly LogName[]) => void>()
  readonly #epoch: Epoch

  constructor(database: DatabaseSync, system: System) {
    this.#database = database
    this.#system = system
    // FULL: a commit that was answered survives a power cut. A lock is waited for shortly, since we
    // are on the thread that serves everybody. A checkpoint at 16 MiB, and the WAL is cut back to 64.
    database.exec(`
      pragma journal_mode = wal; pragma synchronous = full; pragma busy_timeout = 100;
      pragma wal_autocheckpoint = 4000; pragma journal_size_limit = 67108864;
      pragma cache_size = -32768; pragma foreign_keys = off;
    `)
    this.#epoch = prepareFile(database, system)
    this.#statements = prepareStatements(database)
    checkHeads(database)
  }

  async append(chains: readonly (readonly Attempt[])[]): Promise<readonly (readonly Outcome[])[]> {
    const append = new Append(this.#statements, this.#system.now(), this.#epoch)
    const outcomes = this.#transact(() => {
      const judged = judgeChains(chains, append)
      append.flush()
      return judged
    })
    const grown = append.grown()
    if (grown.length > 0) for (const heard of this.#listeners) heard(grown)
    return outcomes
  }

  async head(log: LogName): Promise<Head> {
    return translating(() => {
      const row = this.#row(log)
      const epoch = row && (this.#statements.epoch.get(row.log) as { epoch: string } | undefined)
      return {
        epoch: (epoch?.epoch ?? this.#epoch) as Epoch,
        position: (row?.head ?? 0) as Position,
      }
    })
  }

  async read(log: LogName, position: Position, bytesMax: number): Promise<Page> {
    return translating(() => {
      const row = this.#row(log)
      if (!row || row.head <= position) return { upTo: position, chunks: [], more: false }
      const base = row.log * span
      const chunks: string[] = []
      let bytes = 0
      let upTo: number = position
      const run = this.#runAt(base, position)
      let next = run && run.last > position ? toRest(run, position) : undefined
      do {
        next ??= this.#runAfter(base + upTo, base + row.head)
        chunks.push(next.lines)
        bytes += next.lines.length
        upTo = next.last
        next = undefined
      } while (upTo < row.head && bytes < bytesMax)
      return { upTo: upTo as Position, chunks, more: upTo < row.head }
    })
  }

  async locate(log: LogName, { position, id }: Cursor): Promise<Position> {
    return translating(() => {
      const row = this.#row(log)
      const head = row?.head ?? 0
      if (!row || position > head) return head as Position
      const verdict = id && this.#statements.verdict.get(row.log, toBlob(id))
      const stands = verdict && verdict['position'] === position
      const target = stands ? position : Math.floor(position / 2)
      const run = this.#runAt(row.log * span, target)
      return (run && run.last > target ? endOfBatch(run, target) : target) as Position
    })
  }

  async logs(): Promise<readonly LogName[]> {
    return translating(() => this.#statements.logs.all() as unknown as LogName[])
  }

  async lease(name: string, holder: string, ms: number): Promise<Lease | undefined> {
    return this.#transact(() => {
      const now = this.#system.now()
      const row = this.#statements.lease.get(name) as LeaseRow | undefined
      const keeps = row?.holder === holder && row.until > now
      if (row && !keeps && row.until > now) return undefined
      const term = keeps ? row.term : (row?.term ?? 0) + 1
      this.#statements.saveLease.run(name, holder, term, now + ms)
      return { name, term }
    })
  }

  async release({ name, term }: Lease): Promise<void> {
    translating(() => this.#statements.endLease.run(name, term))
  }

  async relayed(log: LogName): Promise<{ cursor: Position; parked: readonly Parked[] }> {
    return translating(() => {
      const row = this.#row(log)
      if (!row) return { cursor: 0 as Position, parked: [] }
      const relayed = this.#statements.relayed.get(row.log) as { cursor: number } | undefined
      const parked = this.#statements.parked.all(row.log).map(toParked)
      return { cursor: (relayed?.cursor ?? 0) as Position, parked }
    })
  }

  async saveRelayed(lease: Lease, log: LogName, progress: RelayProgress): Promise<void> {
    this.#transact(() => {
      const held = this.#statements.lease.get(lease.name) as LeaseRow | undefined
      if (held?.term !== lease.term) throw new TidemarkError('LEASE_LOST', { name: lease.name })
      const row = this.#row(log)
      assert(row, `the log ${logKey(log)} has entries, since they were relayed`)
      this.#statements.saveRelayed.run(row.log, progress.cursor)
      for (const stream of progress.unparked) this.#statements.unpark.run(row.log, stream)
      for (const each of progress.parked) {
        const { stream, fromPosition, fromRevision, code, reason, attempts, remedy } = each
        const place = [stream, fromPosition, fromRevision] as const
        this.#statements.park.run(row.log, ...place, code, reason, attempts, remedy ?? null)
      }
    })
  }

  async remedy(log: LogName, remedy: Remedy, record: AuditRecord): Promise<boolean> {
    const { stream, fromRevision, action } = remedy
    return this.#transact(() => {
      const row = this.#row(log)
      if (!row) return false
      const { changes } = this.#statements.remedy.run(action, row.log, stream, fromRevision)
      if (changes === 0) return false
      this.#audit(record)
      return true
    })
  }

  async audit(record: AuditRecord): Promise<void> {
    this.#transact(() => this.#audit(record))
  }

  async audits(max: number): Promise<readonly AuditRecord[]> {
    return translating(() => this.#statements.audits.all(max) as unknown as AuditRecord[])
  }

  onAppend(heard: (logs: readonly LogName[]) => void): () => void {
    this.#listeners.add(heard)
    return () => void this.#listeners.delete(heard)
  }

  async close(): Promise<void> {
    this.#listeners.clear()
    if (this.#database.isOpen) this.#database.close()
  }

  /** The run that holds `position`, where it ends after it: without its lines where it does not. */
  #runAt(base: number, position: number): Run | undefined {
    const found = this.#statements.runAt.get(base, base + position)
    if (!found) return undefined
    const [first, last] = [Number(found['key']) - base, Number(found['last'])]
    if (last <= position) return { first, last, lines: [] }
    const row = this.#statements.run.get(base + first)
    return { first, last, lines: String(row?.['lines']).split('\n') }
  }

  #runAfter(key: number, keyMax: number): { readonly last: number; readonly lines: string } {
    const row = this.#statements.nextRun.get(key, keyMax)
    if (!row) throw corrupt(`no entry after ${key}`)
    return { last: Number(row['last']), lines: String(row['lines']) }
  }

  #audit({ at, by, action, subject, note }: AuditRecord): void {
    this.#statements.addAudit.run(at, by, action, subject, note)
  }

  #row({ topic, scope }: LogName): LogRow | undefined {
    return this.#statements.row.get(topic, scope) as LogRow | undefined
  }

  /** Runs `body` in a transaction that takes the write lock at once, so it cannot fail half-way for want of it. */
  #transact<T>(body: () => T): T {
    return translating(() => {
      this.#database.exec('begin immediate')
      try {
        const result = body()
        this.#database.exec('commit')
        return result
      } catch (error) {
        rollback(this.#database)
        throw error
      }
    })
  }
}

/** One append transaction: what it has read and written, until the rest is flushed before the commit. */
class Append implements Transaction {
  readonly #statements: Statements
  readonly #now: number
  readonly #epoch: Epoch
  readonly #logs = new Map<string, Growing>()

  constructor(statements: Statements, now: number, epoch: Epoch) {
    this.#statements = statements
    this.#now = now
    this.#epoch = epoch
  }

  known(log: LogName, id: EventId): Known | undefined {
    const row = this.#statements.verdict.get(this.#growing(log).log, toBlob(id))
    return row === undefined ? undefined : toKnown(row as unknown as VerdictRow)
  }

  revision(log: LogName, stream: string): number {
    const growing = this.#growing(log)
    const seen = growing.revisions.get(stream)
    if (seen !== undefined) return seen
    const row = this.#statements.revision.get(growing.log, stream) as
      | { revision: number }
      | undefined
    return row?.revision ?? 0
  }

  accept(attempt: Attempt): { position: number; revisions: readonly number[] } {
    const { log, events, author } = attempt
    const growing = this.#growing(log)
    const position = growing.head + 1
    const revisions = events.map(({ id, stream, hash }, at) => {
      const revision = this.revision(log, stream) + 1
      growing.revisions.set(stream, revision)
      this.#statements.accept.run(growing.log, toBlob(id), hash, author, position + at, revision)
      return revision
    })
    growing.head += events.length
    assert(growing.head < span, 'a log holds fewer than 2^33 entries')
    this.#add(growing, position, writeBatch(attempt, position, revisions, growing.receivedAt))
    return { position, revisions }
  }

  refuse({ log, events, author }: Attempt, id: EventId, refusal: Refusal): void {
    const row = this.#growing(log).log
    for (const event of events) {
      const stored = JSON.stringify(refusalOf(event, id, refusal))
      this.#statements.refuse.run(row, toBlob(event.id), event.hash, author, stored)
    }
  }

  /** Writes what was gathered: the runs of entries, the heads of logs and of streams. */
  flush(): void {
    for (const { log, head, receivedAt, runs, revisions } of this.#logs.values()) {
      if (runs.length === 0) continue
      for (const { first, last, lines } of runs) {
        this.#statements.addRun.run(log * span + first, last, lines.join('\n'))
      }
      this.#statements.saveHead.run(head, receivedAt, log)
      for (const [stream, revision] of revisions) {
        this.#statements.saveRevision.run(log, stream, revision)
      }
    }
  }

  /** The logs that have new entries. */
  grown(): readonly LogName[] {
    return [...this.#logs.values()].filter(({ runs }) => runs.length > 0).map(({ name }) => name)
  }

  #growing(name: LogName): Growing {
    const key = logKey(name)
    const seen = this.#logs.get(key)
    if (seen) return seen
    const row = (this.#statements.row.get(name.topic, name.scope) as LogRow | undefined) ?? {
      log: this.#create(name),
      head: 0,
      received_at: 0,
    }
    // The clock may have been set back: `receivedAt` never goes back within a log.
    const receivedAt = Math.max(this.#now, row.received_at)
    const { log, head } = row
    const growing = { name, log, head, receivedAt, runs: [], revisions: new Map() }
    this.#logs.set(key, growing)
    return growing
  }

  #create({ topic, scope }: LogName): number {
    const log = Number(this.#statements.addLog.run(topic, scope).lastInsertRowid)
    assert(log < 2 ** 20, 'a file holds fewer than a million logs')
    this.#statements.addEpoch.run(log, this.#epoch)
    return log
  }

  #add(growing: Growing, position: number, lines: string): void {
    let run = growing.runs.at(-1)
    if (!run || run.length + lines.length > runLengthMax) {
      run = { first: position, last: position, lines: [], length: 0 }
      growing.runs.push(run)
    }
    run.lines.push(lines)
    run.length += lines.length
    run.last = growing.head
  }
}

/** A log inside an append transaction. */
interface Growing {
  readonly name: LogName
  readonly log: number
  readonly receivedAt: number
  readonly runs: { first: number; last: number; length: number; lines: string[] }[]
  readonly revisions: Map<string, number>
  head: number
}

/** Entries that are stored together, a line each. */
interface Run {
  readonly first: number
  readonly last: number
  readonly lines: readonly string[]
}

/** What a reader at `position` has not read of a run. */
const toRest = ({ first, last, lines }: Run, position: number) => ({
  last,
  lines: lines.slice(position - first + 1).join('\n'),
})

/** The last position up to `position` after which a batch ends. */
function endOfBatch({ first, lines }: Run, position: number): number {
  const batchAt = (at: number): unknown => JSON.parse(lines[at - first] ?? '{}').batch
  const torn = batchAt(position + 1)
  if (torn === undefined) return position
  let end = position
  while (end >= first && batchAt(end) === torn) end -= 1
  return end
}

interface VerdictRow {
  readonly hash: Uint8Array
  readonly author: string
  readonly position: number | null
  readonly revision: number | null
  readonly refusal: string | null
}

/** A row of `parked`; where nothing was asked for there is no remedy. */
function toParked({ remedy, ...parked }: Readonly<Record<string, unknown>>): Parked {
  return (remedy === null ? parked : { ...parked, remedy }) as unknown as Parked
}

interface LeaseRow {
  readonly holder: string
  readonly term: number
  readonly until: number
}

function toKnown({ hash, author, position, revision, refusal }: VerdictRow): Known {
  const verdict =
    refusal === null
      ? ({ type: 'accepted', position: position ?? 0, revision: revision ?? 0 } as const)
      : ({ type: 'refused', refusal: JSON.parse(refusal) as Refusal } as const)
  return { hash, author, verdict }
}

const toBlob = (id: EventId): Uint8Array => Buffer.from(id.replaceAll('-', ''), 'hex')

type Statements = ReturnType<typeof prepareStatements>

function prepareStatements(database: DatabaseSync) {
  const prepare = (sql: string): StatementSync => database.prepare(sql)
  return {
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
    addRun: prepare('insert into entries (key, last, lines) values (?, ?, ?)'),
    verdict: prepare(
      'select hash, author, position, revision, refusal from verdicts where log = ? and id = ?',
    ),
    accept: prepare(
      'insert into verdicts (log, id, hash, author, position, revision) values (?, ?, ?, ?, ?, ?)',
    ),
    refuse: prepare(
      'insert or ignore into verdicts (log, id, hash, author, refusal) values (?, ?, ?, ?, ?)',
    ),
    revision: prepare('select revision from streams where log = ? and stream = ?'),
    saveRevision: prepare(
      'insert or replace into streams (log, stream, revision) values (?, ?, ?)',
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

const readPragma = (database: DatabaseSync, name: string): unknown =>
  Object.values(database.prepare(`pragma ${name}`).get() ?? {})[0]

/** Refuses what is not ours, newer than we are, or damaged, before anything is written to it. */
function checkFile(database: DatabaseSync, bytes: number): void {
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

/** Creates the tables where there are none, in one transaction. Returns the epoch of new logs. */
function prepareFile(database: DatabaseSync, system: System): Epoch {
  database.exec('begin immediate')
  try {
    if (Number(readPragma(database, 'user_version')) === 0) {
      database.exec(schema)
      database.prepare(`insert into meta values ('epoch', ?)`).run(system.uuid())
      database.exec(
        `pragma application_id = ${applicationId}; pragma user_version = ${schemaVersion}`,
      )
    }
    database.exec('commit')
  } catch (error) {
    rollback(database)
    throw error
  }
  const row = database.prepare(`select value from meta where name = 'epoch'`).get()
  return String(row?.['value']) as Epoch
}

/** A log whose last entry is not its head has lost something: it must not be served as if it were whole. */
function checkHeads(database: DatabaseSync): void {
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

function rollback(database: DatabaseSync): void {
  try {
    database.exec('rollback')
  } catch {
    // SQLite has rolled back by itself, as it does when the disk is full: then there is no transaction.
  }
}

const corrupt = (reason: string, cause?: unknown): TidemarkError =>
  new TidemarkError('LOG_CORRUPT', { reason }, { cause })

/** SQLite's result codes that pass: busy, locked, out of memory, read-only, interrupted, I/O error, full, cannot open. */
const passing = new Set([5, 6, 7, 8, 9, 10, 13, 14])
/** SQLite's result codes for a damaged file, and for a file that is no database. */
const damaged = new Set([11, 26])

/** Runs `body`, and turns what SQLite throws into our codes. */
function translating<T>(body: () => T): T {
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
