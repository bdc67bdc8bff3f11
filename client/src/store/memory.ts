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
import type {
  Accepted,
  AnyRefused,
  Batch,
  Fate,
  Identity,
  LoadedLog,
  OutboxRow,
  Store,
} from './store.ts'

interface DiskLog {
  cursor: Cursor | undefined
  rewinds: number
  /** The entry at position p is at p - 1. */
  lines: string[]
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
  /** Rows up to this one may have been handed to a link. */
  handed: number
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
  handed: 0,
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
  const load = (seen: LogName & { position: Position }, bytesMax: number): LoadedLog => {
    const { topic, scope, position } = seen
    const { cursor, rewinds, lines } = at(disk, seen)
    return { topic, scope, cursor, rewinds, ...slice(lines, position, bytesMax) }
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
        for (const id of resolved) disk.refused.delete(id)
        return batches.map(add)
      }),
    load: (seen, bytesMax) =>
      transact('load', () => ({
        logs: seen.logs.map((log) => load(log, bytesMax)),
        rows: [...disk.outbox.values()].filter((row) => row.seq > seen.seq),
        left: seen.pending.filter((seq) => !disk.outbox.has(seq)),
        refused: [...disk.refused.values()],
        fates: {
          upTo: disk.fates.length,
          rows: disk.fates.slice(seen.fate ?? disk.fates.length),
        },
      })),
    apply: (pages, settled) =>
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
    rewind: (name, cursor) =>
      transact('rewind', () => {
        const log = at(disk, name)
        log.lines.splice(cursor.position)
        log.cursor = cursor
        log.rewinds += 1
      }),
    read: (log, position, bytesMax) =>
      transact('read', () => slice(at(disk, log).lines, position, bytesMax)),
    accepted: (id) => transact('accepted', () => disk.accepted.get(id)),
    discard: (ids) =>
      transact('discard', () => {
        for (const id of ids) disk.refused.delete(id)
      }),
    close: async () => void (isClosed = true),
    destroy: async () => {
      await transact('destroy', () => Object.assign(disk, createDisk()))
      isClosed = true
    },
  }
}
