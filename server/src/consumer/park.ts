/**
 * What people do with what was set aside: they look, redrive and discard. Each act is one transaction
 * with its audit record, and doing it twice is doing it once.
 */
import type { AsideEvent, HeldFilter, HeldStream } from './processed/holds.ts'
import type { Outgoing } from './processed/outbox.ts'
import type { AuditRecord, Backlog, Processed, Unit } from './processed/processed.ts'
import type { SagaFilter, SagaRow, SagaStepRow } from './processed/sagas.ts'
import { letOut } from './retry.ts'

/** Who acts, when and why. */
export interface Act {
  readonly by: string
  readonly note?: string
  /** ms since 1970. */
  readonly now: number
}

/** Streams that do not flow, by consumer and key. */
export const listHeld = <Tx>(
  processed: Processed<Tx>,
  filter: Partial<HeldFilter> = {},
): Promise<readonly HeldStream[]> =>
  processed.transaction((unit) => unit.holds.list({ max: 100, ...filter }))

/** The events that wait in a held stream, oldest first. */
export const listAside = <Tx>(
  processed: Processed<Tx>,
  consumer: string,
  key: string,
  max = 100,
): Promise<readonly AsideEvent[]> =>
  processed.transaction((unit) => unit.holds.aside(consumer, key, max))

/** What people did, newest first. */
export const listAudits = <Tx>(
  processed: Processed<Tx>,
  consumer: string,
  max = 100,
): Promise<readonly AuditRecord[]> => processed.transaction((unit) => unit.audits(consumer, max))

/** What waits in the database for a consumer. */
export const readBacklog = <Tx>(processed: Processed<Tx>, consumer: string): Promise<Backlog> =>
  processed.transaction((unit) => unit.backlog(consumer))

/**
 * Lets a parked stream try again from its first event, in order, with all its attempts. Returned: false
 * where it is not parked, also because somebody has redriven it already.
 */
export function redrive<Tx>(
  processed: Processed<Tx>,
  consumer: string,
  key: string,
  act: Act,
): Promise<boolean> {
  return processed.transaction(async (unit) => {
    const held = (await unit.holds.held(consumer, [key])).get(key)
    if (held?.state !== 'parked') return false
    const [first] = await unit.holds.aside(consumer, key, 1)
    if (first) await unit.attempts.forgive(consumer, first.id)
    await unit.holds.hold(consumer, key, {
      ...held,
      state: 'retrying',
      attempts: 0,
      dueAt: act.now,
    })
    await writeAudit(unit, consumer, 'redrive', key, act)
    return true
  })
}

/**
 * Gives up an event that is set aside: it will never have an effect here. The stream goes on with the
 * event behind it. Returned: false where it is not set aside, also because it is done or discarded.
 */
export function discard<Tx>(
  processed: Processed<Tx>,
  consumer: string,
  id: string,
  act: Act,
): Promise<boolean> {
  return processed.transaction(async (unit) => {
    const found = await unit.holds.find(consumer, id)
    if (!found) return false
    // The stream's lock first, as a retry takes it: whoever was quicker has taken the event out by now.
    await unit.holds.held(consumer, [found.key])
    if (!(await unit.holds.find(consumer, id))) return false
    const [first] = await unit.holds.aside(consumer, found.key, 1)
    if (first?.id === id) await letOut(unit, consumer, found.key, id, act.now)
    else await unit.holds.takeBack(consumer, id)
    await unit.attempts.finish(consumer, [id], act.now)
    await writeAudit(unit, consumer, 'discard', id, act)
    return true
  })
}

/**
 * Forgets the events that were done before `before` (ms since 1970). Whatever hands one of them out again,
 * a replay above all, then makes its effect again. Returned: how many.
 */
export const prune = <Tx>(
  processed: Processed<Tx>,
  consumer: string,
  before: number,
): Promise<number> => processed.transaction((unit) => unit.attempts.prune(consumer, before))

/** Results that the broker will never take, oldest first. */
export const listRefused = <Tx>(
  processed: Processed<Tx>,
  consumer: string,
  max = 100,
): Promise<readonly Outgoing[]> =>
  processed.transaction((unit) => unit.outbox.refused(consumer, max))

/** The result of this number, where the broker will never take it. */
export const findRefused = <Tx>(
  processed: Processed<Tx>,
  consumer: string,
  seq: number,
): Promise<Outgoing | undefined> =>
  processed.transaction((unit) => lookUpRefused(unit, consumer, seq))

/** Sends a refused result once more. Returned: false where there is none of this number. */
export const resendResult = <Tx>(
  processed: Processed<Tx>,
  consumer: string,
  seq: number,
  act: Act,
): Promise<boolean> => settleRefused(processed, consumer, seq, 'resend', act)

/** Gives up a refused result: nobody will hear of it. Returned: false where there is none of this number. */
export const discardResult = <Tx>(
  processed: Processed<Tx>,
  consumer: string,
  seq: number,
  act: Act,
): Promise<boolean> => settleRefused(processed, consumer, seq, 'discard', act)

function settleRefused<Tx>(
  processed: Processed<Tx>,
  consumer: string,
  seq: number,
  action: 'resend' | 'discard',
  act: Act,
): Promise<boolean> {
  return processed.transaction(async (unit) => {
    if (!(await lookUpRefused(unit, consumer, seq))) return false
    if (action === 'resend') await unit.outbox.refuse(seq, undefined)
    else await unit.outbox.confirm([seq])
    await writeAudit(unit, consumer, action, `result ${seq}`, act)
    return true
  })
}

/** A number may come from a URL: no database is asked for what is none. */
const lookUpRefused = async <Tx>(
  { outbox }: Unit<Tx>,
  consumer: string,
  seq: number,
): Promise<Outgoing | undefined> =>
  Number.isSafeInteger(seq) ? await outbox.findRefused(consumer, seq) : undefined

/** Sagas, newest first; those that need a person with `{ state: 'needs-human' }`. */
export const listSagas = <Tx>(
  processed: Processed<Tx>,
  filter: Partial<SagaFilter> = {},
): Promise<readonly SagaRow[]> =>
  processed.transaction((unit) => unit.sagas.list({ max: 100, ...filter }))

/** The steps of a saga that happened, in order. */
export const listSagaSteps = <Tx>(
  processed: Processed<Tx>,
  id: string,
): Promise<readonly SagaStepRow[]> => processed.transaction((unit) => unit.sagas.steps(id))

/**
 * Lets a saga that needs a person go on compensating, from the step it stopped at. Returned: false where
 * it does not need one.
 */
export function resumeSaga<Tx>(
  processed: Processed<Tx>,
  consumer: string,
  id: string,
  act: Act,
): Promise<boolean> {
  return processed.transaction(async (unit) => {
    const row = await unit.sagas.get(id)
    if (row?.state !== 'needs-human') return false
    const state = row.step < 0 ? 'compensated' : 'compensating'
    await unit.sagas.save({ ...row, state, attempts: 0, dueAt: act.now, changedAt: act.now })
    await writeAudit(unit, consumer, 'resume', id, act)
    return true
  })
}

const writeAudit = <Tx>(
  unit: Unit<Tx>,
  consumer: string,
  action: AuditRecord['action'],
  subject: string,
  { by, note = '', now }: Act,
): Promise<void> => unit.audit({ consumer, at: now, by, action, subject, note })
