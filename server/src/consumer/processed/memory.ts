/**
 * A consumer's tables in memory, for tests and for the simulation. A `MemoryDisk` outlives the process
 * that is simulated: what is open on it is undone when it is opened again, and the old holder is cut off.
 */
import { assert, TidemarkError } from '@tidemark/shared'
import { JournaledMap } from './journal.ts'
import { type MemoryTables, memoryTables } from './memory-tables.ts'
import { createMemoryUnit } from './memory-unit.ts'
import type { Processed } from './processed.ts'

/** The app's handle inside a transaction: a map of JSON values that is undone with the transaction. */
export interface MemoryTx {
  get(key: string): unknown
  set(key: string, value: unknown): void
  delete(key: string): void
  /** All pairs, in the order in which the keys were first set. */
  entries(): readonly (readonly [string, unknown])[]
}

/** What survives a crash. */
export class MemoryDisk {
  readonly tables: MemoryTables = memoryTables()
  /** The app's own data, as committed transactions left it, and as an open one sees it. */
  readonly data = new JournaledMap<unknown>()
  #holder = 0

  /** Cuts off whoever held the disk before, and undoes what it had not committed. */
  take(): number {
    this.rollback()
    this.#holder += 1
    return this.#holder
  }

  holds(holder: number): boolean {
    return this.#holder === holder
  }

  get #maps() {
    return [this.data, ...Object.values(this.tables)]
  }

  commit(): void {
    for (const map of this.#maps) map.commit()
  }

  rollback(): void {
    for (const map of this.#maps) map.rollback(0)
  }

  marks(): readonly number[] {
    return this.#maps.map((map) => map.mark())
  }

  rollbackTo(marks: readonly number[]): void {
    for (const [index, map] of this.#maps.entries()) map.rollback(marks[index] ?? 0)
  }
}

/** A consumer's tables on a disk in memory. Opening a disk again is what a restart of the process does. */
export function memoryProcessed(disk: MemoryDisk = new MemoryDisk()): Processed<MemoryTx> {
  const holder = disk.take()
  let turn: Promise<unknown> = Promise.resolve()
  const check = () => {
    if (!disk.holds(holder))
      throw new TidemarkError('PROCESSED_UNAVAILABLE', { reason: 'restarted' })
  }
  const transaction: Processed<MemoryTx>['transaction'] = async (work) => {
    check()
    let over = false
    const alive = () => {
      assert(!over, 'a transaction is not used after its end')
      check()
    }
    try {
      const result = await work(createMemoryUnit(createTx(disk, alive), disk, alive))
      check()
      disk.commit()
      return result
    } catch (error) {
      if (disk.holds(holder)) disk.rollback()
      throw error
    } finally {
      over = true
    }
  }
  return {
    transactionsMax: 1,
    open: async () => check(),
    transaction(work) {
      const result = turn.then(() => transaction(work))
      turn = result.catch(() => undefined)
      return result
    },
  }
}

function createTx(disk: MemoryDisk, alive: () => void): MemoryTx {
  return {
    get: (key) => (alive(), disk.data.get(key)),
    set: (key, value) => (alive(), disk.data.set(key, structuredClone(value))),
    delete: (key) => (alive(), disk.data.delete(key)),
    entries: () => (alive(), [...disk.data.entries()]),
  }
}
