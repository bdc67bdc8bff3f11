/**
 * The peer for apply: what apps write today, Dexie with a record for each entry. Frames are parsed and
 * added by `bulkAdd`, a transaction for each frame, keyed by position and without any other index.
 */
import { Dexie, type Table } from 'dexie'
import { v7 } from 'uuid'
import { writeFrames } from '../browser/entries.ts'

/** Applies a log of `count` entries and says how many a second. */
export async function dexieApply(count: number): Promise<number> {
  const frames = writeFrames(count)
  const db = new Dexie(`dexie-${v7()}`)
  db.version(1).stores({ entries: 'position' })
  await db.open()
  const entries: Table<{ position: number }, number> = db.table('entries')
  const start = performance.now()
  for (const frame of frames) {
    const lines = frame.split('\n').slice(1)
    await entries.bulkAdd(lines.map(parseEntry))
  }
  const ms = performance.now() - start
  if ((await entries.count()) !== count) throw new Error('entries are missing')
  await db.delete()
  return (count / ms) * 1_000
}

function parseEntry(line: string): { position: number } {
  const { event, ...placement } = JSON.parse(line)
  return { ...placement, ...event }
}
