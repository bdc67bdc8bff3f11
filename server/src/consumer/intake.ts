/**
 * Messages from a subscription to the lanes that handle them. It receives no more than the lanes can
 * handle soon; while the database takes nothing no receiver is open, so that sound messages do not use
 * up their deliveries.
 */
import {
  backoffMs,
  type BackoffOptions,
  Doorbell,
  isTidemarkError,
  sleep,
  TidemarkError,
} from '@tidemark/shared'
import type { Received, Receiver, Settlement } from '../broker/broker.ts'
import { isMeantFor } from '../cloudevents.ts'
import { withDeadline } from '../deadline.ts'
import { type Delivery, interestIn, openMessage } from './delivery.ts'
import { handleBatch } from './handle.ts'
import { createLane, type Lane } from './lane.ts'
import type { Settings, UnknownPolicy } from './settings.ts'

/** How long one look for messages lasts, and how much later it is given up, in ms. */
const receiveMs = 5_000
const graceMs = 30_000
/** Messages that one look takes. */
const receiveMax = 250
/** A receiver that has had nothing for so long may be dead without knowing: it is opened anew, in ms. */
const quietMsMax = 300_000
const backoff: BackoffOptions = { firstMs: 500, maxMs: 30_000 }

/** Where messages come from, and what is done with those that nobody expects. */
export interface IntakeOptions {
  readonly subscription: string
  readonly ordered: boolean
  /** Streams that are worked on side by side. */
  readonly concurrency: number
  /** Events of one transaction. */
  readonly batchEventsMax: number
  /** How long a transaction should last at most, in ms: batches are cut to fit. */
  readonly batchMsMax: number
  readonly onUnknown: { readonly type: UnknownPolicy; readonly version: UnknownPolicy }
  /** True where so much waits in the database that nothing new shall come in. */
  isFull(): boolean
}

/** Whether a consumer works, and what keeps it from it. */
export interface ConsumerState {
  /** `stalled`: it waits for the broker or its database. `halted`: an event that it does not know stopped it. */
  readonly state: 'running' | 'stalled' | 'halted' | 'closed'
  /** The code of what it waits out or stopped at. */
  readonly code?: string | undefined
}

/** The receiving side of a consumer. */
export interface Intake {
  state(): ConsumerState
  /** Room was made: what was full may not be any more. */
  wake(): void
  /** Ends what is being handled, and lets go of the rest. */
  close(): Promise<void>
}

/** Builds the intake of a consumer, and starts its loop. */
export function createIntake<Tx>(settings: Settings<Tx>, options: IntakeOptions): Intake {
  const { broker, topic, system, logger, name, counts } = settings
  const { subscription, ordered, concurrency } = options
  const laneCount = Math.max(1, Math.min(concurrency, settings.processed.transactionsMax))
  const stop = new AbortController()
  const room = new Doorbell()
  let state: ConsumerState = { state: 'running' }
  let opened: { readonly receiver: Receiver; drain(): Promise<void> } | undefined

  async function run(): Promise<void> {
    for (let failures = 0; !stop.signal.aborted; failures += 1) {
      try {
        await settings.processed.transaction(async () => undefined, { survives: 'process' })
        await receive(() => (failures = 0))
      } catch (error) {
        noteTrouble(error)
      }
      if (state.state === 'halted') return
      await sleep(system, backoffMs(backoff, failures, system.random), stop.signal)
    }
  }

  function noteTrouble(error: unknown): void {
    if (state.state === 'running' && !stop.signal.aborted) {
      const fields = { event: 'consumer-stalled', consumer: name, err: error }
      logger.warn(fields, 'nothing can be consumed for now')
    }
    if (state.state === 'halted') return
    state = { state: 'stalled', code: isTidemarkError(error) ? error.code : 'UNKNOWN' }
  }

  /** Receives for as long as it goes well. */
  async function receive(onSuccess: () => void): Promise<void> {
    const sessions = ordered ? concurrency : undefined
    const unsettledMax = 2 * options.batchEventsMax * laneCount
    const place = { topic: topic.name, subscription }
    const receiver = broker.receiver({ ...place, sessions, unsettledMax })
    const settling = createSettling(settings, receiver)
    const broken = new AbortController()
    let trouble: unknown
    const onTrouble = (error: unknown): void => {
      trouble ??= error
      broken.abort()
      room.ring()
    }
    const lanes = openLanes(settling, onTrouble)
    const drain = async (): Promise<void> => {
      await Promise.all(lanes.map((lane) => lane.close()))
      await settling.done()
    }
    opened = { receiver, drain }
    try {
      await fillLanes(receiver, settling, lanes, broken.signal, onSuccess)
    } finally {
      await drain()
      opened = undefined
      await receiver.close()
    }
    if (trouble !== undefined) throw trouble
  }

  function openLanes(settling: Settling, onTrouble: (error: unknown) => void): readonly Lane[] {
    return Array.from({ length: laneCount }, () =>
      createLane({
        system,
        batchEventsMax: options.batchEventsMax,
        batchMsMax: options.batchMsMax,
        handle: (batch) =>
          handleBatch(settings, batch, ({ received }) => {
            for (const message of received) settling.complete(message)
          }),
        onRoom: () => room.ring(),
        onTrouble,
      }),
    )
  }

  async function fillLanes(
    receiver: Receiver,
    settling: Settling,
    lanes: readonly Lane[],
    broken: AbortSignal,
    onSuccess: () => void,
  ): Promise<void> {
    let heardAt = system.mono()
    const isOver = () => stop.signal.aborted || broken.aborted || state.state === 'halted'
    while (!isOver() && system.mono() - heardAt < quietMsMax) {
      const max = Math.min(receiveMax, roomIn(lanes))
      if (max === 0 || options.isFull()) {
        heardAt = system.mono()
        await room.wait(stop.signal)
        continue
      }
      const asked = system.mono()
      const messages = await look(receiver, max)
      if (messages.length > 0) heardAt = system.mono()
      // A receiver that somebody else has closed has nothing, and says so at once.
      else if (system.mono() - asked < receiveMs / 2) throw unavailable('the receiver is closed')
      if (state.state === 'stalled') {
        logger.info({ event: 'consumer-resumed', consumer: name }, 'events are consumed again')
      }
      state = { state: 'running' }
      onSuccess()
      for (const message of messages) if (!isOver()) place(message, settling, lanes)
    }
  }

  function look(receiver: Receiver, max: number): Promise<readonly Received[]> {
    const taken = receiver.receive(max, receiveMs)
    return withDeadline(system, receiveMs + graceMs, taken, () => unavailable('no answer'))
  }

  function place(message: Received, settling: Settling, lanes: readonly Lane[]): void {
    counts.received += 1
    if (!isMeantFor(message, subscription)) {
      counts.ignored += 1
      return settling.complete(message)
    }
    let delivery: Delivery
    try {
      delivery = openMessage(topic, ordered, message)
    } catch (error) {
      if (!isTidemarkError(error)) throw error
      const { code, message: description } = error
      const fields = { event: 'message-dead-lettered', consumer: name, code, id: message.id }
      logger.warn(fields, 'a message is no event of this topic')
      counts.malformed += 1
      return settling.deadLetter(message, code, description)
    }
    switch (whatToDo(delivery)) {
      case 'complete':
        return settling.complete(message)
      case 'halt':
        state = { state: 'halted', code: 'UNKNOWN_TYPE' }
        return
      case 'handle':
        laneOf(lanes, delivery).add(delivery)
    }
  }

  function whatToDo({ event }: Delivery): 'handle' | 'complete' | 'halt' {
    const interest = interestIn(topic, settings.on, event)
    if (interest === 'handle') return 'handle'
    if (interest === 'ignore') {
      counts.ignored += 1
      return 'complete'
    }
    const policy = options.onUnknown[interest === 'unknown-type' ? 'type' : 'version']
    const { id, type, version } = event
    const fields = { event: 'consumer-unknown-event', consumer: name, id, type, version, policy }
    logger.warn(fields, 'an event that this consumer does not know')
    if (policy === 'skip') counts.skipped += 1
    return { skip: 'complete', park: 'handle', halt: 'halt' }[policy] as 'handle'
  }

  const done = run()
  return {
    state: () => (stop.signal.aborted ? { state: 'closed' } : state),
    wake: () => room.ring(),
    async close() {
      stop.abort()
      room.ring()
      const last = opened
      await last?.drain()
      // Only now, because it lets go of what is not settled; a look for messages under way ends with it.
      await last?.receiver.close()
      await done
    },
  }
}

const unavailable = (reason: string): TidemarkError =>
  new TidemarkError('BROKER_UNAVAILABLE', { reason })

const roomIn = (lanes: readonly Lane[]): number => Math.min(...lanes.map((lane) => lane.room()))

/** Events of one key share a lane, so that they stay in order. */
function laneOf(lanes: readonly Lane[], { key }: Delivery): Lane {
  let hash = 0
  for (let at = 0; at < key.length; at += 1) hash = (Math.imul(hash, 31) + key.charCodeAt(at)) | 0
  return lanes[Math.abs(hash) % lanes.length] as Lane
}

interface Settling {
  complete(message: Received): void
  deadLetter(message: Received, reason: string, description: string): void
  done(): Promise<void>
}

/** Settles beside the work: a settlement that fails is no error, because the message comes again to no effect. */
function createSettling<Tx>(settings: Settings<Tx>, receiver: Receiver): Settling {
  const { counts, logger, name } = settings
  const pending = new Set<Promise<void>>()
  const settle = async (message: Received, settlement: Settlement): Promise<void> => {
    try {
      await receiver.settle(message, settlement)
    } catch (error) {
      if (isTidemarkError(error, 'LOCK_LOST')) counts.lockLost += 1
      else
        logger.warn(
          { event: 'consumer-not-settled', consumer: name, err: error },
          'a settlement failed',
        )
    }
  }
  const start = (message: Received, settlement: Settlement): void => {
    const settled: Promise<void> = settle(message, settlement).finally(() =>
      pending.delete(settled),
    )
    pending.add(settled)
  }
  return {
    complete: (message) => start(message, { type: 'complete' }),
    deadLetter: (message, reason, description) =>
      start(message, { type: 'deadLetter', reason, description }),
    async done() {
      await Promise.all(pending)
    },
  }
}
