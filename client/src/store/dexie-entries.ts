/** The logs in IndexedDB: their entries, in segments, and how far they are. */
import { type Cursor, type LogName, logKey, type Position } from '@tidemark/shared'
import {
  countSegments,
  cutSegment,
  isSamePlace,
  linesAfter,
  type PlacedSegment,
  type Segment,
  segmentKey,
  toSegments,
} from './layout.ts'
import type { LoadedLog, Page, Seen } from './store.ts'

/** How far a log is. */
interface LogRow {
  readonly cursor?: Cursor | undefined
  readonly rewinds: number
}

/** The segment of a log that this tab wrote last, and which of the log's lives it belongs to. */
type Tail = PlacedSegment & Pick<LogRow, 'rewinds'>

/** Reads and writes logs inside transactions that have them. */
export class DexieEntries {
  readonly #range: typeof IDBKeyRange
  readonly #tails = new Map<string, Tail>()

  constructor(range: typeof IDBKeyRange) {
    this.#range = range
  }

  /** What a log holds beyond what a reader has seen. */
  load(
    tx: IDBTransaction,
    { topic, scope, position }: Seen['logs'][number],
    bytesMax: number,
  ): () => LoadedLog {
    const row = findLog(tx, { topic, scope })
    const read =
      position === undefined
        ? () => ({ lines: [], more: false })
        : this.read(tx, { topic, scope }, position, bytesMax)
    return () => {
      const { cursor, rewinds = 0 } = row.result ?? {}
      return { topic, scope, cursor, rewinds, ...read() }
    }
  }

  /** The entries after a position. */
  read(tx: IDBTransaction, log: LogName, position: Position, bytesMax: number) {
    const segmentsMax = countSegments(bytesMax)
    const range = this.#after(log, position)
    const found = tx.objectStore('entries').getAll(range, segmentsMax) as IDBRequest<Segment[]>
    return () => ({
      lines: found.result.flatMap((segment) => linesAfter(segment, position)),
      more: found.result.length === segmentsMax,
    })
  }

  /** Writes pages where all of them fit, and calls `done` then. Answers whether they did. */
  write(tx: IDBTransaction, pages: readonly Page[], done: () => void): () => boolean {
    const rows = pages.map((page) => findLog(tx, page))
    let written: readonly (() => void)[] | undefined
    const write = (): void => {
      const fits = ({ after }: Page, at: number): boolean =>
        (rows[at]?.result?.cursor?.position ?? 0) === after
      if (!pages.every(fits)) return
      written = pages.map((page, at) => this.#writePage(tx, page, rows[at]?.result?.rewinds ?? 0))
      done()
    }
    const last = rows.at(-1)
    if (last) last.onsuccess = write
    return () => {
      for (const remember of written ?? []) remember()
      return written !== undefined
    }
  }

  /** Answers with what is to be done once it is complete. */
  #writePage(tx: IDBTransaction, page: Page, rewinds: number): () => void {
    const key = logKey(page)
    const tail = this.#tails.get(key)
    const segments = toSegments(page, tail?.rewinds === rewinds ? tail : undefined)
    const entries = tx.objectStore('entries')
    for (const { first, last, text, replaces } of segments) {
      if (replaces !== undefined) entries.delete(segmentKey(page, replaces))
      entries.put({ first, text }, segmentKey(page, last))
    }
    tx.objectStore('logs').put({ cursor: page.cursor, rewinds }, key)
    const newest = segments.at(-1)
    return () => newest && this.#tails.set(key, { ...newest, rewinds })
  }

  /** Takes a log back, where it stands at `from`, and calls `done` then. Answers whether it did. */
  rewind(
    tx: IDBTransaction,
    log: LogName,
    from: Cursor | undefined,
    to: Cursor,
    done: () => void,
  ): () => boolean {
    const entries = tx.objectStore('entries')
    const range = this.#after(log, to.position)
    let fits = false
    const row = findLog(tx, log)
    const cut = entries.getAll(range, 1) as IDBRequest<Segment[]>
    cut.onsuccess = () => {
      fits = isSamePlace(row.result?.cursor, from)
      if (!fits) return
      entries.delete(range)
      const [segment] = cut.result
      if (segment && segment.first <= to.position) {
        entries.put(cutSegment(segment, to.position), segmentKey(log, to.position))
      }
      const rewinds = (row.result?.rewinds ?? 0) + 1
      tx.objectStore('logs').put({ cursor: to, rewinds }, logKey(log))
      done()
    }
    return () => fits
  }

  #after(log: LogName, position: number): IDBKeyRange {
    return this.#range.bound(segmentKey(log, position), segmentKey(log, Infinity), true)
  }
}

const findLog = (tx: IDBTransaction, log: LogName) =>
  tx.objectStore('logs').get(logKey(log)) as IDBRequest<LogRow | undefined>
