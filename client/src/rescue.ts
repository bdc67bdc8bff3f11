/** A rescue file, or what somebody wrote before they had signed in, into the outbox of a client. Doing it twice does it once. */
import {
  type DomainEvent,
  type EventId,
  parseClaim,
  parseEntry,
  parseRescue,
  type Position,
  type RescuedBatch,
  TidemarkError,
} from '@tidemark/shared'
import type { Client } from './client.ts'
import { exportFrom } from './export-unsynced.ts'
import { type Inside, insideOf } from './inside.ts'
import { readPages } from './search.ts'
import { destroy, endAll, othersHaveEnded } from './sign-out.ts'
import type { Batch, Decision } from './store/store.ts'
import { createTurns, type Turns } from './turns.ts'

export { exportUnsynced } from './export-unsynced.ts'

/** What became of the events of a file. */
export interface Imported {
  /** In the outbox now. */
  readonly imported: readonly EventId[]
  /** Known on this device already, with whatever became of them. */
  readonly known: readonly EventId[]
}

/** How a file is read. */
export interface ImportOptions {
  /** Whose file it is, where it shall become this client's user's own: somebody who had not signed in. */
  readonly from?: string
}

/**
 * Puts what a rescue file holds at the end of this device's outbox, with the ids and the bytes that it has.
 * Rejects with `RESCUE_INVALID` for what is no whole file, or that of another user or scope; with
 * `UNKNOWN_TOPIC`; or with one of the `STORAGE_` codes.
 */
export async function importUnsynced(
  client: Pick<Client, 'status'>,
  file: string,
  { from }: ImportOptions = {},
): Promise<Imported> {
  const inside = insideOf(client)
  const { batches, user, scope } = await parseRescue(file)
  if (user !== (from ?? inside.user) || scope !== inside.scope) {
    const reason = `it is of ${user} in ${scope}, and this is ${inside.user} in ${inside.scope}`
    throw new TidemarkError('RESCUE_INVALID', { reason })
  }
  const unknown = batches.find(({ topic }) => !inside.topics.has(topic))
  if (unknown) throw new TidemarkError('UNKNOWN_TOPIC', { topic: unknown.topic })
  const turns = importing.get(inside) ?? createTurns()
  importing.set(inside, turns)
  return turns(() => bringIn(inside, batches))
}

/** One after the other: what a file has in common with the one before is known when that is on the disk. */
const importing = new WeakMap<Inside, Turns>()

async function bringIn(inside: Inside, batches: readonly RescuedBatch[]): Promise<Imported> {
  const rows = batches.map((batch) => ({ batch, events: toEvents(inside, batch) }))
  const known = await findKnown(inside, new Set(rows.flatMap(({ events }) => events.map(toId))))
  const isNew = (events: readonly DomainEvent[]): boolean => !events.some(({ id }) => known.has(id))
  const written = await Promise.all(
    rows
      .filter(({ events }) => isNew(events))
      .map((row) =>
        inside.writer.write({
          prepare: () => ({ batch: toBatch(row.batch), events: row.events }),
          durability: 'strict',
        }),
      ),
  )
  return {
    imported: written.flatMap((each) => (each.ok ? each.ids : [])),
    known: rows.filter(({ events }) => !isNew(events)).flatMap(({ events }) => events.map(toId)),
  }
}

/**
 * Makes what somebody wrote before they had signed in their own: it moves into `client`, and the database
 * that it was in is deleted. `anonymous` is closed first, in every tab; it must never have been let in by a
 * gateway, for what that has accepted has its author. Where this breaks off half-way, everything is still
 * there, and it is safe to do again.
 */
export async function adopt(
  client: Pick<Client, 'status'>,
  anonymous: Pick<Client, 'status'>,
): Promise<Imported> {
  const inside = insideOf(anonymous)
  const disk = await endAll(inside)
  await othersHaveEnded(inside)
  const file = await exportFrom(inside, disk)
  const imported = await importUnsynced(client, file, { from: inside.user })
  // Only what the other outbox holds durably leaves this one.
  await destroy(inside, disk, true)
  return imported
}

const toId = ({ id }: DomainEvent): EventId => id

const toEvents = ({ user }: Inside, { topic, scope, lines }: RescuedBatch): DomainEvent[] =>
  lines.map((line) => ({ topic, scope, author: user, ...parseClaim(line) }))

function toBatch(batch: RescuedBatch): Batch {
  const { topic, scope, lines, after, expectedRevision, decision } = batch
  return {
    topic,
    scope,
    lines,
    ...(after !== undefined && { after }),
    ...(expectedRevision !== undefined && { expectedRevision }),
    ...(decision !== undefined && { decision: decision as Decision }),
  }
}

/** Which of these events this device has already, in the outbox, among the entries, or as what became of them. */
async function findKnown(
  { store, replica, logs, catchUp }: Inside,
  ids: ReadonlySet<EventId>,
): Promise<ReadonlySet<EventId>> {
  await catchUp()
  const known = new Set<EventId>()
  for (const id of ids) {
    const isHere = replica.isPending(id) || replica.isRefused(id)
    if (isHere || (await store.fate(id)) || (await store.accepted(id))) known.add(id)
  }
  for (const log of logs) {
    for await (const lines of readPages(store, log, 0 as Position)) {
      for (const line of lines) {
        const { id } = parseEntry(log, line)
        if (ids.has(id)) known.add(id)
      }
    }
  }
  return known
}
