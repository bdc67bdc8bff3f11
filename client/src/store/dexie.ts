/**
 * The store in IndexedDB. Each method is one transaction over parts that know their own records: the outbox,
 * the entries, the states, and what became of events. IndexedDB charges for each request: entries are kept in
 * segments of many.
 */
import { type Cursor, type LogName, type Position, TidemarkError } from '@tidemark/shared'
import {
  DexieDatabase,
  type DexieStoreOptions,
  type Fail,
  handedKey,
  type StoreName,
} from './dexie-database.ts'
import { DexieEntries } from './dexie-entries.ts'
import { DexieOutbox, offerAgain } from './dexie-outbox.ts'
import { readCheckpoints, readStates, writeStates } from './dexie-states.ts'
import { countPacks, type Pack, toPacks } from './layout.ts'
import {
  type Accepted,
  type AnyRefused,
  type Batch,
  type Checkpoint,
  type Durability,
  type Fate,
  type Identity,
  type Loaded,
  type OutboxRow,
  type Page,
  type Seen,
  type Settlement,
  type Store,
  toResolved,
} from './store.ts'

export type { DexieStoreOptions } from './dexie-database.ts'

/** Opens a store in IndexedDB when it is first used. Several tabs may have the same one open. */
export function dexieStore(options: DexieStoreOptions): Store {
  return new DexieStore(options)
}

class DexieStore implements Store {
  readonly #database: DexieDatabase
  readonly #outbox: DexieOutbox
  readonly #entries: DexieEntries

  constructor(options: DexieStoreOptions) {
    this.#database = new DexieDatabase(options)
    this.#outbox = new DexieOutbox(this.#database.range)
    this.#entries = new DexieEntries(this.#database.range)
  }

  open(): Promise<Identity> {
    return this.#database.open()
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
    const packs = await this.#database.transact(stores, 'readwrite', write, durability)
    return this.#outbox.rowsOf(packs).map((row) => row.seq)
  }

  load({ seq, pending, logs, fate, wants = [] }: Seen, bytesMax: number): Promise<Loaded> {
    const stores: StoreName[] = ['outbox', 'entries', 'logs', 'refused', 'fates']
    if (wants.length > 0) stores.push('builds', 'states')
    return this.#database.transact(stores, 'readonly', (tx) => {
      const loaded = logs.map((log) => this.#entries.load(tx, log, bytesMax))
      const packsMax = countPacks(bytesMax)
      const rows = this.#outbox.readRows(tx, seq === 0 ? -Infinity : seq + 1, Infinity, packsMax)
      const [first] = pending
      const kept =
        first === undefined ? undefined : this.#outbox.readRows(tx, first, pending.at(-1) ?? 0)
      const refused = tx.objectStore('refused').getAll() as IDBRequest<AnyRefused[]>
      const fates = this.#readFates(tx, fate)
      const states = wants.map((want) => readStates(tx, this.#database.range, want))
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
    const range = this.#database.range.lowerBound(seen ?? Infinity, true)
    const rows = fates.getAll(range) as IDBRequest<FateRecord[]>
    return () => ({
      upTo: Number(newest.result?.primaryKey ?? 0),
      rows: rows.result.map(toFate),
    })
  }

  apply(
    pages: readonly Page[],
    settled: readonly number[],
    setAside: readonly AnyRefused[] = [],
  ): Promise<boolean> {
    const stores: StoreName[] = ['outbox', 'entries', 'logs']
    if (setAside.length > 0) stores.push('refused')
    return this.#database.transact(stores, 'readwrite', (tx) =>
      this.#entries.write(tx, pages, () => {
        for (const each of setAside) tx.objectStore('refused').put(each)
        this.#outbox.removeRows(tx, settled, () => tx.commit())
      }),
    )
  }

  settle({ seqs, refused, accepted }: Settlement): Promise<void> {
    return this.#database.transact(['outbox', 'refused', 'accepted'], 'readwrite', (tx) => {
      for (const each of refused) tx.objectStore('refused').put(each)
      for (const each of accepted) tx.objectStore('accepted').put(each)
      this.#outbox.removeRows(tx, seqs, () => tx.commit())
      return () => undefined
    })
  }

  replace(seq: number, fate: Fate, next: Batch): Promise<boolean> {
    const write = (tx: IDBTransaction): (() => boolean) =>
      this.#outbox.takeOut(tx, seq, () => {
        tx.objectStore('fates').add(fate)
        tx.objectStore('outbox').add({ batches: [next] })
      })
    // What is sent in its place must not outlive it.
    return this.#database.transact(['outbox', 'fates'], 'readwrite', write, 'strict')
  }

  withdraw(seq: number, fate: Fate): Promise<boolean> {
    const write = (tx: IDBTransaction): (() => boolean) => {
      const handed = tx.objectStore('meta').get(handedKey) as IDBRequest<number | undefined>
      let left = (): boolean => false
      handed.onsuccess = () => {
        if (seq <= (handed.result ?? 0)) return
        left = this.#outbox.takeOut(tx, seq, () => void tx.objectStore('fates').add(fate))
      }
      return () => left()
    }
    // The app has been told that it will not be sent.
    return this.#database.transact(['outbox', 'fates', 'meta'], 'readwrite', write, 'strict')
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
    return this.#database.transact(['outbox', 'meta'], 'readwrite', write, 'strict')
  }

  fate(id: string): Promise<Fate | undefined> {
    return this.#database.transact(['fates'], 'readonly', (tx) => {
      const found = tx.objectStore('fates').index('ids').get(id) as IDBRequest<
        FateRecord | undefined
      >
      return () => found.result && toFate(found.result)
    })
  }

  rewind(
    log: LogName,
    from: Cursor | undefined,
    to: Cursor,
    offered: readonly Batch[],
  ): Promise<boolean> {
    return this.#database.transact(['entries', 'logs', 'outbox', 'meta'], 'readwrite', (tx) =>
      this.#entries.rewind(tx, log, from, to, () => offerAgain(tx, offered)),
    )
  }

  read(log: LogName, position: Position, bytesMax: number): ReturnType<Store['read']> {
    return this.#database.transact(['entries'], 'readonly', (tx) =>
      this.#entries.read(tx, log, position, bytesMax),
    )
  }

  checkpoints(): Promise<readonly Checkpoint[]> {
    return this.#database.transact(['builds'], 'readonly', readCheckpoints)
  }

  writeStates(...written: Parameters<Store['writeStates']>): Promise<Position | undefined> {
    return this.#database.transact(['builds', 'states'], 'readwrite', (tx, fail) =>
      writeStates(tx, fail, this.#database.range, written),
    )
  }

  accepted(id: string): Promise<Accepted | undefined> {
    return this.#database.transact(['accepted'], 'readonly', (tx) => {
      const found = tx.objectStore('accepted').get(id) as IDBRequest<Accepted | undefined>
      return () => found.result
    })
  }

  discard(ids: readonly string[]): Promise<void> {
    return this.#database.transact(['refused', 'fates'], 'readwrite', (tx) => {
      resolve(tx, ids, () => undefined)
      return () => undefined
    })
  }

  close(): Promise<void> {
    return this.#database.close()
  }

  destroy(): Promise<void> {
    return this.#database.destroy()
  }
}

interface FateRecord extends Fate {
  readonly n: number
}

/** Without the number that it has in the database. */
const toFate = ({ n: _n, ...fate }: FateRecord): Fate => fate

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

function without(seqs: readonly number[], rows: readonly OutboxRow[]): readonly number[] {
  const kept = new Set(rows.map((row) => row.seq))
  return seqs.filter((seq) => !kept.has(seq))
}
