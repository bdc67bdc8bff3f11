/**
 * What a consumer has set aside in its own database, as dead letters: parked streams, results that the broker
 * will never take, and sagas that need a person. Acts and their audit are one transaction there.
 */
import { assert, type System } from '@tidemark/shared'
import {
  discard,
  discardResult,
  findRefused,
  listAside,
  listHeld,
  listRefused,
  listSagas,
  listSagaSteps,
  redrive,
  resendResult,
  resumeSaga,
} from '../consumer/park.ts'
import type { HeldStream } from '../consumer/processed/holds.ts'
import type { Outgoing } from '../consumer/processed/outbox.ts'
import type { Processed } from '../consumer/processed/processed.ts'
import type { SagaRow } from '../consumer/processed/sagas.ts'
import {
  type Act,
  type ActResult,
  type DeadLetter,
  type DeadLetterDetails,
  type DeadLetterSource,
  eventsShown,
  toRef,
} from './dead-letters.ts'

/** A consumer and its database. */
export interface ConsumerDatabase<Tx = unknown> {
  readonly name: string
  readonly processed: Processed<Tx>
  readonly system: System
  /** False where another consumer of the same database lists its sagas already. True unless said otherwise. */
  readonly sagas?: boolean
}

/** Builds the source over a consumer's database. Its tables are made where they are missing. */
export function setAside<Tx>(database: ConsumerDatabase<Tx>): DeadLetterSource {
  const { name, system, sagas: hasSagas = true } = database
  const processed = openedFirst(database.processed)
  const source = `consumer/${name}`
  const acting = (act: Act) => ({ ...act, now: system.now() })
  const said = (done: boolean): ActResult => (done ? 'done' : 'gone')

  const listStreams = async (max: number): Promise<readonly DeadLetter[]> => {
    const streams = await listHeld(processed, { consumer: name, state: 'parked', max })
    const firsts = streams.map(({ key }) => listAside(processed, name, key, 1))
    return (await Promise.all(firsts)).map(([first], at) => {
      const held = streams[at]
      assert(held, 'every stream was asked for its first event')
      return fromHeld(source, held, first?.id ?? '')
    })
  }
  const showStream = async (key: string, id: string): Promise<DeadLetterDetails | undefined> => {
    const held = await findParked(processed, name, key)
    const events = held ? await listAside(processed, name, key, eventsShown) : []
    if (!held || events[0]?.id !== id) return undefined
    return { ...fromHeld(source, held, id), lines: events.map(({ line }) => line) }
  }
  const showResult = async (seq: number): Promise<DeadLetterDetails | undefined> => {
    const found = await findRefused(processed, name, seq)
    if (!found) return undefined
    const { message } = found
    const lines = [new TextDecoder().decode(message.body)]
    return { ...fromResult(source, name, found), lines, attributes: message.attributes }
  }
  const showSaga = async (id: string): Promise<DeadLetterDetails | undefined> => {
    const found = await processed.transaction((unit) => unit.sagas.get(id))
    if (found?.state !== 'needs-human') return undefined
    const steps = await listSagaSteps(processed, id)
    return { ...fromSaga(source, name, found), lines: steps.map((step) => JSON.stringify(step)) }
  }

  return {
    name: source,
    async list(max) {
      const streams = await listStreams(max)
      const results = await listRefused(processed, name, max)
      const sagas = hasSagas ? await listSagas(processed, { state: 'needs-human', max }) : []
      return [
        ...streams,
        ...results.map((result) => fromResult(source, name, result)),
        ...sagas.map((saga) => fromSaga(source, name, saga)),
      ]
    },
    async show([kind, id = '', event = '']) {
      if (kind === 'stream') return showStream(id, event)
      if (kind === 'result') return showResult(Number(id))
      return kind === 'saga' ? showSaga(id) : undefined
    },
    async redrive([kind, id = '', event], act) {
      if (kind === 'stream') {
        const [first] = await listAside(processed, name, id, 1)
        return said(first?.id === event && (await redrive(processed, name, id, acting(act))))
      }
      if (kind === 'result') {
        return said(await resendResult(processed, name, Number(id), acting(act)))
      }
      return kind === 'saga' ? said(await resumeSaga(processed, name, id, acting(act))) : 'gone'
    },
    async discard([kind, id = '', event], act) {
      if (kind === 'result') {
        return said(await discardResult(processed, name, Number(id), acting(act)))
      }
      if (kind === 'saga') return 'impossible'
      // A stream is given up event by event, so that doing it twice does not give up the next one.
      if (kind !== 'stream' || event === undefined) return 'gone'
      return said(await discard(processed, name, event, acting(act)))
    },
  }
}

/** The same database, opened before its first transaction. */
function openedFirst<Tx>(processed: Processed<Tx>): Processed<Tx> {
  let opening: Promise<void> | undefined
  return {
    ...processed,
    open: () => processed.open(),
    async transaction(work) {
      opening ??= processed.open()
      await opening.catch((error: unknown) => {
        opening = undefined
        throw error
      })
      return await processed.transaction(work)
    },
  }
}

async function findParked<Tx>(
  processed: Processed<Tx>,
  consumer: string,
  key: string,
): Promise<HeldStream | undefined> {
  const found = await processed.transaction((unit) => unit.holds.held(consumer, [key]))
  const held = found.get(key)
  return held?.state === 'parked' ? held : undefined
}

const fromHeld = (source: string, held: HeldStream, event: string): DeadLetter => ({
  ref: toRef(source, 'stream', held.key, event),
  where: 'consumer',
  key: held.key,
  consumer: held.consumer,
  event,
  code: held.code,
  reason: held.reason,
  attempts: held.attempts,
  events: held.events,
  since: held.parkedAt ?? held.lastAt,
})

const fromResult = (source: string, consumer: string, result: Outgoing): DeadLetter => ({
  ref: toRef(source, 'result', result.seq),
  where: 'result',
  topic: result.topic,
  key: result.message.key,
  consumer,
  event: result.message.id,
  code: result.refusedCode ?? '',
  reason: 'The broker does not take this resulting event.',
})

const fromSaga = (source: string, consumer: string, saga: SagaRow): DeadLetter => ({
  ref: toRef(source, 'saga', saga.id),
  where: 'saga',
  consumer,
  event: saga.cause.id,
  code: saga.code ?? '',
  reason: saga.reason ?? '',
  attempts: saga.attempts,
  since: saga.changedAt,
})
