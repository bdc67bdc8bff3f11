/** One attempt at one event inside a transaction, and what is written where it fails. */
import {
  type DomainEvent,
  findReservedFault,
  isReservedType,
  isTidemarkError,
  TidemarkError,
} from '@tidemark/shared'
import { runWithin } from '../deadline.ts'
import { type Delivery, interestIn, unknownEvent } from './delivery.ts'
import { deriveId } from './derive.ts'
import { causeOf, createEmit, deadLettered, type Result } from './emit.ts'
import { type Failure, toFailure, toHold } from './policy.ts'
import type { Hold } from './processed/holds.ts'
import type { Unit } from './processed/processed.ts'
import { startSaga } from './saga.ts'
import type { Context, Settings } from './settings.ts'

/**
 * Runs the event's handler between a savepoint and its release. Returned: what it answered. Throws what
 * the handler threw, or `HANDLER_TIMEOUT`: then the handler is still at it, and the transaction must end.
 */
export async function attemptEvent<Tx>(
  settings: Settings<Tx>,
  unit: Unit<Tx>,
  { event, kept }: Delivery,
  attempt: number,
): Promise<readonly Result[]> {
  const { on, author, system, handlerMsMax } = settings
  const checked = checkEvent(settings, event)
  const answers = createEmit(author, causeOf(event))
  const context = (signal: AbortSignal): Context<Tx> => ({
    tx: unit.tx,
    emit: answers.emit,
    attempt,
    replayed: kept.replayed,
    signal,
    get key() {
      return deriveId(event.id, author.name)
    },
    revision: (name) => unit.revision(author.name, name),
    advance: (name, revision) => unit.advance(author.name, name, revision),
    start: (saga, input, key) =>
      startSaga(unit, saga, { cause: causeOf(event), input, key, now: system.now() }),
  })
  const onLate = (): Error => new TidemarkError('HANDLER_TIMEOUT', { ms: handlerMsMax })
  try {
    await runWithin(system, handlerMsMax, onLate, (signal) =>
      unit.savepoint(async () => on[event.type]?.(checked, context(signal))),
    )
  } finally {
    answers.end()
  }
  return answers.results
}

/** The event with the data that its schema returns. Throws `UNKNOWN_TYPE` or `SCHEMA_INVALID`. */
function checkEvent<Tx>({ topic, on }: Settings<Tx>, event: DomainEvent): DomainEvent {
  if (isReservedType(event.type)) {
    const message = findReservedFault(event.type, event.version, event.data)
    if (message === undefined) return event
    throw new TidemarkError('SCHEMA_INVALID', { issues: [{ path: 'data', message }] })
  }
  if (interestIn(topic, on, event) !== 'handle') throw unknownEvent(event)
  const data: unknown = topic.check(event.type, event.version, event.data)
  return { ...event, data, version: topic.versions[event.type] ?? event.version }
}

/** Is this failure the event's, rather than the database's? */
export const isOfEvent = (error: unknown): boolean =>
  !isTidemarkError(error, 'PROCESSED_UNAVAILABLE')

/** Has a transaction ended by what its events did in it, the database being well? */
export const isLost = (error: unknown): boolean =>
  isTidemarkError(error, 'HANDLER_TIMEOUT') || isTidemarkError(error, 'HANDLER_FAILED')

/**
 * Writes down that an event failed: its stream is held, and the event waits in it. Parking it for the
 * first time tells its author. Returned: how it is held.
 */
export async function holdEvent<Tx>(
  settings: Settings<Tx>,
  unit: Unit<Tx>,
  delivery: Delivery,
  error: unknown,
  attempts: number,
  before?: Hold,
): Promise<Hold> {
  const { name, owner, system, retry, attemptsMax } = settings
  const { event, kept, key } = delivery
  const now = system.now()
  const failure = toFailure(error, retry)
  const hold = toHold(failure, attempts, before, { retry, attemptsMax, now, random: system.random })
  await unit.attempts.blame(name, event.id)
  await unit.holds.hold(name, key, hold)
  await unit.holds.setAside(name, key, kept, now)
  if (hold.state === 'parked' && before?.parkedAt === undefined) {
    await unit.outbox.enqueue(name, owner, tellAuthor(settings, event, failure, attempts), now)
  }
  return hold
}

/** What tells an author; nothing where the broker would not carry it, for the event has to be parked all the same. */
function tellAuthor<Tx>(
  { name, author, logger }: Settings<Tx>,
  event: DomainEvent,
  { code, told: reason }: Failure,
  attempts: number,
): readonly Result[] {
  const data = { id: event.id, consumer: name, code, reason, attempts }
  try {
    return [deadLettered(author, event, data)]
  } catch (err) {
    const fields = { event: 'consumer-not-told', consumer: name, id: event.id, err }
    logger.error(fields, 'the author of a parked event cannot be told')
    return []
  }
}

/** Says that an event failed, once that is committed. */
export function noteFailure<Tx>(settings: Settings<Tx>, { event }: Delivery, hold: Hold): void {
  const { counts, logger, name, bells } = settings
  const { code, reason, attempts } = hold
  const fields = { consumer: name, id: event.id, type: event.type, code, reason, attempts }
  counts.failed += 1
  bells.retry.ring()
  if (hold.state === 'retrying') {
    logger.warn({ event: 'consumer-failed', ...fields }, 'an event failed, and will be tried again')
    return
  }
  counts.parked += 1
  bells.send.ring()
  logger.error({ event: 'consumer-parked', ...fields }, 'an event failed: its stream is parked')
}
