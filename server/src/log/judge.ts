/**
 * The judging of attempts, the same for every log: a pure decision on what the append transaction sees.
 * Known ids come first, so an answer that was lost on the way is repeated and never judged again.
 */
import { hash } from 'node:crypto'
import type { Cursor, EventId, LogName, Position, Refusal } from '@tidemark/shared'
import { assert, writeEntry } from '@tidemark/shared'
import type { Attempt, AttemptEvent, Outcome } from './log.ts'

/** A stored verdict on one event, and what it takes to tell whether the same event has come again. */
export type Known =
  | {
      readonly type: 'accepted'
      readonly position: number
      /** Reads the entry. Left for when it is needed: mostly an event is new. */
      readonly entry: () => PlacedClaim
    }
  | {
      readonly type: 'refused'
      readonly author: string
      /** SHA-256 of the author's line, which is not kept. */
      readonly hash: Uint8Array
      readonly refusal: Refusal
    }

/** An entry, taken apart. */
export interface PlacedClaim {
  readonly author: string
  readonly revision: number
  readonly receivedAt: number
  /** The author's line. */
  readonly line: string
}

/** What judging needs of an append transaction. */
export interface Transaction {
  known(log: LogName, id: EventId): Known | undefined
  /** The revision of a stream, 0 where it has no entries. */
  revision(log: LogName, stream: string): number
  /** Writes the entries and their verdicts. */
  accept(attempt: Attempt): { readonly position: number; readonly revisions: readonly number[] }
  /** Writes a refusal for each event that has no verdict yet. */
  refuse(attempt: Attempt, id: EventId, refusal: Refusal): void
}

/** Judges chains of attempts inside a transaction; what it decides, it has written when it returns. */
export function judgeChains(
  chains: readonly (readonly Attempt[])[],
  transaction: Transaction,
): readonly (readonly Outcome[])[] {
  return chains.map((chain) => {
    const outcomes: Outcome[] = []
    for (const attempt of chain) {
      const outcome = judge(attempt, transaction)
      outcomes.push(outcome)
      if (outcome.type === 'blocked' || outcome.type === 'held') break
    }
    return outcomes
  })
}

function judge(attempt: Attempt, transaction: Transaction): Outcome {
  const known = findKnown(attempt, transaction) ?? findDenial(attempt, transaction)
  if (!known) {
    const { position, revisions } = transaction.accept(attempt)
    return { type: 'accepted', position: position as Position, revisions, fresh: true }
  }
  if (known.type === 'refused' && known.fresh) {
    // Nothing is stored for who may not write here, not even a refusal: the ids may be other people's.
    if (attempt.denied?.type === 'held') return attempt.denied
    transaction.refuse(attempt, known.id, known.refusal)
  }
  return known
}

const refused = (id: EventId, refusal: Refusal, fresh = true): Outcome => ({
  type: 'refused',
  id,
  refusal,
  fresh,
})
const reused = (id: EventId): Outcome => refused(id, { code: 'ID_REUSED', details: undefined })

/** The outcome where any of the ids has a verdict, or stands twice in the batch. */
function findKnown(attempt: Attempt, transaction: Transaction): Outcome | undefined {
  const { events, log } = attempt
  if (events.length > 1 && new Set(events.map(({ id }) => id)).size < events.length) {
    const twice = events.find(({ id }, at) => events.findIndex((each) => each.id === id) < at)
    if (twice) return reused(twice.id)
  }
  const known = events.map(({ id }) => transaction.known(log, id))
  if (!known.some(Boolean)) return undefined
  const foreign = events.find((event, at) => isForeign(attempt, event, known[at]))
  if (foreign) return reused(foreign.id)
  return repeatRefusal(events, known) ?? repeatAcceptance(events, known)
}

/** Is this id known for something else? What comes from the broker is an echo of ours if the id is. */
function isForeign(attempt: Attempt, event: AttemptEvent, known: Known | undefined): boolean {
  if (!known || attempt.source === 'broker') return false
  if (known.type === 'accepted') {
    const { author, line } = known.entry()
    return author !== attempt.author || line !== event.line
  }
  return known.author !== attempt.author || !sameBytes(known.hash, hashLine(event.line))
}

/** What is kept of the bytes of an event that was refused. */
export const hashLine = (line: string): Uint8Array => hash('sha256', line, 'buffer')

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at])
}

/** A batch with a refused event is refused by the event that was the reason then. */
function repeatRefusal(
  events: readonly AttemptEvent[],
  known: readonly (Known | undefined)[],
): Outcome | undefined {
  const refusals = events.flatMap(({ id }, at) => {
    const each = known[at]
    return each?.type === 'refused' ? [{ id, refusal: each.refusal }] : []
  })
  const culprit = refusals.find(({ refusal }) => refusal.code !== 'BATCH_REFUSED') ?? refusals[0]
  if (!culprit) return undefined
  return refused(culprit.id, culprit.refusal, refusals.length < events.length)
}

/** A batch whose events were accepted side by side is this very batch; any other use of their ids is not. */
function repeatAcceptance(
  events: readonly AttemptEvent[],
  known: readonly (Known | undefined)[],
): Outcome {
  const places = known.map((each) => (each?.type === 'accepted' ? each : undefined))
  const [first] = places
  if (!first || places.some((place, at) => place?.position !== first.position + at)) {
    const known = events.find((_, at) => places[at])
    assert(known, 'one of the events has been accepted')
    return reused(known.id)
  }
  return {
    type: 'accepted',
    position: first.position as Position,
    revisions: places.map((place) => place?.entry().revision ?? 0),
    fresh: false,
  }
}

/** What keeps an unknown batch out, in the order that the law names. */
function findDenial(attempt: Attempt, transaction: Transaction): Outcome | undefined {
  const { denied, after, expectedRevision, events, log } = attempt
  if (denied?.type === 'held') return denied
  if (denied) return refused(denied.id, denied.refusal)
  if (after !== undefined && transaction.known(log, after)?.type !== 'accepted') {
    return { type: 'blocked', by: after }
  }
  const [first] = events
  if (expectedRevision !== undefined && first) {
    const actual = transaction.revision(log, first.stream)
    if (actual !== expectedRevision) {
      const details = { expected: expectedRevision, actual }
      return refused(first.id, { code: 'REVISION_CONFLICT', details })
    }
  }
  return undefined
}

/** The refusal to store for each event of a batch that was refused because of `id`. */
export const refusalOf = (event: AttemptEvent, id: EventId, refusal: Refusal): Refusal =>
  event.id === id ? refusal : { code: 'BATCH_REFUSED', details: { by: id } }

/** Is this the very entry that a cursor names, and not the same event that was taken anew after a restore? */
export const isNamedBy = ({ receivedAt }: Cursor, entry: PlacedClaim): boolean =>
  receivedAt === undefined || receivedAt === entry.receivedAt

/** The entry lines of an accepted attempt, line feeds between them. */
export function writeBatch(
  { events, author, source }: Attempt,
  position: number,
  revisions: readonly number[],
  receivedAt: number,
): string {
  const batch = events.length > 1 ? events[0]?.id : undefined
  return events
    .map(({ line }, at) =>
      writeEntry(
        {
          position: position + at,
          revision: revisions[at] ?? 0,
          receivedAt,
          source,
          author,
          batch,
        },
        line,
      ),
    )
    .join('\n')
}

const eventMark = ',"event":'

/** Takes apart an entry's line. What stands before the event is flat, so the mark cannot come earlier. */
export function takeApart(entry: string): PlacedClaim {
  const at = entry.indexOf(eventMark)
  const { author, revision, receivedAt } = JSON.parse(`${entry.slice(0, at)}}`) as PlacedClaim
  return { author, revision, receivedAt, line: entry.slice(at + eventMark.length, -1) }
}
