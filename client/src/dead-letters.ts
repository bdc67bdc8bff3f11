/** What consumers have set aside: it enters the list of refused events of whoever wrote it, with the consumer's reason. */
import {
  type DeadLettered,
  type EventId,
  findReservedFault,
  type Entry,
  type LogName,
  parseEntry,
  type Position,
  type System,
  uuidPattern,
} from '@tidemark/shared'
import type { Outbox } from './outbox.ts'
import { readPages } from './search.ts'
import type { AnyRefused, Page, Store } from './store/store.ts'

/** What finding dead letters needs. */
export interface DeadLetterPorts {
  readonly store: Store
  /** Where a log was restored, what it says of an event may come before the event is in it again. */
  readonly replica: { readonly outbox: Outbox }
  /** Whose events are looked for. */
  readonly deciding: { readonly user: string }
  readonly system: System
}

const start = 0 as Position

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
    const letters = page.entries.flatMap((entry) => readLetter(entry) ?? [])
    if (letters.length === 0) continue
    const causes = await findCauses(ports, page, new Set(letters.map(({ id }) => id)))
    for (const letter of letters) {
      const cause = causes.get(letter.id)
      if (cause !== undefined) found.push(toRefused(ports, page, cause, letter))
    }
  }
  return found
}

function readLetter({ type, version, data }: Entry): DeadLettered | undefined {
  if (type !== 'tidemark.DeadLettered') return undefined
  if (findReservedFault(type, version, data) !== undefined) return undefined
  const letter = data as DeadLettered
  return uuidPattern.test(letter.id) ? letter : undefined
}

/**
 * The author's lines of this user's events of these ids, which are taken from `missing` as they are found. They may
 * come with the same page; that a device does not hold one is no fault. The log is looked through once for all.
 */
async function findCauses(
  { store, replica, deciding }: DeadLetterPorts,
  page: Written,
  missing: Set<string>,
): Promise<ReadonlyMap<string, string>> {
  const causes = new Map<string, string>()
  for (const id of missing) {
    const batch = replica.outbox.batchOf(id as EventId)
    const line = batch?.lines[batch.events.findIndex((each) => each.id === id)]
    if (line !== undefined && missing.delete(id)) causes.set(id, line)
  }
  const meet = ({ id, author }: Entry, line = ''): void => {
    if (missing.delete(id) && author === deciding.user) causes.set(id, claimOf(line))
  }
  for (const [at, entry] of page.entries.entries()) meet(entry, page.lines[at])
  if (missing.size === 0) return causes
  const mentions = new RegExp([...missing].join('|'))
  for await (const lines of readPages(store, page, start)) {
    for (const line of lines) if (mentions.test(line)) meet(parseEntry(page, line), line)
    if (missing.size === 0) break
  }
  return causes
}

function toRefused(
  { system }: DeadLetterPorts,
  { topic, scope }: LogName,
  line: string,
  { id, consumer, code, reason, attempts }: DeadLettered,
): AnyRefused {
  return {
    topic,
    scope,
    id: id as EventId,
    line,
    refusal: { code: 'DEAD_LETTERED', details: { consumer, code, reason, attempts } },
    refusedAt: system.now(),
  }
}

const eventMark = ',"event":'

/** The author's own bytes, as an entry's line carries them. What stands before is flat, so the mark cannot come earlier. */
export const claimOf = (line: string): string =>
  line.slice(line.indexOf(eventMark) + eventMark.length, -1)
