/** The outbox in IndexedDB: packs of batches, and the numbers that they have. */
import { type Pack, packBatchesMax, toPacks, toRows, withoutRows } from './layout.ts'
import type { Batch, OutboxRow } from './store.ts'

/** The key of the lowest number that a row was given. */
const lowestKey = 'lowest'

/** Reads and writes the outbox inside transactions that have it. */
export class DexieOutbox {
  readonly #range: typeof IDBKeyRange
  /** Rows that are known to have their record for themselves. */
  readonly #alone = new Set<number>()

  constructor(range: typeof IDBKeyRange) {
    this.#range = range
  }

  /** The outbox's rows from one number to another. */
  readRows(tx: IDBTransaction, from: number, to: number, packsMax = Infinity) {
    // The first of them may stand in a pack that begins before.
    const range = this.#range.bound(from - packBatchesMax, to)
    const count = packsMax === Infinity ? undefined : packsMax
    const packs = tx.objectStore('outbox').getAll(range, count) as IDBRequest<Pack[]>
    return () => ({
      rows: this.rowsOf(packs.result).filter(({ seq }) => seq >= from && seq <= to),
      moreRows: packs.result.length === packsMax,
    })
  }

  /** The rows of packs, remembering which have their record for themselves. */
  rowsOf(packs: readonly Pack[]): readonly OutboxRow[] {
    for (const { seq, batches } of packs) if (batches.length === 1) this.#alone.add(seq)
    return packs.flatMap(toRows)
  }

  /** Takes rows out of the outbox, where it must be out of the middle of their packs. Then `done` is called. */
  removeRows(tx: IDBTransaction, seqs: readonly number[], done: () => void): void {
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

  /** Takes out a row and goes on with `done`, if it is there. Answers whether it was. */
  takeOut(tx: IDBTransaction, seq: number, done: () => void): () => boolean {
    let wasThere = false
    const packs = tx.objectStore('outbox').getAll(this.#range.bound(seq - packBatchesMax, seq))
    packs.onsuccess = () => {
      wasThere = (packs.result as Pack[]).flatMap(toRows).some((row) => row.seq === seq)
      if (wasThere) this.removeRows(tx, [seq], done)
    }
    return () => wasThere
  }
}

/** Puts batches before everything that the outbox has or has had. */
export function offerAgain(tx: IDBTransaction, batches: readonly Batch[]): void {
  const [meta, outbox] = [tx.objectStore('meta'), tx.objectStore('outbox')]
  const known = meta.get(lowestKey) as IDBRequest<number | undefined>
  known.onsuccess = () => {
    const lowest = (known.result ?? 0) - batches.length
    meta.put(lowest, lowestKey)
    for (const pack of toPacks(lowest, batches)) outbox.add(pack)
  }
}

const lesser = (a: number, b: number): number => Math.min(a, b)
const greater = (a: number, b: number): number => Math.max(a, b)
