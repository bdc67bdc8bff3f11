/** The entries on the disk: all of a log, and those that have to do with one event. */
import { type Entry, type EventId, type LogName, parseEntry, type Position } from '@tidemark/shared'
import { type AcceptedOutcome, toAccepted } from './outcomes.ts'
import type { Store } from './store/store.ts'

/** What one step reads, in bytes. */
const bytesMax = 1_048_576
const start = 0 as Position

/** The lines of a log after a position, a page at a time. */
export async function* readPages(
  store: Store,
  log: LogName,
  after: Position,
): AsyncGenerator<readonly string[]> {
  let position = after
  for (let more = true; more;) {
    const page = await store.read(log, position, bytesMax)
    yield page.lines
    position = (position + page.lines.length) as Position
    more = page.more && page.lines.length > 0
  }
}

/** An entry, and the line that it came as. */
export interface FoundEntry {
  readonly entry: Entry
  readonly line: string
}

/**
 * The entries of a log that are the event, or name it, up to the first that is enough. Lines are looked
 * through as text: there is no index by id, and parsing is what takes the time.
 */
export async function searchEntries(
  store: Store,
  log: LogName,
  id: EventId,
  isEnough: (found: FoundEntry) => boolean = () => false,
): Promise<readonly FoundEntry[]> {
  const found: FoundEntry[] = []
  for await (const lines of readPages(store, log, start)) {
    for (const line of lines) {
      if (line.includes(id)) found.push({ entry: parseEntry(log, line), line })
    }
    if (found.some(isEnough)) break
  }
  return found
}

/** Where an event was accepted, as far as the disk knows. */
export async function findAccepted(
  store: Store,
  logs: readonly LogName[],
  id: EventId,
): Promise<AcceptedOutcome | undefined> {
  const accepted = await store.accepted(id)
  if (accepted) return toAccepted(accepted)
  const isIt = ({ entry }: FoundEntry): boolean => entry.id === id
  for (const log of logs) {
    const found = (await searchEntries(store, log, id, isIt)).find(isIt)
    if (found) return toAccepted(found.entry)
  }
  return undefined
}
