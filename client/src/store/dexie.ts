/**
 * The store in IndexedDB. Dexie opens the database, upgrades it and makes way for newer versions; the
 * transactions run on the connection itself, because each needs its own durability and an early
 * `commit`, and because IndexedDB charges for each request: entries are kept in segments of many.
 */
import { Dexie } from 'dexie'
import {
  type Cursor,
  isTidemarkError,
  logKey,
  type LogName,
  type Position,
  type System,
  system as realSystem,
  TidemarkError,
} from '@tidemark/shared'
import type {
  Accepted,
  Batch,
  Durability,
  Identity,
  LoadedLog,
  OutboxRow,
  Page,
  Refused,
  Seen,
  Settlement,
  Store,
} from './store.ts'

/** Where the database is. */
export interface DexieStoreOptions {
  /** The database's name. */
  readonly name: string
  readonly system?: System | undefined
  /** The platform's own unless given. */
  readonly indexedDB?: IDBFactory
  readonly IDBKeyRange?: typeof IDBKeyRange
}

/** Entries that follow each other, under the key `[log, position of the last]`. */
interface Segment {
  readonly first: number
  /** One line for each entry. */
  readonly text: string
}

interface LogRow {
  readonly cursor?: Cursor | undefined
  readonly rewinds: number
}

/** The segment that was written last: what is small is written again together with what follows. */
interface Tail extends Segment {
  readonly last: number
}

const schemas = [
  // Version 1. Outbox rows have to survive every later one.
  { meta: '', outbox: '++seq', entries: '', logs: '', refused: 'id', accepted: 'id' },
]
/** Dexie multiplies versions by ten. */
const newestVersion = schemas.length * 10

type StoreName = 'meta' | 'outbox' | 'entries' | 'logs' | 'refused' | 'accepted'

/** An upgrade that another tab blocks may wait for ever, and IndexedDB does not always say so. */
const openMsMax = 3_000
const segmentLengthMin = 16_384
const segmentLengthMax = 131_072

/** Opens a store in IndexedDB when it is first used. Several tabs may have the same one open. */
export function dexieStore(options: DexieStoreOptions): Store {
  return new DexieStore(options)
}

class DexieStore implements Store {
  readonly #db: Dexie
  readonly #system: System
  readonly #factory: IDBFactory
  readonly #range: typeof IDBKeyRange
  readonly #tails = new Map<string, Tail>()
  #isClosed = false
  #isOutdated = false

  constructor(options: DexieStoreOptions) {
    const { name, system = realSystem, indexedDB = globalThis.indexedDB } = options
    this.#system = system
    this.#range = options.IDBKeyRange ?? globalThis.IDBKeyRange
    this.#factory = indexedDB
    this.#db = new Dexie(name, { indexedDB, IDBKeyRange: this.#range, autoOpen: false })
    for (const [at, schema] of schemas.entries()) this.#db.version(at + 1).stores(schema)
    // A newer version of the app wants to upgrade: make way, and say so from now on.
    this.#db.on('versionchange', ({ newVersion }) => {
      // Nothing is newer where the database is deleted; the next use makes an empty one.
      this.#isOutdated = newVersion !== null
      this.#db.close()
    })
  }

  open(): Promise<Identity> {
    const fresh = { clientId: this.#system.uuid(), incarnation: this.#system.uuid() }
    return this.#transact(['meta'], 'readwrite', (tx) => {
      const meta = tx.objectStore('meta')
      const known = meta.get('identity') as IDBRequest<Identity | undefined>
      known.onsuccess = () => {
        if (!known.result) meta.put(fresh, 'identity')
      }
      return () => known.result ?? fresh
    })
  }

  append(batches: readonly Batch[], durability?: Durability): Promise<readonly number[]> {
    const write = (tx: IDBTransaction): (() => readonly number[]) => {
      const outbox = tx.objectStore('outbox')
      let last: IDBRequest<IDBValidKey> | undefined
      for (const batch of batches) last = outbox.add(batch)
      tx.commit()
      // Nobody comes between: the keys of one transaction follow each other.
      return () => batches.map((_batch, at) => Number(last?.result) - batches.length + 1 + at)
    }
    return this.#transact(['outbox'], 'readwrite', write, durability)
  }

  load(seen: Seen, bytesMax: number): ReturnType<Store['load']> {
    return this.#transact(['outbox', 'entries', 'logs', 'refused'], 'readonly', (tx) => {
      const logs = seen.logs.map((log) => this.#loadLog(tx, log, bytesMax))
      const range = this.#range.lowerBound(seen.seq, true)
      const rows = tx.objectStore('outbox').getAll(range) as IDBRequest<OutboxRow[]>
      const kept = this.#readKept(tx, seen.pending)
      const refused = tx.objectStore('refused').getAll() as IDBRequest<Refused[]>
      return () => ({
        logs: logs.map((read) => read()),
        rows: rows.result,
        left: kept ? without(seen.pending, kept.result as number[]) : [],
        refused: refused.result,
      })
    })
  }

  /** The rows that there are from the first of these to the last. */
  #readKept(tx: IDBTransaction, seqs: readonly number[]): IDBRequest | undefined {
    const [first] = seqs
    if (first === undefined) return undefined
    const last = seqs.at(-1) ?? first
    return tx.objectStore('outbox').getAllKeys(this.#range.bound(first, last))
  }

  #loadLog(
    tx: IDBTransaction,
    { topic, scope, position }: Seen['logs'][number],
    bytesMax: number,
  ): () => LoadedLog {
    const row = tx.objectStore('logs').get(logKey({ topic, scope })) as IDBRequest<
      LogRow | undefined
    >
    const read = this.#readSegments(tx, { topic, scope }, position, bytesMax)
    return () => {
      const { cursor, rewinds = 0 } = row.result ?? {}
      return { topic, scope, cursor, rewinds, ...read() }
    }
  }

  #readSegments(tx: IDBTransaction, log: LogName, position: Position, bytesMax: number) {
    const segmentsMax = Math.ceil(bytesMax / segmentLengthMin)
    const range = this.#after(log, position)
    const found = tx.objectStore('entries').getAll(range, segmentsMax) as IDBRequest<Segment[]>
    return () => ({
      lines: found.result.flatMap(({ first, text }) =>
        text.split('\n').slice(Math.max(0, position + 1 - first)),
      ),
      more: found.result.length === segmentsMax,
    })
  }

  #after(log: LogName, position: number): IDBKeyRange {
    const key = logKey(log)
    return this.#range.bound([key, position], [key, Infinity], true)
  }

  async apply(pages: readonly Page[], settled: readonly number[]): Promise<boolean> {
    const writes = pages.map((page) => {
      const tail = this.#tails.get(logKey(page))
      return { page, segments: toSegments(page, tail?.last === page.after ? tail : undefined) }
    })
    const isWritten = await this.#transact(['outbox', 'entries', 'logs'], 'readwrite', (tx) => {
      let fits = false
      const rows = pages.map(
        (page) => tx.objectStore('logs').get(logKey(page)) as IDBRequest<LogRow | undefined>,
      )
      const write = (): void => {
        fits = pages.every(({ after }, at) => (rows[at]?.result?.cursor?.position ?? 0) === after)
        if (!fits) return
        for (const [at, { page, segments }] of writes.entries()) {
          const rewinds = rows[at]?.result?.rewinds ?? 0
          tx.objectStore('logs').put({ cursor: page.cursor, rewinds }, logKey(page))
          writeSegments(tx, page, segments)
        }
        for (const seq of settled) tx.objectStore('outbox').delete(seq)
        tx.commit()
      }
      const last = rows.at(-1)
      if (last) last.onsuccess = write
      return () => fits
    })
    for (const { page, segments } of writes) {
      const tail = segments.at(-1)
      if (isWritten && tail) this.#tails.set(logKey(page), tail)
      else this.#tails.delete(logKey(page))
    }
    return isWritten
  }

  settle({ seqs, refused, accepted }: Settlement): Promise<void> {
    return this.#transact(['outbox', 'refused', 'accepted'], 'readwrite', (tx) => {
      for (const seq of seqs) tx.objectStore('outbox').delete(seq)
      for (const each of refused) tx.objectStore('refused').put(each)
      for (const each of accepted) tx.objectStore('accepted').put(each)
      tx.commit()
      return () => undefined
    })
  }

  rewind(log: LogName, cursor: Cursor): Promise<void> {
    const key = logKey(log)
    this.#tails.delete(key)
    return this.#transact(['entries', 'logs'], 'readwrite', (tx) => {
      const [entries, logs] = [tx.objectStore('entries'), tx.objectStore('logs')]
      const { position } = cursor
      const range = this.#after(log, position)
      const row = logs.get(key) as IDBRequest<LogRow | undefined>
      const cut = entries.getAll(range, 1) as IDBRequest<Segment[]>
      cut.onsuccess = () => {
        entries.delete(range)
        const [segment] = cut.result
        if (segment && segment.first <= position) {
          const lines = segment.text.split('\n').slice(0, position - segment.first + 1)
          entries.put({ first: segment.first, text: lines.join('\n') }, [key, position])
        }
        logs.put({ cursor, rewinds: (row.result?.rewinds ?? 0) + 1 }, key)
      }
      return () => undefined
    })
  }

  read(log: LogName, position: Position, bytesMax: number): ReturnType<Store['read']> {
    return this.#transact(['entries'], 'readonly', (tx) =>
      this.#readSegments(tx, log, position, bytesMax),
    )
  }

  accepted(id: string): Promise<Accepted | undefined> {
    return this.#transact(['accepted'], 'readonly', (tx) => {
      const found = tx.objectStore('accepted').get(id) as IDBRequest<Accepted | undefined>
      return () => found.result
    })
  }

  discard(ids: readonly string[]): Promise<void> {
    return this.#transact(['refused'], 'readwrite', (tx) => {
      for (const id of ids) tx.objectStore('refused').delete(id)
      return () => undefined
    })
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#db.close()
  }

  /**
   * Runs one transaction. `issue` makes its requests and answers with what reads their results once it is
   * complete. A full disk shows itself nowhere but in the transaction's abort.
   */
  async #transact<Result>(
    stores: readonly StoreName[],
    mode: IDBTransactionMode,
    issue: (tx: IDBTransaction) => () => Result,
    durability: Durability = 'relaxed',
  ): Promise<Result> {
    const tx = await this.#begin(stores, mode, durability)
    return new Promise((resolve, reject) => {
      const read = issue(tx)
      tx.oncomplete = () => resolve(read())
      tx.onabort = () => reject(toTidemarkError(tx.error))
    })
  }

  async #begin(
    stores: readonly StoreName[],
    mode: IDBTransactionMode,
    durability: Durability,
  ): Promise<IDBTransaction> {
    for (let attempt = 0; ; attempt++) {
      await this.#connect()
      try {
        return this.#db.backendDB().transaction([...stores], mode, { durability })
      } catch (error) {
        // The connection was lost behind our back, as WebKit does in the background: nothing is written yet.
        this.#db.close({ disableAutoOpen: false })
        if (attempt > 0) throw toTidemarkError(error)
      }
    }
  }

  async #connect(): Promise<void> {
    if (this.#isClosed) throw new TidemarkError('STORAGE_LOST', { reason: 'closed' })
    if (this.#isOutdated) throw new TidemarkError('STORE_TOO_NEW')
    if (this.#db.isOpen()) return
    await this.#checkVersion()
    await new Promise<void>((resolve, reject) => {
      const blocked = (): void => reject(new TidemarkError('STORAGE_BLOCKED'))
      const cancel = this.#system.after(openMsMax, blocked)
      this.#db.open().then(
        () => (cancel(), resolve()),
        (error: unknown) => (cancel(), reject(toTidemarkError(error))),
      )
    })
  }

  /** Dexie opens a database of a newer version too, and mends what it misses there. This code must not write to one. */
  async #checkVersion(): Promise<void> {
    let version = 0
    try {
      const databases = await this.#factory.databases()
      version = databases.find(({ name }) => name === this.#db.name)?.version ?? 0
    } catch {
      // An older browser cannot say; opening will tell what else is wrong.
    }
    if (version <= newestVersion) return
    this.#isOutdated = true
    throw new TidemarkError('STORE_TOO_NEW')
  }
}

interface PlacedSegment extends Tail {
  /** The segment that this one takes the place of. */
  readonly replaces?: number
}

/** Cuts lines into segments. A small tail is written again as the beginning of the first. */
function toSegments(page: Page, tail: Tail | undefined): readonly PlacedSegment[] {
  const merged = tail && tail.text.length < segmentLengthMin ? tail : undefined
  const segments: PlacedSegment[] = []
  let lines: string[] = merged ? [merged.text] : []
  let length = merged?.text.length ?? 0
  let first = merged?.first ?? page.after + 1
  for (const [at, line] of page.lines.entries()) {
    lines.push(line)
    length += line.length + 1
    const last = page.after + at + 1
    if (length < segmentLengthMax && at < page.lines.length - 1) continue
    const replaces = merged && segments.length === 0 ? { replaces: merged.last } : {}
    segments.push({ first, last, text: lines.join('\n'), ...replaces })
    lines = []
    length = 0
    first = last + 1
  }
  return segments
}

function writeSegments(tx: IDBTransaction, log: LogName, segments: readonly PlacedSegment[]): void {
  const entries = tx.objectStore('entries')
  const key = logKey(log)
  for (const { first, last, text, replaces } of segments) {
    if (replaces !== undefined) entries.delete([key, replaces])
    entries.put({ first, text }, [key, last])
  }
}

/** The one place where names of the platform's and Dexie's errors are read. */
function toTidemarkError(error: unknown): TidemarkError {
  if (isTidemarkError(error)) return error
  const named = error as { readonly name?: string; readonly inner?: unknown } | null
  const options = { cause: error }
  switch (named?.name) {
    case 'QuotaExceededError':
      return new TidemarkError('STORAGE_FULL', undefined, options)
    case 'VersionError':
      return new TidemarkError('STORE_TOO_NEW', undefined, options)
    case 'MissingAPIError':
    case 'SecurityError':
      return new TidemarkError('STORAGE_UNAVAILABLE', { reason: named.name }, options)
    case 'OpenFailedError':
    case 'AbortError':
      if (named.inner) return toTidemarkError(named.inner)
  }
  return new TidemarkError('STORAGE_LOST', { reason: String(error).slice(0, 200) }, options)
}

function without(seqs: readonly number[], kept: readonly number[]): readonly number[] {
  const known = new Set(kept)
  return seqs.filter((seq) => !known.has(seq))
}
