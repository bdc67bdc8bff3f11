/**
 * What really is where: in a browser's IndexedDB, in the gateway's log file, in the purchasing service's
 * own database. Read past all of our code, so that none of it can hide a loss or a double.
 */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Page } from 'playwright-core'
import { scope } from '../app/devices.ts'

/** An event as some place has it. */
export interface Trace {
  readonly id: string
  readonly stream: string
  readonly type: string
  readonly author: string
  readonly position: number
  readonly causationId: string | undefined
  /** SHA-256 of the author's own line, in hex: the same at every hop. */
  readonly hash: string
}

/** An entry line as it is stored and delivered: the placement, and the author's line spliced in last. */
function readEntryLine(line: string): Trace {
  const mark = ',"event":'
  const claimLine = line.slice(line.indexOf(mark) + mark.length, -1)
  const { author, position, event } = JSON.parse(line)
  const { id, stream, type, causationId } = event
  const hash = createHash('sha256').update(claimLine).digest('hex')
  return { id, stream, type, author, position, causationId, hash }
}

/** The multiset of ids and hashes, sorted: equal where two places have the same events equally often. */
export const idsAndHashes = (traces: readonly Trace[]): readonly string[] =>
  traces.map(({ id, hash }) => `${id} ${hash}`).sort()

/** The ids that occur more than once. */
export const doubles = (traces: readonly { readonly id: string }[]): readonly string[] => {
  const seen = new Set<string>()
  return traces.map(({ id }) => id).filter((id) => seen.size === seen.add(id).size)
}

/** The rows of a query on one of the demo's SQLite files, read beside whoever writes to it. */
function query(dataFolder: string, file: string, sql: string, ...values: readonly string[]) {
  const database = new DatabaseSync(join(dataFolder, file), { readOnly: true })
  try {
    return database.prepare(sql).all(...values)
  } finally {
    database.close()
  }
}

/** All entries of a topic in the gateway's log file. A key holds the log's number above its 33 lowest bits. */
export function readLog(dataFolder: string, topic = 'inventory'): readonly Trace[] {
  const sql = `select lines from entries join logs on log = key >> 33 where topic = ? order by key`
  return query(dataFolder, 'log.db', sql, topic).flatMap(({ lines }) =>
    String(lines).split('\n').map(readEntryLine),
  )
}

/** The position of the last entry of the stock's log in the gateway's log file. */
export function readHead(dataFolder: string): number {
  const sql = 'select max(head) as head from logs where topic = ?'
  return Number(query(dataFolder, 'log.db', sql, 'inventory')[0]?.['head'] ?? 0)
}

/** What the purchasing service has booked: one row for each event that had an effect there. */
export const readPurchasing = (dataFolder: string): readonly { id: string; type: string }[] =>
  query(dataFolder, 'purchasing.db', 'select id, type from ledger order by nth').map(
    ({ id, type }) => ({ id: String(id), type: String(type) }),
  )

/** What the order desk has written down for an order: each act of its saga, in order. */
export const readPurchase = (dataFolder: string, order: string): readonly string[] =>
  query(
    dataFolder,
    'purchasing.db',
    'select act from purchases where order_id = ? order by nth',
    order,
  ).map(({ act }) => String(act))

/** What the bank and the suppliers have done for an order, by their own books. */
export const readOutside = (dataFolder: string, order: string): readonly string[] =>
  query(
    dataFolder,
    'outside.db',
    'select act from calls where order_id = ? order by nth',
    order,
  ).map(({ act }) => String(act))

/** What a browser has in IndexedDB. */
export interface DeviceEvidence {
  readonly entries: readonly Trace[]
  /** Ids of what is still in the outbox. */
  readonly outbox: readonly string[]
  readonly refused: readonly string[]
}

/**
 * Reads the page's only database, or that of a user, with plain IndexedDB: the entries of a topic, and all
 * that waits.
 */
export async function readDevice(
  page: Page,
  topic = 'inventory',
  user = '',
): Promise<DeviceEvidence> {
  const which = { log: `${topic}/${scope}`, part: user && `/${user}/` }
  const stored = await page.evaluate(async ({ log, part }) => {
    const names = (await indexedDB.databases()).map(({ name = '' }) => name)
    const ours = names.filter((each) => each.includes('tidemark') && each.includes(part))
    const [name = '', ...others] = ours
    if (others.length > 0) throw new Error(`more than one database: ${names}`)
    const settle = <T>(request: IDBRequest<T>): Promise<T> =>
      new Promise((resolve, reject) => {
        request.onsuccess = () => resolve(request.result)
        request.onerror = () => reject(request.error)
      })
    const database = await settle(indexedDB.open(name))
    try {
      const tx = database.transaction(['entries', 'outbox', 'refused'])
      const [segments, rows, refused] = await Promise.all([
        settle<{ text: string }[]>(
          tx.objectStore('entries').getAll(IDBKeyRange.bound([log], [log, Infinity])),
        ),
        settle<{ batches: ({ lines: string[] } | null)[] }[]>(tx.objectStore('outbox').getAll()),
        settle<{ id: string }[]>(tx.objectStore('refused').getAll()),
      ])
      return {
        entries: segments.flatMap(({ text }) => text.split('\n')),
        outbox: rows.flatMap(({ batches }) => batches.flatMap((batch) => batch?.lines ?? [])),
        refused: refused.map(({ id }) => id),
      }
    } finally {
      database.close()
    }
  }, which)
  return {
    entries: stored.entries.map(readEntryLine),
    outbox: stored.outbox.map((line) => String(JSON.parse(line).id)),
    refused: stored.refused,
  }
}
