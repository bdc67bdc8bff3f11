/**
 * Sagas, step by step. An attempt is written down before the call, its outcome in the transaction that
 * moves the saga on; so after a crash at any point it goes on where it was, with the same keys. Completed
 * steps are compensated in reverse order, steps that never ran are not.
 */
import { backoffMs, type System, TidemarkError } from '@tidemark/shared'
import { runWithin } from '../deadline.ts'
import type { Logger } from '../logger.ts'
import { deriveId } from './derive.ts'
import { type Author, createEmit } from './emit.ts'
import type { Claimed } from './loop.ts'
import { defaultRetry, type Failure, toFailure } from './policy.ts'
import type { Processed, Unit } from './processed/processed.ts'
import type { SagaRow, SagaStepRow } from './processed/sagas.ts'
import type { Act, Outcome, Saga, Step } from './saga.ts'

/** A saga of any input. */
export type AnySaga<Tx> = Saga<never, Tx>

/** What runs sagas. */
export interface SagaSettings<Tx> {
  readonly sagas: readonly AnySaga<Tx>[]
  readonly processed: Processed<Tx>
  readonly author: Author
  /** This run of the consumer, for its resulting events. */
  readonly owner: string
  readonly system: System
  readonly logger: Logger
  /** Resulting events are committed. */
  onResults(): void
}

/** A claim outlives the step's deadline by so much, in milliseconds. */
const claimGraceMs = 5_000

/** One claim of one saga: the row as it was claimed, and what it had done by then. */
interface Turn<Tx> {
  readonly saga: Saga<unknown, Tx>
  readonly row: SagaRow
  readonly step: Step<unknown, Tx>
  readonly steps: readonly SagaStepRow[]
  readonly key: string
}

/** Claims the saga that is due longest: counts the attempt, and keeps others away until it must have ended. */
export async function claimSaga<Tx>(settings: SagaSettings<Tx>): Promise<Claimed> {
  const { sagas, processed, system } = settings
  const now = system.now()
  const names = sagas.map(({ name }) => name)
  const claim = async (unit: Unit<Tx>): Promise<Turn<Tx> | number | undefined> => {
    const { item: row, nextAt } = await unit.sagas.due(names, now)
    if (!row) return nextAt === undefined ? undefined : nextAt - now
    const saga = sagas.find(({ name }) => name === row.name) as unknown as Saga<unknown, Tx>
    const step = saga.steps[row.step]
    if (!step) {
      const last = row.state === 'running' ? row.step - 1 : row.step
      await unit.sagas.save({ ...row, ...unknownStep, step: last, changedAt: now })
      return 0
    }
    const claimed: SagaRow = {
      ...row,
      attempts: row.attempts + 1,
      term: row.term + 1,
      dueAt: now + stepMsOf(saga) + claimGraceMs,
      changedAt: now,
    }
    await unit.sagas.save(claimed)
    const key = deriveId(row.id, row.state === 'running' ? 'run' : 'compensate', step.name)
    return { saga, row: claimed, step, steps: await unit.sagas.steps(row.id), key }
  }
  const turn = await processed.transaction(claim, { survives: 'process' })
  if (typeof turn !== 'object') return { waitMs: turn }
  return { advance: () => advance(settings, turn), waitMs: 0 }
}

const stepMsOf = <Tx>({ stepMsMax = 30_000 }: Saga<unknown, Tx>): number => stepMsMax
const attemptsOf = <Tx>(saga: Saga<unknown, Tx>, { state }: SagaRow): number =>
  state === 'running' ? (saga.attemptsMax ?? 5) : (saga.compensationAttemptsMax ?? 10)

const unknownStep = {
  state: 'needs-human',
  code: 'UNKNOWN_STEP',
  reason: 'The definition has no such step any more.',
} as const

async function advance<Tx>(settings: SagaSettings<Tx>, turn: Turn<Tx>): Promise<void> {
  const { saga, row } = turn
  try {
    if (row.attempts > attemptsOf(saga, row)) {
      throw new TidemarkError('HANDLER_CRASHED', { attempts: row.attempts - 1 })
    }
    const result = await perform(settings, turn)
    await moveOn(settings, turn, result)
  } catch (error) {
    const failure = toFailure(error, saga.retry ?? defaultRetry)
    if (failure.code === 'PROCESSED_UNAVAILABLE') throw error
    await fail(settings, turn, failure)
  }
}

/** What one half of a step does, whichever it is. */
const actOf = <Tx>({ step, row }: Turn<Tx>): Act<unknown, Tx, object, unknown> =>
  (row.state === 'running' ? step.run : step.compensate) as Act<unknown, Tx, object, unknown>

const resultsOf = (steps: readonly SagaStepRow[]): Readonly<Record<string, unknown>> =>
  Object.fromEntries(steps.map(({ name, result }) => [name, result]))

/** Performs the act outside of any transaction. Throws what it threw, or `HANDLER_TIMEOUT`. */
async function perform<Tx>({ system }: SagaSettings<Tx>, turn: Turn<Tx>): Promise<unknown> {
  const { saga, row, steps, key } = turn
  const ms = stepMsOf(saga)
  const context = {
    key,
    attempt: row.attempts,
    results: resultsOf(steps),
    result: steps.find(({ step }) => step === row.step)?.result,
  }
  const onLate = (): Error => new TidemarkError('HANDLER_TIMEOUT', { ms })
  return runWithin(system, ms, onLate, async (signal) =>
    actOf(turn).perform?.(row.input, { ...context, signal }),
  )
}

/** Writes the act down, with what it commits, and moves the saga on, unless somebody else has claimed it since. */
async function moveOn<Tx>(
  settings: SagaSettings<Tx>,
  turn: Turn<Tx>,
  returned: unknown,
): Promise<void> {
  const { row, step, saga } = turn
  const { processed, system } = settings
  await processed.transaction(async (unit) => {
    if (!(await isOurs(unit, row))) return
    const now = system.now()
    const isForward = row.state === 'running'
    const known = turn.steps.find((one) => one.step === row.step)
    const result = isForward ? returned : known?.result
    await unit.savepoint(() => commitAct(settings, unit, turn, result))
    const state = isForward ? 'completed' : 'compensated'
    await unit.sagas.saveStep(row.id, { step: row.step, name: step.name, state, result, at: now })
    const next = isForward ? row.step + 1 : row.step - 1
    const isEnd = next < 0 || next >= saga.steps.length
    if (isEnd) await unit.savepoint(() => end(settings, unit, turn, state, row))
    const after = { ...row, step: isEnd ? row.step : next, attempts: 0, dueAt: now, changedAt: now }
    await unit.sagas.save({ ...after, state: isEnd ? state : row.state })
  })
  settings.onResults()
}

/** Whoever was away for longer than the claim finds a higher term. */
async function isOurs<Tx>(unit: Unit<Tx>, row: SagaRow): Promise<boolean> {
  const now = await unit.sagas.get(row.id)
  return now?.term === row.term && now.state === row.state
}

async function commitAct<Tx>(
  settings: SagaSettings<Tx>,
  unit: Unit<Tx>,
  turn: Turn<Tx>,
  result: unknown,
): Promise<void> {
  const { row, key, step } = turn
  const act = actOf(turn)
  if (!act.commit) return
  const answers = createEmit(settings.author, row.cause, row.id, row.state, step.name)
  const results = resultsOf(turn.steps)
  await act.commit(row.input, { tx: unit.tx, emit: answers.emit, key, results, result })
  answers.end()
  const { author, owner, system } = settings
  await unit.outbox.enqueue(author.name, owner, answers.results, system.now())
}

/** Lets the saga say how it ended, in the transaction that ends it. */
async function end<Tx>(
  settings: SagaSettings<Tx>,
  unit: Unit<Tx>,
  { saga, key, steps }: Turn<Tx>,
  outcome: Outcome,
  row: SagaRow,
): Promise<void> {
  if (!saga.ended) return
  const { author, owner, system } = settings
  const { emit, results, end } = createEmit(author, row.cause, row.id, outcome)
  const { code, reason } = row
  const context = { tx: unit.tx, emit, key, results: resultsOf(steps), code, reason }
  await saga.ended(outcome, row.input, context)
  end()
  await unit.outbox.enqueue(author.name, owner, results, system.now())
}

/** Tries again later, turns to compensation, or asks for a person. */
async function fail<Tx>(
  settings: SagaSettings<Tx>,
  turn: Turn<Tx>,
  failure: Failure,
): Promise<void> {
  const { processed, logger } = settings
  const { row, saga, step } = turn
  const next = await processed.transaction(async (unit) => {
    if (!(await isOurs(unit, row))) return undefined
    const next = await afterFailure(settings, unit, turn, failure)
    await unit.sagas.save(next)
    return next
  })
  if (!next) return
  settings.onResults()
  const { code, reason } = failure
  const fields = { saga: saga.name, id: row.id, step: step.name, code, reason, state: next.state }
  if (next.state === 'needs-human') {
    logger.error({ event: 'saga-needs-human', ...fields }, 'a compensation failed for good')
  } else {
    logger.warn({ event: 'saga-step-failed', ...fields }, 'a step of a saga failed')
  }
}

async function afterFailure<Tx>(
  settings: SagaSettings<Tx>,
  unit: Unit<Tx>,
  turn: Turn<Tx>,
  failure: Failure,
): Promise<SagaRow> {
  const { row, saga, step } = turn
  const { system } = settings
  const now = system.now()
  const { code, reason } = failure
  if (failure.retryable && row.attempts < attemptsOf(saga, row)) {
    const waitMs = backoffMs(saga.retry ?? defaultRetry, row.attempts - 1, system.random)
    return { ...row, dueAt: now + waitMs, changedAt: now }
  }
  const turned: SagaRow = { ...row, attempts: 0, dueAt: now, changedAt: now }
  if (row.state === 'compensating') {
    const stuck: SagaRow = { ...turned, state: 'needs-human', code, reason }
    await tell(settings, unit, turn, 'needs-human', stuck)
    return stuck
  }
  const isUnsure = failure.retryable && step.compensatesUnsure
  const first = isUnsure ? row.step : row.step - 1
  const why: SagaRow = { ...turned, code, reason }
  if (first >= 0) return { ...why, state: 'compensating', step: first }
  const isTold = await tell(settings, unit, turn, 'compensated', why)
  return { ...why, state: isTold ? 'compensated' : 'needs-human', step: first }
}

/** Lets the saga say how it ended; what it says must not keep that from being written down. */
async function tell<Tx>(
  settings: SagaSettings<Tx>,
  unit: Unit<Tx>,
  turn: Turn<Tx>,
  outcome: Outcome,
  row: SagaRow,
): Promise<boolean> {
  try {
    await unit.savepoint(() => end(settings, unit, turn, outcome, row))
    return true
  } catch (err) {
    const fields = { event: 'saga-end-failed', saga: row.name, id: row.id, outcome, err }
    settings.logger.error(fields, 'a saga could not say how it ended')
    return false
  }
}
