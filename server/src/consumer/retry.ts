/**
 * Held streams, tried again when they are due. The events of a held stream lie in the consumer's own
 * database, so a wait costs no lock at the broker and outlives the process; they leave it in their order.
 */
import { isTidemarkError, TidemarkError } from '@tidemark/shared'
import { attemptEvent, holdEvent, isLost, isOfEvent, noteFailure } from './attempt.ts'
import { type Delivery, openKept } from './delivery.ts'
import type { Claimed } from './loop.ts'
import type { HeldStream, Hold } from './processed/holds.ts'
import type { Unit } from './processed/processed.ts'
import type { Settings } from './settings.ts'

/** A claim outlives the handler's deadline by so much, in milliseconds: whoever holds it has ended by then. */
const claimGraceMs = 5_000

interface Claim {
  readonly stream: HeldStream
  readonly delivery: Delivery
  readonly attempt: number
}

/** What a look at the held streams came to: a claim, or when the next one is due, or neither. */
type Look =
  | { readonly type: 'claimed'; readonly claim: Claim }
  | { readonly type: 'parked'; readonly delivery: Delivery; readonly hold: Hold }
  | { readonly type: 'again' }
  | { readonly type: 'wait'; readonly ms: number | undefined }

/** Claims the stream that is due longest. */
export async function claimHeld<Tx>(settings: Settings<Tx>): Promise<Claimed> {
  const look = await settings.processed.transaction((unit) => claimStream(settings, unit), {
    survives: 'process',
  })
  switch (look.type) {
    case 'wait':
      return { waitMs: look.ms }
    case 'parked':
      noteFailure(settings, look.delivery, look.hold)
      return { waitMs: 0 }
    case 'claimed':
      return { advance: () => tryClaimed(settings, look.claim), waitMs: 0 }
    case 'again':
      return { waitMs: 0 }
  }
}

/** Counts the attempt, and keeps others away until it must have ended. */
async function claimStream<Tx>(settings: Settings<Tx>, unit: Unit<Tx>): Promise<Look> {
  const { name, system, attemptsMax, handlerMsMax } = settings
  const now = system.now()
  const { item: stream, nextAt } = await unit.holds.due(name, now)
  if (!stream) return { type: 'wait', ms: nextAt === undefined ? undefined : nextAt - now }
  const [first] = await unit.holds.aside(name, stream.key, 1)
  if (!first) {
    await unit.holds.release(name, stream.key)
    return { type: 'again' }
  }
  const delivery = openKept(first, stream.key)
  const standing = (await unit.attempts.standing(name, [first.id])).get(first.id)
  if (standing?.done) {
    await letOut(unit, name, stream.key, first.id, now)
    return { type: 'again' }
  }
  const ended = standing?.attempts ?? 0
  if (ended >= attemptsMax) {
    const crashed = new TidemarkError('HANDLER_CRASHED', { attempts: ended })
    const hold = await holdEvent(settings, unit, delivery, crashed, ended, stream)
    return { type: 'parked', delivery, hold }
  }
  await unit.attempts.count(name, [first.id], false)
  const claimed = { ...stream, dueAt: now + handlerMsMax + claimGraceMs }
  await unit.holds.hold(name, stream.key, claimed)
  return { type: 'claimed', claim: { stream: claimed, delivery, attempt: ended + 1 } }
}

async function tryClaimed<Tx>(settings: Settings<Tx>, claim: Claim): Promise<void> {
  const { counts, bells, processed } = settings
  try {
    const hold = await processed.transaction((unit) => tryStream(settings, unit, claim))
    if (hold === 'lost') return
    if (hold) {
      noteFailure(settings, claim.delivery, hold)
    } else {
      counts.processed += 1
      bells.send.ring()
      bells.sagas.ring()
    }
  } catch (error) {
    if (!isLost(error)) throw error
    const hold = await processed.transaction(async (unit) =>
      (await isOurs(settings, unit, claim)) ? failClaimed(settings, unit, claim, error) : undefined,
    )
    if (hold) noteFailure(settings, claim.delivery, hold)
  }
}

/** Makes the effect of the stream's first event, or writes down that it failed again. */
async function tryStream<Tx>(
  settings: Settings<Tx>,
  unit: Unit<Tx>,
  claim: Claim,
): Promise<Hold | 'lost' | undefined> {
  const { name, owner, system } = settings
  const { delivery, stream, attempt } = claim
  if (!(await isOurs(settings, unit, claim))) return 'lost'
  try {
    const results = await attemptEvent(settings, unit, delivery, attempt)
    await unit.attempts.finish(name, [delivery.event.id], system.now())
    await unit.outbox.enqueue(name, owner, results, system.now())
    await letOut(unit, name, stream.key, delivery.event.id, system.now())
    return undefined
  } catch (error) {
    if (!isOfEvent(error) || isTidemarkError(error, 'HANDLER_TIMEOUT')) throw error
    return failClaimed(settings, unit, claim, error)
  }
}

const failClaimed = <Tx>(
  settings: Settings<Tx>,
  unit: Unit<Tx>,
  { delivery, attempt, stream }: Claim,
  error: unknown,
): Promise<Hold> => holdEvent(settings, unit, delivery, error, attempt, stream)

/** Whoever was away for longer than the claim finds that somebody else has claimed the stream, or a person has changed it. */
async function isOurs<Tx>(
  { name }: Settings<Tx>,
  unit: Unit<Tx>,
  { stream, delivery }: Claim,
): Promise<boolean> {
  const held = (await unit.holds.held(name, [stream.key])).get(stream.key)
  if (held?.state !== 'retrying' || held.dueAt !== stream.dueAt) return false
  const [first] = await unit.holds.aside(name, stream.key, 1)
  return first?.id === delivery.event.id
}

/** Takes an event out of its held stream: the next one is due at once, and the last one lets the stream flow. */
export async function letOut<Tx>(
  unit: Unit<Tx>,
  consumer: string,
  key: string,
  id: string,
  now: number,
): Promise<void> {
  await unit.holds.takeBack(consumer, id)
  const [next] = await unit.holds.aside(consumer, key, 1)
  if (!next) return unit.holds.release(consumer, key)
  await unit.holds.hold(consumer, key, {
    state: 'retrying',
    code: 'BEHIND',
    reason: 'It waited behind an event that is done now.',
    attempts: 0,
    firstAt: now,
    lastAt: now,
    dueAt: now,
  })
}
