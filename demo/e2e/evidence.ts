/**
 * What really is where: in a browser's IndexedDB, in the gateway's log file, in the purchasing service's
 * own database. Read past all of our code, so that none of it can hide a loss or a double.
 */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Page } from 'playwright-core'

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

/** All entries of the gateway's log file. */
export function readLog(dataFolder: string): readonly Trace[] {
  const database = new DatabaseSync(join(dataFolder, 'log.db'), { readOnly: true })
  try {
    const rows = database.prepare('select lines from entries order by key').all()
    return rows.flatMap(({ lines }) => String(lines).split('\n').map(readEntryLine))
  } finally {
    database.close()
  }
}

/** The position of the last entry in the gateway's log file. */
export function readHead(dataFolder: string): number {
  const database = new DatabaseSync(join(dataFolder, 'log.db'), { readOnly: true })
  try {
    return Number(database.prepare('select max(head) as head from logs').get()?.['head'] ?? 0)
  } finally {
    database.close()
  }
}

/** What the purchasing service has booked: one row for each event that had an effect there. */
export function readPurchasing(dataFolder: string): readonly { id: string; type: string }[] {
  const database = new DatabaseSync(join(dataFolder, 'purchasing.db'), { readOnly: true })
  try {
    const rows = database.prepare('select id, type from ledger order by nth').all()
    return rows.map(({ id, type }) => ({ id: String(id), type: String(type) }))
  } finally {
    database.close()
  }
}

/** What a browser has in IndexedDB. */
export interface DeviceEvidence {
  readonly entries: readonly Trace[]
  /** Ids of what is still in the outbox. */
  readonly outbox: readonly string[]
  readonly refused: readonly string[]
}

/** Reads the page's only database with plain IndexedDB. */
export async function readDevice(page: Page): Promise<DeviceEvidence> {
  const stored = await page.evaluate(async () => {
    const names = (await indexedDB.databases()).map(({ name = '' }) => name)
    const [name = '', ...others] = names.filter((each) => each.includes('tidemark'))
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
        settle<{ text: string }[]>(tx.objectStore('entries').getAll()),
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
  })
  return {
    entries: stored.entries.map(readEntryLine),
    outbox: stored.outbox.map((line) => String(JSON.parse(line).id)),
    refused: stored.refused,
  }
}
