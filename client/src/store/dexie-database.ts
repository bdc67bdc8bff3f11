/**
 * A database in IndexedDB and its connection. Dexie opens it, upgrades it and makes way for newer versions; the
 * transactions run on the connection itself, because each needs its own durability and an early `commit`.
 */
import { Dexie } from 'dexie'
import { isTidemarkError, type System, system as realSystem, TidemarkError } from '@tidemark/shared'
import type { Durability, Identity } from './store.ts'

/** Where the database is. */
export interface DexieStoreOptions {
  /** The database's name. */
  readonly name: string
  readonly system?: System | undefined
  /** The platform's own unless given. */
  readonly indexedDB?: IDBFactory
  readonly IDBKeyRange?: typeof IDBKeyRange
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

/** The object stores. */
export type StoreName =
  | 'meta'
  | 'outbox'
  | 'entries'
  | 'logs'
  | 'refused'
  | 'accepted'
  | 'fates'
  | 'builds'
  | 'states'

/** The key of the device's identity in `meta`. */
const identityKey = 'identity'
/** The key in `meta` of the number up to which rows may have been handed to a link. */
export const handedKey = 'handed'

/** Takes a transaction back. */
export type Fail = (error: TidemarkError) => void

/** An upgrade that another tab blocks may wait for ever, and IndexedDB does not always say so. */
const openMsMax = 3_000

/** Opened when it is first used, and again when the browser has lost it. */
export class DexieDatabase {
  readonly range: typeof IDBKeyRange
  readonly #db: Dexie
  readonly #system: System
  readonly #factory: IDBFactory
  #opening: Promise<void> | undefined
  #isClosed = false
  /** Why nothing is read or written any more, until the page is loaded again. */
  #end: 'STORE_TOO_NEW' | 'STORE_DELETED' | undefined
  /** Of the database that this was opened on. */
  #incarnation: string | undefined

  constructor(options: DexieStoreOptions) {
    const { name, system = realSystem, indexedDB = globalThis.indexedDB } = options
    this.#system = system
    this.range = options.IDBKeyRange ?? globalThis.IDBKeyRange
    this.#factory = indexedDB
    this.#db = new Dexie(name, { indexedDB, IDBKeyRange: this.range, autoOpen: false })
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
    return this.transact(['meta'], 'readwrite', (tx) => {
      const meta = tx.objectStore('meta')
      const known = meta.get(identityKey) as IDBRequest<Identity | undefined>
      known.onsuccess = () => {
        if (!known.result) meta.put(fresh, identityKey)
      }
      return () => known.result ?? fresh
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
  async transact<Result>(
    stores: readonly StoreName[],
    mode: IDBTransactionMode,
    issue: (tx: IDBTransaction, fail: Fail) => () => Result,
    durability: Durability = 'relaxed',
  ): Promise<Result> {
    const tx = await this.#begin(stores, mode, durability)
    try {
      const read = await new Promise<() => Result>((resolve, reject) => {
        const fail = (error: unknown): void => {
          reject(error)
          tx.abort()
        }
        tx.onabort = () => reject(toTidemarkError(tx.error))
        try {
          const issued = issue(tx, fail)
          tx.oncomplete = () => resolve(issued)
        } catch (error) {
          fail(error)
        }
      })
      return read()
    } catch (error) {
      throw toLost(error)
    }
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
        if (attempt > 0) throw toLost(error)
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
      const cancel = this.#system.after(openMsMax, () =>
        reject(new TidemarkError('STORAGE_BLOCKED')),
      )
      void work.then(resolve, (error) => reject(toTidemarkError(error))).then(cancel)
    })
  }

  async #open(): Promise<void> {
    try {
      await this.#checkVersion()
      await this.#db.open()
      await this.#checkIncarnation()
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
    const known = tx.objectStore('meta').get(identityKey) as IDBRequest<Identity | undefined>
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

/** The one place where names of the platform's and Dexie's errors are read. */
function toTidemarkError(error: unknown): TidemarkError {
  const named = error as { readonly name?: string; readonly inner?: unknown } | null
  const options = { cause: error }
  switch (named?.name) {
    case 'QuotaExceededError':
      return new TidemarkError('STORAGE_FULL', undefined, options)
    case 'VersionError':
      return new TidemarkError('STORE_TOO_NEW', undefined, options)
    case 'MissingAPIError':
    case 'SecurityError':
    // Firefox, where it may not write; on a connection that was open it means another thing.
    case 'InvalidStateError':
      return new TidemarkError('STORAGE_UNAVAILABLE', { reason: named.name }, options)
    case 'OpenFailedError':
    case 'AbortError':
      if (named.inner) return toTidemarkError(named.inner)
  }
  return toLost(error)
}

const toLost = (cause: unknown): TidemarkError =>
  isTidemarkError(cause)
    ? cause
    : new TidemarkError('STORAGE_LOST', { reason: String(cause).slice(0, 200) }, { cause })
