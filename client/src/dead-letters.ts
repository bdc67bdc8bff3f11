/** What consumers have set aside: it enters the list of refused events of whoever wrote it, with the consumer's reason. */
import {
  type DeadLettered,
  type EventId,
  findReservedFault,
  type Entry,
  type LogName,
  parseEntry,
} from '@tidemark/shared'
import { searchEntries } from './search.ts'
import type { AnyRefused, Page, Store } from './store/store.ts'

/** What finding dead letters needs. */
export interface DeadLetterPorts {
  readonly store: Store
  /** Whose events are looked for. */
  readonly user: string
  /** When it is, in ms since 1970. */
  readonly now: number
}

interface Written extends Page {
  readonly entries: readonly Entry[]
}

/** The events of this user that entries to be stored say have been set aside. */
export async function findDeadLetters(
  ports: DeadLetterPorts,
  pages: readonly Written[],
): Promise<readonly AnyRefused[]> {
  const found: AnyRefused[] = []
  for (const page of pages) {
    for (const entry of page.entries) {
      const letter = readLetter(entry)
      const cause = letter && (await findCause(ports, page, letter.id as EventId))
      if (letter && cause) found.push(toRefused(ports, page, cause, letter))
    }
  }
  return found
}

function readLetter({ type, version, data }: Entry): DeadLettered | undefined {
  if (type !== 'tidemark.DeadLettered') return undefined
  return findReservedFault(type, version, data) === undefined ? (data as DeadLettered) : undefined
}

/** The line of an event of this user. It may come with the same page; that a device does not hold it is no fault. */
async function findCause(
  { store, user }: DeadLetterPorts,
  page: Written,
  id: EventId,
): Promise<string | undefined> {
  const at = page.entries.findIndex((each) => each.id === id)
  const line = page.lines[at]
  const found =
    line === undefined
      ? (await searchEntries(store, page, id)).find(({ entry }) => entry.id === id)
      : { entry: parseEntry(page, line), line }
  return found?.entry.author === user ? found.line : undefined
}

function toRefused(
  { now }: DeadLetterPorts,
  { topic, scope }: LogName,
  line: string,
  { id, consumer, code, reason, attempts }: DeadLettered,
): AnyRefused {
  return {
    topic,
    scope,
    id: id as EventId,
    line: claimOf(line),
    refusal: { code: 'DEAD_LETTERED', details: { consumer, code, reason, attempts } },
    refusedAt: now,
  }
}

const eventMark = ',"event":'

/** The author's own bytes, as an entry's line carries them. What stands before is flat, so the mark cannot come earlier. */
export const claimOf = (line: string): string =>
  line.slice(line.indexOf(eventMark) + eventMark.length, -1)
