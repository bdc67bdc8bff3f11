/**
 * A store in a SQLite file, for Node: the same client in a kiosk, a gateway at the edge, a command line.
 * Several processes may open one file, and what they append gets one order. To the gateway they are one device,
 * of which one may be connected: unless their clients are handed `locks` that they share, only one should have
 * a client. What an append has resolved for survives a loss of power (`synchronous=FULL`).
 */
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import {
  type Cursor,
  type EventId,
  type LogName,
  type Position,
  system as realSystem,
  type System,
  TidemarkError,
} from '@tidemark/shared'
import { isSamePlace } from './layout.ts'
import {
  readCheckpoints,
  readStates,
  statesSchema,
  stateStatements,
  writeStates,
} from './sqlite-states.ts'
import {
  type Accepted,
  type AnyRefused,
  type Batch,
  type Checkpoint,
  type Fate,
  type Identity,
  type Loaded,
  type LoadedLog,
  type OutboxRow,
  type Store,
  toResolved,
} from './store.ts'

/** The layout of the file. A file with a higher number was written by a newer version. */
const layout = 4
const applicationId = 0x74696463

const schema = `
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
  pragma application_id = ${applicationId};
`

/** What takes a file from each layout to the next; outbox rows have to survive. */
const upgrades = [
  // Layout 2: decisions that are made anew. What is there already may have been handed to a link.
  `
  create table fates (n integer primary key autoincrement, fate text not null);
  create table fated (id text primary key, n integer not null) without rowid;
  create table link (handed integer not null);
  insert into link select coalesce((select seq from sqlite_sequence where name = 'outbox'), 0);
`,
  // Layout 3: the states of models.
  statesSchema,
  // Layout 4: what is offered again, under numbers below those of all others.
  'alter table link add column lowest integer not null default 0',
]

const statements = {
  identity: 'select clientId, incarnation from device',
  introduce: 'insert into device values (?, ?)',
  append: 'insert into outbox (batch) values (?)',
  offer: 'insert into outbox values (?, ?)',
  lower: 'update link set lowest = lowest - ? returning lowest',
  rows: 'select seq, batch from outbox where seq > ? order by seq',
  isPending: 'select 1 as found from outbox where seq = ?',
  settle: 'delete from outbox where seq = ?',
  log: 'select cursor, rewinds from logs where topic = ? and scope = ?',
  move: `insert into logs (topic, scope, cursor) values (?, ?, ?)
    on conflict do update set cursor = excluded.cursor`,
  rewound: 'update logs set rewinds = rewinds + 1 where topic = ? and scope = ?',
  write: 'insert into entries values (?, ?, ?, ?)',
  after: `select line from entries where topic = ? and scope = ? and position > ?
    order by position`,
  drop: 'delete from entries where topic = ? and scope = ? and position > ?',
  refuse: 'insert or replace into refused values (?, ?)',
  refused: 'select refused from refused',
  findRefused: 'select refused from refused where id = ?',
  discard: 'delete from refused where id = ?',
  accept: 'insert or replace into accepted values (?, ?)',
  accepted: 'select accepted from accepted where id = ?',
  addFate: 'insert into fates (fate) values (?)',
  addFated: 'insert or replace into fated values (?, ?)',
  fates: 'select fate from fates where n > ? order by n',
  newestFate: 'select coalesce(max(n), 0) as n from fates',
  fate: 'select fate from fates join fated using (n) where id = ?',
  handed: 'select handed from link',
  link: `update link set handed = ${Number.MAX_SAFE_INTEGER}`,
  unlink: `update link set handed = coalesce((select seq from sqlite_sequence where name = 'outbox'), 0)
    where handed = ${Number.MAX_SAFE_INTEGER}`,
  ...stateStatements,
} as const

type Statements = { readonly [Name in keyof typeof statements]: StatementSync }
type Row = Readonly<Record<string, string>>

interface LogRow {
  readonly cursor: string | null
  readonly rewinds: number
}

/** What a SQLite store is made of. */
export interface SqliteStoreOptions {
  readonly system?: System
}

/** Opens a store on a file, which is made if it is not there, or on `:memory:`. */
export function sqliteStore(path: string, { system = realSystem }: SqliteStoreOptions = {}): Store {
  return new SqliteStore(path, system)
}

class SqliteStore implements Store {
  readonly #path: string
  readonly #system: System
  #open: { readonly database: DatabaseSync; readonly run: Statements } | undefined
  #isClosed = false

  constructor(path: string, system: System) {
    this.#path = path
    this.#system = system
  }

  async open(): Promise<Identity> {
    return this.#transact(({ identity, introduce }) => {
      const known = identity.get() as unknown as Identity | undefined
      if (known) return { ...known }
      const made = { clientId: this.#system.uuid(), incarnation: this.#system.uuid() }
      introduce.run(made.clientId, made.incarnation)
      return made
    })
  }

  async append(
    batches: Parameters<Store['append']>[0],
    _durability?: Parameters<Store['append']>[1],
    resolved: readonly EventId[] = [],
  ): Promise<readonly number[]> {
    return this.#transact((run) => {
      for (const id of resolved) {
        if (!resolve(run, id)) throw new TidemarkError('NOT_REFUSED', { id })
      }
      return batches.map((batch) => Number(run.append.run(JSON.stringify(batch)).lastInsertRowid))
    })
  }

  async load(seen: Parameters<Store['load']>[0], bytesMax: number): ReturnType<Store['load']> {
    return this.#transact((run) => ({
      logs: seen.logs.map((log) => loadLog(run, log, bytesMax)),
      ...readRows(run, seen.seq, bytesMax),
      left: seen.pending.filter((seq) => !run.isPending.get(seq)),
      refused: run.refused
        .all()
        .map((row) => JSON.parse((row as Row)['refused'] ?? '') as AnyRefused),
      fates: loadFates(run, seen.fate),
      states: (seen.wants ?? []).map((want) => readStates(run, want)),
    }))
  }

  async apply(
    pages: Parameters<Store['apply']>[0],
    settled: readonly number[],
    setAside: readonly AnyRefused[] = [],
  ): Promise<boolean> {
    return this.#transact((run) => {
      const fits = pages.every((page) => (cursorOf(run, page)?.position ?? 0) === page.after)
      if (!fits) return false
      for (const { topic, scope, after, lines, cursor } of pages) {
        for (const [at, line] of lines.entries()) run.write.run(topic, scope, after + at + 1, line)
        run.move.run(topic, scope, JSON.stringify(cursor))
      }
      for (const seq of settled) run.settle.run(seq)
      for (const each of setAside) run.refuse.run(each.id, JSON.stringify(each))
      return true
    })
  }

  async settle({ seqs, refused, accepted }: Parameters<Store['settle']>[0]): Promise<void> {
    this.#transact((run) => {
      for (const seq of seqs) run.settle.run(seq)
      for (const each of refused) run.refuse.run(each.id, JSON.stringify(each))
      for (const each of accepted) run.accept.run(each.id, JSON.stringify(each))
    })
  }

  async replace(seq: number, fate: Fate, next: Batch): Promise<boolean> {
    return this.#transact((run) => {
      if (run.settle.run(seq).changes === 0) return false
      writeFate(run, fate)
      run.append.run(JSON.stringify(next))
      return true
    })
  }

  async withdraw(seq: number, fate: Fate): Promise<boolean> {
    return this.#transact((run) => {
      const { handed } = run.handed.get() as unknown as { readonly handed: number }
      if (seq <= handed || run.settle.run(seq).changes === 0) return false
      writeFate(run, fate)
      return true
    })
  }

  async linked(isLinked: boolean): Promise<void> {
    this.#transact(({ link, unlink }) => void (isLinked ? link : unlink).run())
  }

  async fate(id: EventId): Promise<Fate | undefined> {
    return this.#transact((run) => {
      const row = run.fate.get(id)
      return row && toFate(row)
    })
  }

  async rewind(
    log: LogName,
    from: Cursor | undefined,
    to: Cursor,
    offered: readonly Batch[],
  ): Promise<boolean> {
    const { topic, scope } = log
    return this.#transact((run) => {
      if (!isSamePlace(cursorOf(run, log), from)) return false
      run.drop.run(topic, scope, to.position)
      run.move.run(topic, scope, JSON.stringify(to))
      run.rewound.run(topic, scope)
      const { lowest } = run.lower.get(offered.length) as unknown as { readonly lowest: number }
      for (const [at, batch] of offered.entries()) run.offer.run(lowest + at, JSON.stringify(batch))
      return true
    })
  }

  async read(log: LogName, position: Position, bytesMax: number): ReturnType<Store['read']> {
    return this.#transact((run) => readLines(run, log, position, bytesMax))
  }

  async checkpoints(): Promise<readonly Checkpoint[]> {
    return this.#transact(readCheckpoints)
  }

  async writeStates(...written: Parameters<Store['writeStates']>): Promise<Position | undefined> {
    return this.#transact((run) => writeStates(run, ...written))
  }

  async accepted(id: EventId): Promise<Accepted | undefined> {
    return this.#transact((run) => {
      const row = run.accepted.get(id) as Row | undefined
      return row && (JSON.parse(row['accepted'] ?? '') as Accepted)
    })
  }

  async discard(ids: readonly EventId[]): Promise<void> {
    this.#transact((run) => {
      for (const id of ids) resolve(run, id)
    })
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#open?.database.close()
    this.#open = undefined
  }

  async destroy(): Promise<void> {
    this.#transact(() => {
      const database = this.#open?.database
      const tables = database?.prepare(`select name from sqlite_schema where type = 'table'`).all()
      for (const { name } of tables ?? []) {
        // SQLite's own tables are emptied; they go with the others.
        const own = String(name).startsWith('sqlite_')
        database?.exec(own ? `delete from ${name}` : `drop table ${name}`)
      }
      database?.exec('pragma user_version = 0')
    })
    // What is deleted is not to be found in the file.
    this.#open?.database.exec('vacuum')
    await this.close()
  }

  /** Runs one transaction. What it throws has written nothing. */
  #transact<Result>(work: (run: Statements) => Result): Result {
    if (this.#isClosed) throw new TidemarkError('STORAGE_LOST', { reason: 'closed' })
    try {
      this.#open ??= openFile(this.#path)
      const { database, run } = this.#open
      database.exec('begin immediate')
      try {
        const result = work(run)
        database.exec('commit')
        return result
      } catch (error) {
        if (database.isTransaction) database.exec('rollback')
        throw error
      }
    } catch (error) {
      throw toTidemarkError(error)
    }
  }
}

function openFile(path: string) {
  const database = new DatabaseSync(path)
  try {
    database.exec(`
      pragma busy_timeout = 2000; pragma journal_mode = wal; pragma synchronous = full;
      pragma journal_size_limit = 67108864;
    `)
    prepareLayout(database)
    const run = Object.fromEntries(
      Object.entries(statements).map(([name, sql]) => [name, database.prepare(sql)]),
    ) as Statements
    return { database, run }
  } catch (error) {
    database.close()
    throw error
  }
}

function prepareLayout(database: DatabaseSync): void {
  const pragma = (name: string) => Number(database.prepare(`pragma ${name}`).get()?.[name])
  database.exec('begin immediate')
  try {
    const found = pragma('user_version')
    if (found > layout) throw new TidemarkError('STORE_TOO_NEW')
    const isOurs = pragma('application_id') === applicationId
    const isEmpty = !database.prepare('select 1 from sqlite_schema').get()
    if (!isOurs && !isEmpty) {
      throw new TidemarkError('STORAGE_UNAVAILABLE', { reason: 'a file of another program' })
    }
    if (isEmpty) database.exec(schema)
    for (const upgrade of upgrades.slice(isEmpty ? 0 : found - 1)) database.exec(upgrade)
    database.exec(`pragma user_version = ${layout}`)
    database.exec('commit')
  } catch (error) {
    if (database.isTransaction) database.exec('rollback')
    throw error
  }
}

const cursorOf = (run: Statements, { topic, scope }: LogName): Cursor | undefined => {
  const row = run.log.get(topic, scope) as LogRow | undefined
  return row?.cursor ? (JSON.parse(row.cursor) as Cursor) : undefined
}

function readRows({ rows }: Statements, seq: number, bytesMax: number) {
  const read: OutboxRow[] = []
  let bytes = 0
  for (const row of rows.iterate(seq || -Infinity)) {
    if (bytes > bytesMax) return { rows: read, moreRows: true }
    read.push(toOutboxRow(row))
    bytes += String(row['batch']).length
  }
  return { rows: read, moreRows: false }
}

const toOutboxRow = (row: unknown): OutboxRow => {
  const { seq, batch } = row as { readonly seq: number; readonly batch: string }
  return { ...(JSON.parse(batch) as Omit<OutboxRow, 'seq'>), seq }
}

const toFate = (row: unknown): Fate => JSON.parse((row as Row)['fate'] ?? '') as Fate

function writeFate({ addFate, addFated }: Statements, fate: Fate): void {
  const n = addFate.run(JSON.stringify(fate)).lastInsertRowid
  for (const id of fate.ids) addFated.run(id, n)
}

/** Takes a refused event off its list. Answers whether it was on it. */
function resolve(run: Statements, id: EventId): boolean {
  const row = run.findRefused.get(id) as Row | undefined
  if (!row) return false
  const fate = toResolved(JSON.parse(row['refused'] ?? '') as AnyRefused)
  run.discard.run(id)
  if (fate) writeFate(run, fate)
  return true
}

function loadFates(run: Statements, seen: number | undefined): Loaded['fates'] {
  const { n } = run.newestFate.get() as unknown as { readonly n: number }
  return { upTo: n, rows: run.fates.all(seen ?? n).map(toFate) }
}

function loadLog(
  run: Statements,
  { topic, scope, position }: LogName & { readonly position: Position | undefined },
  bytesMax: number,
): LoadedLog {
  const log = { topic, scope }
  const { rewinds = 0 } = (run.log.get(topic, scope) as LogRow | undefined) ?? {}
  const page =
    position === undefined ? { lines: [], more: false } : readLines(run, log, position, bytesMax)
  return { ...log, cursor: cursorOf(run, log), rewinds, ...page }
}

function readLines(
  run: Statements,
  { topic, scope }: LogName,
  position: Position,
  bytesMax: number,
): { readonly lines: readonly string[]; readonly more: boolean } {
  const lines: string[] = []
  let bytes = 0
  for (const row of run.after.iterate(topic, scope, position)) {
    if (lines.length > 0 && bytes >= bytesMax) return { lines, more: true }
    const { line } = row as { readonly line: string }
    lines.push(line)
    bytes += line.length
  }
  return { lines, more: false }
}

/** SQLite's primary result codes. */
const busy = 5
const locked = 6
const readOnly = 8
const full = 13
const cannotOpen = 14
const notADatabase = 26
const corrupt = 11

function toTidemarkError(error: unknown): TidemarkError {
  if (error instanceof TidemarkError) return error
  const { errcode = 0, message } = error as { readonly errcode?: number; readonly message: string }
  const primary = errcode & 0xff
  const options = { cause: error }
  if (primary === full) return new TidemarkError('STORAGE_FULL', undefined, options)
  if (primary === busy || primary === locked) {
    return new TidemarkError('STORAGE_BLOCKED', undefined, options)
  }
  if ([readOnly, cannotOpen, notADatabase, corrupt].includes(primary)) {
    return new TidemarkError('STORAGE_UNAVAILABLE', { reason: message }, options)
  }
  return new TidemarkError('STORAGE_LOST', { reason: message }, options)
}
