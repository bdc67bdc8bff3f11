/** The states of models in IndexedDB: a record for each key, found by an index that holds all values of all builds. */
import { type IndexValue, type Position, TidemarkError } from '@tidemark/shared'
import { isEmpty } from '../order.ts'
import { outlived } from './builds.ts'
import type { Checkpoint, StateRange, StateRow, Store, Want } from './store.ts'

/** A state under the key `[build, key]`. */
interface StateRecord extends Omit<StateRow, 'indexed'> {
  /** What it is found by, as `[build, index, value]`. */
  readonly by: readonly (readonly [string, string, IndexValue])[]
}

/** A build under its number, which is in the order in which they were begun. */
interface BuildRecord extends Checkpoint {
  readonly n: number
}

/** Greater than every number and text in the order of IndexedDB. */
const greatest: IDBValidKey = []

/** IndexedDB counts no further. */
const countMax = 2 ** 32 - 1

/** How far the builds are. */
export function readCheckpoints(tx: IDBTransaction): () => readonly Checkpoint[] {
  const found = tx.objectStore('builds').getAll() as IDBRequest<BuildRecord[]>
  return () => found.result.map(toCheckpoint)
}

/** See `Store.writeStates`. `fail` takes the transaction back. */
export function writeStates(
  tx: IDBTransaction,
  fail: (error: TidemarkError) => void,
  range: typeof IDBKeyRange,
  [to, after, rows]: Parameters<Store['writeStates']>,
): () => Position | undefined {
  const builds = tx.objectStore('builds')
  const found = builds.getAll() as IDBRequest<BuildRecord[]>
  let position: Position | undefined
  found.onsuccess = () => {
    const before = found.result.find(({ build }) => build === to.build)
    position = before?.position
    if (position !== after) return
    try {
      for (const row of rows) tx.objectStore('states').put(toRecord(to, row), [to.build, row.key])
    } catch (cause) {
      return fail(new TidemarkError('STATE_NOT_STORABLE', { model: to.model }, { cause }))
    }
    builds.put({ ...to, ...(before && { n: before.n }) })
    position = to.position
    const gone = to.isComplete && !before?.isComplete ? outlived(found.result, to) : []
    for (const { build } of gone) {
      tx.objectStore('states').delete(range.bound([build], [build, greatest]))
      const n = found.result.find((each) => each.build === build)?.n
      if (n !== undefined) builds.delete(n)
    }
    tx.commit()
  }
  return () => position
}

/** What is wanted of a build. */
export function readStates(
  tx: IDBTransaction,
  range: typeof IDBKeyRange,
  want: Want,
): () => readonly StateRow[] | undefined {
  const states = tx.objectStore('states')
  const { build } = want
  const known = tx.objectStore('builds').index('build').getKey(build)
  const read =
    'range' in want ? readRange(states, range, build, want.range) : readKeys(states, want)
  return () => (known.result === undefined ? undefined : read())
}

function readKeys(
  states: IDBObjectStore,
  { build, keys }: Extract<Want, { readonly keys: unknown }>,
): () => readonly StateRow[] {
  const found = keys.map((key) => states.get([build, key]) as IDBRequest<StateRecord | undefined>)
  return () => found.flatMap(({ result }) => (result ? [toRow(result)] : []))
}

function readRange(
  states: IDBObjectStore,
  range: typeof IDBKeyRange,
  build: string,
  { index, from, to, descending, rowsMax }: StateRange,
): () => readonly StateRow[] {
  // IndexedDB has no range that is empty, and takes a count of 0 for none.
  if (isEmpty({ from, to }) || rowsMax === 0) return () => []
  const source = index === undefined ? states : states.index('by')
  const place = index === undefined ? [build] : [build, index]
  const wanted = range.bound(from === undefined ? place : [...place, from], [
    ...place,
    to ?? greatest,
  ])
  if (!descending) {
    const found = source.getAll(wanted, Math.min(rowsMax, countMax)) as IDBRequest<StateRecord[]>
    return () => found.result.map(toRow)
  }
  const records: StateRecord[] = []
  const cursor = source.openCursor(wanted, 'prev')
  cursor.onsuccess = () => {
    if (!cursor.result) return
    records.push(cursor.result.value as StateRecord)
    if (records.length < rowsMax) cursor.result.continue()
  }
  return () => records.map(toRow)
}

const toCheckpoint = ({ n: _n, ...checkpoint }: BuildRecord): Checkpoint => checkpoint

const toRecord = ({ build }: Checkpoint, { indexed, ...row }: StateRow): StateRecord => ({
  ...row,
  by: Object.entries(indexed).map(([name, value]) => [build, name, value]),
})

const toRow = ({ by, ...row }: StateRecord): StateRow => ({
  ...row,
  indexed: Object.fromEntries(by.map(([, name, value]) => [name, value])),
})
