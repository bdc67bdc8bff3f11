/**
 * The log in one SQLite file. A commit is on the disk before it is answered (WAL, synchronous=FULL), and
 * one transaction holds the entries, the verdicts and the stream heads of everybody who waited for it.
 *
 * `verdicts` is the only index of ids. `entries` has a row for each run of batches that came in one
 * transaction, so that a page is read in a few rows and a batch cannot be torn; its key is one integer,
 * log * 2^33 + position of the first entry, because SQLite is quickest at the end of an integer key.
 */
import { statSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import {
  assert,
  type Cursor,
  type Epoch,
  logKey,
  type LogName,
  type Position,
  system as realSystem,
  type System,
  TidemarkError,
} from '@tidemark/shared'
import { isNamedBy, judgeChains, takeApart } from './judge.ts'
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
import { Append, Recent } from './sqlite-append.ts'
import {
  checkFile,
  checkHeads,
  corrupt,
  type LogRow,
  prepareFile,
  prepareStatements,
  rollback,
  span,
  type Statements,
  toBlob,
  translating,
} from './sqlite-file.ts'

/** How long opening a file waits for other processes that write to it, in ms. */
const openMsMax = 5_000

/** Where a SQLite log lives. */
export interface SqliteLogOptions {
  readonly system?: System
  /**
   * Where the file is made here, it takes the place of another on purpose: devices drop what they have of that.
   * Left out, they take it for one that was lost, and offer their own accepted events again.
   */
  readonly startOver?: boolean
}

/**
 * Opens a log in a file, and creates it where there is none. Throws `LOG_CORRUPT` for a file that is
 * damaged, newer than this program, or something else, and `LOG_UNAVAILABLE` where it cannot be opened.
 */
export function sqliteLog(path: string, options: SqliteLogOptions = {}): Log {
  const opened = translating(() => {
    const bytes = path === ':memory:' ? 0 : (statSync(path, { throwIfNoEntry: false })?.size ?? 0)
    const database = new DatabaseSync(path, { timeout: openMsMax })
    try {
      checkFile(database, bytes)
      return database
    } catch (error) {
      database.close()
      throw error
    }
  })
  return createSqliteLog(opened, options.system ?? realSystem, options.startOver)
}

/** Builds a log on a database that is open already. */
export function createSqliteLog(database: DatabaseSync, system: System, startOver = false): Log {
  return translating(() => new SqliteLog(database, system, startOver))
}

class SqliteLog implements Log {
  readonly #database: DatabaseSync
  readonly #system: System
  readonly #statements: Statements
  readonly #listeners = new Set<(logs: readonly LogName[]) => void>()
  readonly #recent = new Recent()
  readonly #epoch: Epoch
  readonly #isStartedOver: boolean

  constructor(database: DatabaseSync, system: System, startOver: boolean) {
    this.#database = database
    this.#system = system
    // FULL: a commit that was answered survives a power cut. While a file is opened another gateway may
    // write to it, or repair what a killed one left. Runs of entries are long, so larger pages are fewer to
    // write (a file keeps those it was made with). A checkpoint at 32 MiB, and the WAL is cut back to 64.
    database.exec(`
      pragma busy_timeout = ${openMsMax}; pragma page_size = 8192;
      pragma journal_mode = wal; pragma synchronous = full;
      pragma wal_autocheckpoint = 4000; pragma journal_size_limit = 67108864;
      pragma cache_size = -32768; pragma foreign_keys = off;
    `)
    const meta = prepareFile(database, system, startOver)
    this.#epoch = meta.epoch
    this.#isStartedOver = meta.isStartedOver
    this.#statements = prepareStatements(database)
    checkHeads(database)
    // From now on a lock is waited for shortly, since we are on the thread that serves everybody.
    database.exec('pragma busy_timeout = 100')
  }

  async append(chains: readonly (readonly Attempt[])[]): Promise<readonly (readonly Outcome[])[]> {
    const append = new Append(this.#statements, this.#recent, this.#system.now(), this.#epoch)
    const outcomes = this.#transact(() => {
      this.#recent.check(this.#statements.version.get()?.['data_version'])
      const judged = judgeChains(chains, append)
      append.flush()
      return judged
    })
    append.remember()
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
        ...(this.#isStartedOver && { isStartedOver: true }),
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

  async locate(log: LogName, cursor: Cursor): Promise<Position> {
    const { position, id } = cursor
    return translating(() => {
      const row = this.#row(log)
      const head = row?.head ?? 0
      if (!row || position > head) return head as Position
      const verdict = id && this.#statements.verdict.get(row.log, toBlob(id))
      const isThere = verdict && verdict['position'] === position
      const stands = isThere && isNamedBy(cursor, takeApart(this.#lineAt(row.log * span, position)))
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

  #lineAt(base: number, position: number): string {
    const run = this.#statements.runHolding.get(base, base + position)
    const line = String(run?.['lines']).split('\n')[base + position - Number(run?.['key'])]
    if (line === undefined) throw corrupt(`no entry at ${base + position}`)
    return line
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
      this.#statements.begin.run()
      try {
        const result = body()
        this.#statements.commit.run()
        return result
      } catch (error) {
        rollback(this.#database)
        throw error
      }
    })
  }
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

/** A row of `parked`; where nothing was asked for there is no remedy. */
function toParked({ remedy, ...parked }: Readonly<Record<string, unknown>>): Parked {
  return (remedy === null ? parked : { ...parked, remedy }) as unknown as Parked
}

interface LeaseRow {
  readonly holder: string
  readonly term: number
  readonly until: number
}
