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
import {
  countPacks,
  countSegments,
  cutSegment,
  isSamePlace,
  linesAfter,
  type Pack,
  packBatchesMax,
  type PlacedSegment,
  type Segment,
  segmentKey,
  toPacks,
  toRows,
  toSegments,
  withoutRows,
} from './layout.ts'
import { readCheckpoints, readStates, writeStates } from './dexie-states.ts'
import {
  type Accepted,
  type AnyRefused,
  type Batch,
  type Checkpoint,
  type Durability,
  type Fate,
  type Identity,
  type Loaded,
  type LoadedLog,
  type OutboxRow,
  type Page,
  type Seen,
  type Settlement,
  type Store,
  toResolved,
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

interface LogRow {
  readonly cursor?: Cursor | undefined
  readonly rewinds: number
}

const schemas = [
  // Version 1. Outbox rows have to survive every later one.
  { meta: '', outbox: '++seq', entries: '', logs: '', refused: 'id', accepted: 'id' },
  // Version 2: what became of decisions that were made anew.
  { fates: '++n,*ids' },
  // Version 3: the states of models.
  { builds: '++n,&build', states: ',*by' },
]
/** Dexie multiplies versions by ten. */
const newestVersion = schemas.length * 10

type StoreName =
  | 'meta'
  | 'outbox'
  | 'entries'
  | 'logs'
  | 'refused'
  | 'accepted'
  | 'fates'
  | 'builds'
  | 'states'

/** The key of the number up to which rows may have been handed to a link. */
const handedKey = 'handed'
/** The key of the lowest number that a row was given. */
const lowestKey = 'lowest'

/** Takes a transaction back. */
type Fail = (error: TidemarkError) => void

/** An upgrade that another tab blocks may wait for ever, and IndexedDB does not always say so. */
const openMsMax = 3_000

/** Opens a store in IndexedDB when it is first used. Several tabs may have the same one open. */
export function dexieStore(options: DexieStoreOptions): Store {
  return new DexieStore(options)
}

class DexieStore implements Store {
  readonly #db: Dexie
  readonly #system: System
  readonly #factory: IDBFactory
  readonly #range: typeof IDBKeyRange
  /** The segment of each log that this tab wrote last. */
  readonly #tails = new Map<string, PlacedSegment>()
  /** Rows that are known to have their record for themselves. */
  readonly #alone = new Set<number>()
  #opening: Promise<void> | undefined
  #isClosed = false
  /** Why nothing is read or written any more, until the page is loaded again. */
  #end: 'STORE_TOO_NEW' | 'STORE_DELETED' | undefined
  /** Of the database that this was opened on. */
  #incarnation: string | undefined

  constructor(options: DexieStoreOptions) {
    const { name, system = realSystem, indexedDB = globalThis.indexedDB } = options
    this.#system = system
    this.#range = options.IDBKeyRange ?? globalThis.IDBKeyRange
    this.#factory = indexedDB
    this.#db = new Dexie(name, { indexedDB, IDBKeyRange: this.#range, autoOpen: false })
    for (const [at, schema] of schemas.entries()) this.#db.version(at + 1).stores(schema)
    // What was there before version 2 may have been handed to a link. The end of the next one says up to where.
    this.#db.version(2).upgrade((tx) => tx.table('meta').put(Infinity, handedKey))
    // A newer version of the app wants to upgrade, or somebody to delete: make way, and say so from now on.
    this.#db.on('versionchange', ({ newVersion }) => {
      this.#end = newVersion === null ? 'STORE_DELETED' : 'STORE_TOO_NEW'
      this.#db.close()
    })
  }

  async open(): Promise<Identity> {
    const identity = await this.#identify()
    this.#incarnation = identity.incarnation
    return identity
  }

  #identify(): Promise<Identity> {
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

  async append(
    batches: readonly Batch[],
    durability?: Durability,
    resolved: readonly string[] = [],
  ): Promise<readonly number[]> {
    const write = (tx: IDBTransaction, fail: Fail): (() => readonly Pack[]) => {
      const outbox = tx.objectStore('outbox')
      const [batch, ...others] = batches
      // IndexedDB gives the first its number, and nobody comes between it and the others.
      const first = outbox.add({ batches: [batch] }) as IDBRequest<number>
      if (others.length + resolved.length === 0) {
        // Nothing depends on the number: IndexedDB need not wait for a word from here.
        tx.commit()
        return () => [{ seq: first.result, batches }]
      }
      const packs = (): readonly Pack[] => toPacks(first.result + 1, others)
      first.onsuccess = () => {
        for (const pack of packs()) outbox.add(pack)
        if (resolved.length === 0) return tx.commit()
        resolve(tx, resolved, (id) => fail(new TidemarkError('NOT_REFUSED', { id })))
      }
      return () => [{ seq: first.result, batches: batches.slice(0, 1) }, ...packs()]
    }
    const stores: readonly StoreName[] =
      resolved.length > 0 ? ['outbox', 'refused', 'fates'] : ['outbox']
    const packs = await this.#transact(stores, 'readwrite', write, durability)
    return this.#rowsOf(packs).map((row) => row.seq)
  }

  load({ seq, pending, logs, fate, wants = [] }: Seen, bytesMax: number): Promise<Loaded> {
    const stores: StoreName[] = ['outbox', 'entries', 'logs', 'refused', 'fates']
    if (wants.length > 0) stores.push('builds', 'states')
    return this.#transact(stores, 'readonly', (tx) => {
      const loaded = logs.map((log) => this.#loadLog(tx, log, bytesMax))
      const packsMax = countPacks(bytesMax)
      const rows = this.#readRows(tx, seq === 0 ? -Infinity : seq + 1, Infinity, packsMax)
      const [first] = pending
      const kept = first === undefined ? undefined : this.#readRows(tx, first, pending.at(-1) ?? 0)
      const refused = tx.objectStore('refused').getAll() as IDBRequest<AnyRefused[]>
      const fates = this.#readFates(tx, fate)
      const states = wants.map((want) => readStates(tx, this.#range, want))
      return () => ({
        logs: loaded.map((read) => read()),
        ...rows(),
        left: kept ? without(pending, kept().rows) : [],
        refused: refused.result,
        fates: fates(),
        states: states.map((read) => read()),
      })
    })
  }

  #readFates(tx: IDBTransaction, seen: number | undefined): () => Loaded['fates'] {
    const fates = tx.objectStore('fates')
    const newest = fates.openKeyCursor(null, 'prev')
    const range = this.#range.lowerBound(seen ?? Infinity, true)
    const rows = fates.getAll(range) as IDBRequest<Fate[]>
    return () => ({
      upTo: Number(newest.result?.primaryKey ?? 0),
      rows: rows.result.map(toFate),
    })
  }

  /** The outbox's rows from one number to another. */
  #readRows(tx: IDBTransaction, from: number, to: number, packsMax = Infinity) {
    // The first of them may stand in a pack that begins before.
    const range = this.#range.bound(from - packBatchesMax, to)
    const count = packsMax === Infinity ? undefined : packsMax
    const packs = tx.objectStore('outbox').getAll(range, count) as IDBRequest<Pack[]>
    return () => ({
      rows: this.#rowsOf(packs.result).filter(({ seq }) => seq >= from && seq <= to),
      moreRows: packs.result.length === packsMax,
    })
  }

  /** The rows of packs, remembering which have their record for themselves. */
  #rowsOf(packs: readonly Pack[]): readonly OutboxRow[] {
    for (const { seq, batches } of packs) if (batches.length === 1) this.#alone.add(seq)
    return packs.flatMap(toRows)
  }

  /** Takes rows out of the outbox, where it must be out of the middle of their packs. Then `done` is called. */
  #removeRows(tx: IDBTransaction, seqs: readonly number[], done: () => void): void {
    const outbox = tx.objectStore('outbox')
    const packed = seqs.filter((seq) => !this.#alone.has(seq))
    for (const seq of seqs) if (this.#alone.delete(seq)) outbox.delete(seq)
    if (packed.length === 0) return done()
    const gone = new Set(packed)
    const [first, last] = [packed.reduce(lesser), packed.reduce(greater)]
    const found = outbox.getAll(this.#range.bound(first - packBatchesMax, last))
    found.onsuccess = () => {
      for (const pack of found.result as Pack[]) {
        const left = withoutRows(pack, gone)
        if (!left) outbox.delete(pack.seq)
        else if (left !== pack) outbox.put(left)
      }
      done()
    }
  }

  #loadLog(
    tx: IDBTransaction,
    { topic, scope, position }: Seen['logs'][number],
    bytesMax: number,
  ): () => LoadedLog {
    const row = tx.objectStore('logs').get(logKey({ topic, scope })) as IDBRequest<
      LogRow | undefined
    >
    const read =
      position === undefined
        ? () => ({ lines: [], more: false })
        : this.#readSegments(tx, { topic, scope }, position, bytesMax)
    return () => {
      const { cursor, rewinds = 0 } = row.result ?? {}
      return { topic, scope, cursor, rewinds, ...read() }
    }
  }

  #readSegments(tx: IDBTransaction, log: LogName, position: Position, bytesMax: number) {
    const segmentsMax = countSegments(bytesMax)
    const range = this.#after(log, position)
    const found = tx.objectStore('entries').getAll(range, segmentsMax) as IDBRequest<Segment[]>
    return () => ({
      lines: found.result.flatMap((segment) => linesAfter(segment, position)),
      more: found.result.length === segmentsMax,
    })
  }

  #after(log: LogName, position: number): IDBKeyRange {
    return this.#range.bound(segmentKey(log, position), segmentKey(log, Infinity), true)
  }

  async apply(
    pages: readonly Page[],
    settled: readonly number[],
    setAside: readonly AnyRefused[] = [],
  ): Promise<boolean> {
    const writes = pages.map((page) => {
      return { page, segments: toSegments(page, this.#tails.get(logKey(page))) }
    })
    const stores: StoreName[] = ['outbox', 'entries', 'logs']
    if (setAside.length > 0) stores.push('refused')
    const isWritten = await this.#transact(stores, 'readwrite', (tx) => {
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
        for (const each of setAside) tx.objectStore('refused').put(each)
        this.#removeRows(tx, settled, () => tx.commit())
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
      for (const each of refused) tx.objectStore('refused').put(each)
      for (const each of accepted) tx.objectStore('accepted').put(each)
      this.#removeRows(tx, seqs, () => tx.commit())
      return () => undefined
    })
  }

  replace(seq: number, fate: Fate, next: Batch): Promise<boolean> {
    const write = (tx: IDBTransaction): (() => boolean) =>
      this.#leave(tx, seq, () => {
        tx.objectStore('fates').add(fate)
        tx.objectStore('outbox').add({ batches: [next] })
      })
    // What is sent in its place must not outlive it.
    return this.#transact(['outbox', 'fates'], 'readwrite', write, 'strict')
  }

  withdraw(seq: number, fate: Fate): Promise<boolean> {
    const write = (tx: IDBTransaction): (() => boolean) => {
      const handed = tx.objectStore('meta').get(handedKey) as IDBRequest<number | undefined>
      let left = (): boolean => false
      handed.onsuccess = () => {
        if (seq <= (handed.result ?? 0)) return
        left = this.#leave(tx, seq, () => void tx.objectStore('fates').add(fate))
      }
      return () => left()
    }
    // The app has been told that it will not be sent.
    return this.#transact(['outbox', 'fates', 'meta'], 'readwrite', write, 'strict')
  }

  /** Takes out a row and goes on with `done`, if it is there. Answers whether it was. */
  #leave(tx: IDBTransaction, seq: number, done: () => void): () => boolean {
    let wasThere = false
    const packs = tx.objectStore('outbox').getAll(this.#range.bound(seq - packBatchesMax, seq))
    packs.onsuccess = () => {
      wasThere = (packs.result as Pack[]).flatMap(toRows).some((row) => row.seq === seq)
      if (wasThere) this.#removeRows(tx, [seq], done)
    }
    return () => wasThere
  }

  linked(isLinked: boolean): Promise<void> {
    const write = (tx: IDBTransaction): (() => void) => {
      const meta = tx.objectStore('meta')
      if (isLinked) {
        meta.put(Infinity, handedKey)
        return () => undefined
      }
      const newest = tx.objectStore('outbox').openCursor(null, 'prev')
      const handed = meta.get(handedKey)
      handed.onsuccess = () => {
        const pack = newest.result?.value as Pack | undefined
        const last = pack ? pack.seq + pack.batches.length - 1 : 0
        if (handed.result === Infinity) meta.put(last, handedKey)
      }
      return () => undefined
    }
    // What is sent after this must not be withdrawn after a loss of power.
    return this.#transact(['outbox', 'meta'], 'readwrite', write, 'strict')
  }

  fate(id: string): Promise<Fate | undefined> {
    return this.#transact(['fates'], 'readonly', (tx) => {
      const found = tx.objectStore('fates').index('ids').get(id) as IDBRequest<Fate | undefined>
      return () => found.result && toFate(found.result)
    })
  }

  rewind(
    log: LogName,
    from: Cursor | undefined,
    to: Cursor,
    offered: readonly Batch[],
  ): Promise<boolean> {
    const key = logKey(log)
    this.#tails.delete(key)
    return this.#transact(['entries', 'logs', 'outbox', 'meta'], 'readwrite', (tx) => {
      const [entries, logs] = [tx.objectStore('entries'), tx.objectStore('logs')]
      const { position } = to
      const range = this.#after(log, position)
      let fits = false
      const row = logs.get(key) as IDBRequest<LogRow | undefined>
      const cut = entries.getAll(range, 1) as IDBRequest<Segment[]>
      cut.onsuccess = () => {
        fits = isSamePlace(row.result?.cursor, from)
        if (!fits) return
        entries.delete(range)
        const [segment] = cut.result
        if (segment && segment.first <= position) {
          entries.put(cutSegment(segment, position), segmentKey(log, position))
        }
        logs.put({ cursor: to, rewinds: (row.result?.rewinds ?? 0) + 1 }, key)
        offerAgain(tx, offered)
      }
      return () => fits
    })
  }

  read(log: LogName, position: Position, bytesMax: number): ReturnType<Store['read']> {
    return this.#transact(['entries'], 'readonly', (tx) =>
      this.#readSegments(tx, log, position, bytesMax),
    )
  }

  checkpoints(): Promise<readonly Checkpoint[]> {
    return this.#transact(['builds'], 'readonly', readCheckpoints)
  }

  writeStates(...written: Parameters<Store['writeStates']>): Promise<Position | undefined> {
    return this.#transact(['builds', 'states'], 'readwrite', (tx, fail) =>
      writeStates(tx, fail, this.#range, written),
    )
  }

  accepted(id: string): Promise<Accepted | undefined> {
    return this.#transact(['accepted'], 'readonly', (tx) => {
      const found = tx.objectStore('accepted').get(id) as IDBRequest<Accepted | undefined>
      return () => found.result
    })
  }

  discard(ids: readonly string[]): Promise<void> {
    return this.#transact(['refused', 'fates'], 'readwrite', (tx) => {
      resolve(tx, ids, () => undefined)
      return () => undefined
    })
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#db.close()
  }

  destroy(): Promise<void> {
    this.#isClosed = true
    // A tab that does not make way delays it until it is closed.
    return this.#inTime(this.#db.delete())
  }

  /**
   * Runs one transaction. `issue` makes its requests and answers with what reads their results once it is
   * complete; `fail` takes it back. A full disk shows itself nowhere but in the transaction's abort.
   */
  async #transact<Result>(
    stores: readonly StoreName[],
    mode: IDBTransactionMode,
    issue: (tx: IDBTransaction, fail: Fail) => () => Result,
    durability: Durability = 'relaxed',
  ): Promise<Result> {
    const tx = await this.#begin(stores, mode, durability)
    return new Promise((resolve, reject) => {
      let fault: TidemarkError | undefined
      const fail = (error: TidemarkError): void => {
        fault = error
        tx.abort()
      }
      const read = issue(tx, fail)
      tx.oncomplete = () => resolve(read())
      tx.onabort = () => reject(fault ?? toTidemarkError(tx.error))
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
    if (this.#end) throw new TidemarkError(this.#end)
    // While it makes or upgrades the database, Dexie already calls it open.
    if (this.#db.isOpen() && !this.#opening) return
    await this.#inTime((this.#opening ??= this.#open()))
  }

  #inTime(work: PromiseLike<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      const blocked = (): void => reject(new TidemarkError('STORAGE_BLOCKED'))
      const cancel = this.#system.after(openMsMax, blocked)
      const settle = async (): Promise<void> => {
        try {
          resolve(await work)
        } catch (error) {
          reject(toTidemarkError(error))
        } finally {
          cancel()
        }
      }
      void settle()
    })
  }

  async #open(): Promise<void> {
    try {
      await this.#checkVersion()
      await this.#db.open()
      await this.#checkIncarnation()
    } catch (error) {
      throw toTidemarkError(error)
    } finally {
      this.#opening = undefined
    }
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
    this.#end = 'STORE_TOO_NEW'
    throw new TidemarkError('STORE_TOO_NEW')
  }

  /**
   * A database that was deleted meanwhile comes back empty, with numbers that begin anew: what this page
   * holds in memory does not belong to it.
   */
  async #checkIncarnation(): Promise<void> {
    if (this.#incarnation === undefined) return
    const tx = this.#db.backendDB().transaction('meta')
    const known = tx.objectStore('meta').get('identity') as IDBRequest<Identity | undefined>
    await new Promise((resolve) => {
      tx.oncomplete = resolve
      tx.onabort = resolve
    })
    // A connection that is lost again says so at its next use.
    if (tx.error || known.result?.incarnation === this.#incarnation) return
    this.#end = 'STORE_DELETED'
    this.#db.close()
    throw new TidemarkError('STORE_DELETED')
  }
}

function writeSegments(tx: IDBTransaction, log: LogName, segments: readonly PlacedSegment[]): void {
  const entries = tx.objectStore('entries')
  for (const { first, last, text, replaces } of segments) {
    if (replaces !== undefined) entries.delete(segmentKey(log, replaces))
    entries.put({ first, text }, segmentKey(log, last))
  }
}

/** Puts batches before everything that the outbox has or has had. */
function offerAgain(tx: IDBTransaction, batches: readonly Batch[]): void {
  const [meta, outbox] = [tx.objectStore('meta'), tx.objectStore('outbox')]
  const known = meta.get(lowestKey) as IDBRequest<number | undefined>
  known.onsuccess = () => {
    const lowest = (known.result ?? 0) - batches.length
    meta.put(lowest, lowestKey)
    for (const pack of toPacks(lowest, batches)) outbox.add(pack)
  }
}

/** Without the number that it has in the database. */
const toFate = ({ type, topic, scope, ids, by, refusal }: Fate): Fate => ({
  type,
  topic,
  scope,
  ids,
  by,
  ...(refusal && { refusal }),
})

/** Takes refused events off their list, and tells of those that are not on it. */
function resolve(
  tx: IDBTransaction,
  ids: readonly string[],
  onMissing: (id: string) => void,
): void {
  const refused = tx.objectStore('refused')
  for (const id of ids) {
    const found = refused.get(id) as IDBRequest<AnyRefused | undefined>
    found.onsuccess = () => {
      if (!found.result) return onMissing(id)
      const fate = toResolved(found.result)
      refused.delete(id)
      if (fate) tx.objectStore('fates').add(fate)
    }
  }
}

const lesser = (a: number, b: number): number => Math.min(a, b)
const greater = (a: number, b: number): number => Math.max(a, b)

function without(seqs: readonly number[], rows: readonly OutboxRow[]): readonly number[] {
  const kept = new Set(rows.map((row) => row.seq))
  return seqs.filter((seq) => !kept.has(seq))
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
