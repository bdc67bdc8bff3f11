/**
 * A store in memory: for tests, for servers that render pages, and as the disk of the simulation. A
 * `Disk` outlives the stores that are opened on it, as a database outlives a tab.
 */
import {
  type Cursor,
  type EventId,
  logKey,
  type LogName,
  type Position,
  type System,
  system as realSystem,
  TidemarkError,
} from '@tidemark/shared'
import { compareValues, isWithin } from '../order.ts'
import { outlived } from './builds.ts'
import { isSamePlace } from './layout.ts'
import {
  type Accepted,
  type AnyRefused,
  type Batch,
  type Checkpoint,
  type Fate,
  type Identity,
  type LoadedLog,
  type OutboxRow,
  type StateRow,
  type Store,
  type Want,
  toResolved,
} from './store.ts'

interface DiskLog {
  cursor: Cursor | undefined
  rewinds: number
  /** The entry at position p is at p - 1. */
  lines: string[]
}

interface DiskBuild {
  readonly checkpoint: Checkpoint
  readonly rows: Map<string, StateRow>
}

/** What survives. */
export interface Disk {
  identity: Identity | undefined
  seq: number
  readonly outbox: Map<number, OutboxRow>
  readonly logs: Map<string, DiskLog>
  readonly refused: Map<EventId, AnyRefused>
  readonly accepted: Map<EventId, Accepted>
  readonly fates: Fate[]
  /** By their names, in the order in which they were begun. */
  readonly builds: Map<string, DiskBuild>
  /** Rows up to this one may have been handed to a link. */
  handed: number
  /** The lowest number that a row was given. */
  lowest: number
}

/** How a memory store can be made to behave like a slow or a failing disk. */
export interface MemoryStoreOptions {
  readonly system?: System
  /** Awaited before a transaction takes place. Where it throws, the transaction did not. */
  readonly before?: (method: keyof Store) => Promise<void>
  /** Awaited after it, before the answer: a crash here is one that nobody heard of the commit. */
  readonly after?: (method: keyof Store) => Promise<void>
}

/** An empty disk. */
export const createDisk = (): Disk => ({
  identity: undefined,
  seq: 0,
  outbox: new Map(),
  logs: new Map(),
  refused: new Map(),
  accepted: new Map(),
  fates: [],
  builds: new Map(),
  handed: 0,
  lowest: 0,
})

const start = 0 as Position
const at = (disk: Disk, log: LogName): DiskLog => {
  const key = logKey(log)
  let found = disk.logs.get(key)
  if (!found) disk.logs.set(key, (found = { cursor: undefined, rewinds: 0, lines: [] }))
  return found
}

/** The lines after a position, up to about `bytesMax`. */
function slice(lines: readonly string[], position: Position, bytesMax: number) {
  let end: number = position
  for (let bytes = 0; end < lines.length && (end === position || bytes < bytesMax); end++) {
    bytes += lines[end]?.length ?? 0
  }
  return { lines: lines.slice(position, end), more: end < lines.length }
}

/** The rows after a number, up to about `bytesMax`. */
function readRows({ outbox }: Disk, seq: number, bytesMax: number) {
  const rows: OutboxRow[] = []
  let bytes = 0
  for (const row of outbox.values()) {
    if (row.seq <= (seq || -Infinity)) continue
    if (bytes > bytesMax) return { rows, moreRows: true }
    rows.push(row)
    for (const line of row.lines) bytes += line.length
  }
  return { rows, moreRows: false }
}

/** Opens a store on a disk. Each method is one step that nothing comes between. */
export function memoryStore(
  disk: Disk = createDisk(),
  { system = realSystem, before, after }: MemoryStoreOptions = {},
): Store {
  let isClosed = false
  const transact = async <Result>(method: keyof Store, run: () => Result): Promise<Result> => {
    await before?.(method)
    if (isClosed) throw new TidemarkError('STORAGE_LOST', { reason: 'closed' })
    const result = run()
    await after?.(method)
    return result
  }
  const load = (
    seen: LogName & { readonly position: Position | undefined },
    bytesMax: number,
  ): LoadedLog => {
    const { topic, scope } = seen
    const { cursor, rewinds, lines } = at(disk, seen)
    const position = seen.position ?? (lines.length as Position)
    return { topic, scope, cursor, rewinds, ...slice(lines, position, bytesMax) }
  }

  const resolve = (id: EventId): void => {
    const refused = disk.refused.get(id)
    const fate = refused && toResolved(refused)
    disk.refused.delete(id)
    if (fate) disk.fates.push(fate)
  }

  const add = (batch: Batch): number => {
    const seq = ++disk.seq
    disk.outbox.set(seq, { ...batch, seq })
    return seq
  }

  return {
    open: () =>
      transact(
        'open',
        () => (disk.identity ??= { clientId: system.uuid(), incarnation: system.uuid() }),
      ),
    append: (batches, _durability, resolved = []) =>
      transact('append', () => {
        const gone = resolved.find((id) => !disk.refused.has(id))
        if (gone !== undefined) throw new TidemarkError('NOT_REFUSED', { id: gone })
        for (const id of resolved) resolve(id)
        return batches.map(add)
      }),
    load: (seen, bytesMax) =>
      transact('load', () => ({
        logs: seen.logs.map((log) => load(log, bytesMax)),
        ...readRows(disk, seen.seq, bytesMax),
        left: seen.pending.filter((seq) => !disk.outbox.has(seq)),
        refused: [...disk.refused.values()],
        fates: {
          upTo: disk.fates.length,
          rows: disk.fates.slice(seen.fate ?? disk.fates.length),
        },
        states: (seen.wants ?? []).map((want) => readStates(disk, want)),
      })),
    apply: (pages, settled, setAside = []) =>
      transact('apply', () => {
        const fits = pages.every(
          (page) => (at(disk, page).cursor?.position ?? start) === page.after,
        )
        if (!fits) return false
        for (const page of pages) {
          const log = at(disk, page)
          log.lines.push(...page.lines)
          log.cursor = page.cursor
        }
        for (const seq of settled) disk.outbox.delete(seq)
        for (const each of setAside) disk.refused.set(each.id, each)
        return true
      }),
    settle: ({ seqs, refused, accepted }) =>
      transact('settle', () => {
        for (const seq of seqs) disk.outbox.delete(seq)
        for (const each of refused) disk.refused.set(each.id, each)
        for (const each of accepted) disk.accepted.set(each.id, each)
      }),
    replace: (seq, fate, next) =>
      transact('replace', () => {
        if (!disk.outbox.delete(seq)) return false
        disk.fates.push(fate)
        add(next)
        return true
      }),
    withdraw: (seq, fate) =>
      transact('withdraw', () => {
        if (seq <= disk.handed || !disk.outbox.delete(seq)) return false
        disk.fates.push(fate)
        return true
      }),
    linked: (isLinked) =>
      transact('linked', () => {
        if (isLinked) disk.handed = Infinity
        else if (disk.handed === Infinity) disk.handed = disk.seq
      }),
    fate: (id) => transact('fate', () => disk.fates.find(({ ids }) => ids.includes(id))),
    rewind: (name, from, to, offered) =>
      transact('rewind', () => {
        const log = at(disk, name)
        if (!isSamePlace(log.cursor, from)) return false
        log.lines.splice(to.position)
        log.cursor = to
        log.rewinds += 1
        disk.lowest -= offered.length
        const rows = offered.map((batch, nth) => ({ ...batch, seq: disk.lowest + nth }))
        const later = [...disk.outbox.values()]
        disk.outbox.clear()
        for (const row of [...rows, ...later]) disk.outbox.set(row.seq, row)
        return true
      }),
    read: (log, position, bytesMax) =>
      transact('read', () => slice(at(disk, log).lines, position, bytesMax)),
    checkpoints: () =>
      transact('checkpoints', () => [...disk.builds.values()].map((each) => each.checkpoint)),
    writeStates: (to, after, rows) =>
      transact('writeStates', () => writeStates(disk, to, after, rows)),
    accepted: (id) => transact('accepted', () => disk.accepted.get(id)),
    discard: (ids) =>
      transact('discard', () => {
        for (const id of ids) resolve(id)
      }),
    close: async () => void (isClosed = true),
    destroy: async () => {
      await transact('destroy', () => Object.assign(disk, createDisk()))
      isClosed = true
    },
  }
}

function writeStates(
  { builds }: Disk,
  to: Checkpoint,
  after: Position | undefined,
  rows: readonly StateRow[],
): Position | undefined {
  const found = builds.get(to.build)
  if (found?.checkpoint.position !== after) return found?.checkpoint.position
  const copies = rows.map((row) => copyOf(to.model, row))
  const written = found?.rows ?? new Map<string, StateRow>()
  for (const row of copies) written.set(row.key, row)
  builds.set(to.build, { checkpoint: to, rows: written })
  if (to.isComplete && !found?.checkpoint.isComplete) {
    const others = [...builds.values()].map((each) => each.checkpoint)
    for (const { build } of outlived(others, to)) builds.delete(build)
  }
  return to.position
}

/** A copy, as a database makes one. */
function copyOf(model: string, row: StateRow): StateRow {
  try {
    return structuredClone(row)
  } catch (cause) {
    throw new TidemarkError('STATE_NOT_STORABLE', { model }, { cause })
  }
}

function readStates({ builds }: Disk, want: Want): readonly StateRow[] | undefined {
  const rows = builds.get(want.build)?.rows
  if (!rows) return undefined
  if ('keys' in want) {
    return want.keys.flatMap((key) => rows.get(key) ?? []).map((row) => structuredClone(row))
  }
  const { index, from, to, descending, rowsMax } = want.range
  const valueOf = (row: StateRow) => (index === undefined ? row.key : row.indexed[index])
  const found = [...rows.values()]
    .filter((row) => {
      const value = valueOf(row)
      return value !== undefined && isWithin(value, { from, to })
    })
    .sort((a, b) => compareValues(valueOf(a) ?? 0, valueOf(b) ?? 0) || compareValues(a.key, b.key))
  if (descending) found.reverse()
  return found.slice(0, rowsMax).map((row) => structuredClone(row))
}
