/**
 * A service on the bus whose effects happen once. This file composes the loops of a consumer: its intake,
 * its retries, its results and its sagas; each keeps its own law in its own file.
 */
import {
  type Topic,
  assert,
  Doorbell,
  fixedLimits,
  namePattern,
  system as realSystem,
  type System,
} from '@tidemark/shared'
import type { Broker } from '../broker/broker.ts'
import { type Logger, silentLogger } from '../logger.ts'
import type { Author } from './emit.ts'
import { type ConsumerState, createIntake } from './intake.ts'
import { type Claimed, runLoop, sideBySide } from './loop.ts'
import { defaultRetry, type RetryOptions } from './policy.ts'
import type { Backlog, Processed } from './processed/processed.ts'
import { claimHeld } from './retry.ts'
import { type AnySaga, claimSaga } from './run-saga.ts'
import { createSender } from './send.ts'
import {
  type AnyHandlers,
  type Counts,
  createCounts,
  type Handlers,
  type Settings,
  type UnknownPolicy,
} from './settings.ts'

/** What a consumer needs. */
export interface ConsumeOptions<T extends Topic, Tx> {
  /** The service's name: the author of what it emits, and whose marks these are. Consumers that compete share it. */
  readonly name: string
  readonly broker: Broker
  /** The subscription to read. Services with different subscriptions each get every event. Default: the name. */
  readonly subscription?: string
  readonly processed: Processed<Tx>
  readonly on: Handlers<T, Tx>
  /** Other topics that it emits to: their drafts are checked before they leave. */
  readonly emits?: readonly Topic[]
  /** Sagas that its handlers start. */
  readonly sagas?: readonly AnySaga<Tx>[]
  /** Keeps the order of each stream, by the subscription's sessions; a failure holds its stream. Default: true. */
  readonly ordered?: boolean
  /** Streams (or events, where order does not matter) that are worked on side by side. Default: 32. */
  readonly concurrency?: number
  /** When a failed event is tried again. Default: after 250 ms, doubling to a minute, with full jitter. */
  readonly retry?: Partial<RetryOptions>
  /** Attempts at an event before its stream is parked. Default: 8. */
  readonly attemptsMax?: number
  /** What becomes of events that this version does not know. Default: types are skipped, versions are parked. */
  readonly onUnknown?:
    | UnknownPolicy
    | { readonly type: UnknownPolicy; readonly version: UnknownPolicy }
  /** How long a handler may take, in ms; its transaction is open for as long. Default: 10,000. */
  readonly handlerMsMax?: number
  /** Events of one transaction. Default: 250. */
  readonly batchEventsMax?: number
  /** How long a transaction of several events should last at most, in ms. Default: 500. */
  readonly batchMsMax?: number
  /** Events that may wait for another try before nothing new is received. Default: 1,000. */
  readonly retryingEventsMax?: number
  /** Results that may wait for the broker before nothing new is received. Default: 10,000. */
  readonly outgoingMax?: number
  readonly system?: System
  readonly logger?: Logger
}

/** A running consumer. */
export interface Consumer extends AsyncDisposable {
  /** Whether it works, and what keeps it from it. */
  readonly state: ConsumerState
  /** What it has done since it started. */
  readonly counts: Readonly<Counts>
  /** What waits in its database, as of the last second. */
  readonly backlog: Backlog
  /** Looks at once for streams and sagas that have become due, as after a redrive in another process. */
  wake(): void
  /** Ends what is being handled, publishes nothing more, and lets go of the rest. */
  close(): Promise<void>
}

/** The longest time between two looks at the database for what another process has changed, in ms. */
const pollMs = 1_000
/** Sagas that are moved on side by side. */
const sagasMax = 8
const backoff = { firstMs: 200, maxMs: 30_000 }

const noBacklog: Backlog = {
  retryingStreams: 0,
  retryingEvents: 0,
  parkedStreams: 0,
  parkedEvents: 0,
  outgoing: 0,
  refused: 0,
}

/**
 * Starts a consumer of a topic. Throws `PROCESSED_UNAVAILABLE` where its database does not open; a broker
 * that does not answer yet is waited for.
 *
 * @example
 * const stock = await consume(inventory, { name: 'stock', broker, processed, on: { StockPicked: pick } })
 */
export async function consume<T extends Topic, Tx>(
  topic: T,
  options: ConsumeOptions<T, Tx>,
): Promise<Consumer> {
  const settings = toSettings(topic, options)
  await settings.processed.open()
  return start(settings, options)
}

/** The settings of a consumer, with everything that was left out. */
export function toSettings<T extends Topic, Tx>(
  topic: T,
  options: ConsumeOptions<T, Tx>,
): Settings<Tx> {
  const { name, broker, processed, system = realSystem, logger = silentLogger } = options
  assert(
    namePattern.test(name) && name.length <= fixedLimits.nameLengthMax,
    `"${name}" is a name of letters, digits, dots, dashes and underscores`,
  )
  const topics = [topic, ...(options.emits ?? [])]
  const author: Author = { name, topics, limits: broker.limits, now: () => system.now() }
  return {
    name,
    owner: system.uuid(),
    topic,
    on: options.on as unknown as AnyHandlers<Tx>,
    broker,
    processed,
    system,
    logger,
    author,
    retry: { ...defaultRetry, ...options.retry },
    attemptsMax: options.attemptsMax ?? 8,
    handlerMsMax: options.handlerMsMax ?? 10_000,
    counts: createCounts(),
    bells: { retry: new Doorbell(), send: new Doorbell(), sagas: new Doorbell() },
  }
}

function start<T extends Topic, Tx>(
  settings: Settings<Tx>,
  options: ConsumeOptions<T, Tx>,
): Consumer {
  const { name, bells, counts, processed, system } = settings
  const { retryingEventsMax = 1_000, outgoingMax = 10_000, onUnknown } = options
  const stop = new AbortController()
  let backlog = noBacklog
  const intake = createIntake(settings, {
    subscription: options.subscription ?? name,
    ordered: options.ordered ?? true,
    concurrency: options.concurrency ?? 32,
    batchEventsMax: options.batchEventsMax ?? 250,
    batchMsMax: options.batchMsMax ?? 500,
    onUnknown:
      typeof onUnknown === 'string'
        ? { type: onUnknown, version: onUnknown }
        : (onUnknown ?? { type: 'skip', version: 'park' }),
    isFull: () => backlog.retryingEvents >= retryingEventsMax || backlog.outgoing >= outgoingMax,
  })
  const loop = (what: string, bell: Doorbell, work: () => Promise<number | undefined>) =>
    runLoop({
      system,
      bell,
      stop: stop.signal,
      pollMs,
      backoff,
      work,
      onError(err, waitMs) {
        const fields = { event: 'consumer-loop-failed', consumer: name, loop: what, waitMs, err }
        settings.logger.warn(fields, 'a loop of a consumer waits before it goes on')
      },
    })
  const claims = (what: string, max: number, bell: Doorbell, claim: () => Promise<Claimed>) =>
    sideBySide({
      max,
      bell,
      claim,
      onError(err) {
        const fields = { event: 'consumer-claim-failed', consumer: name, loop: what, err }
        settings.logger.warn(fields, 'a claim of a consumer ended early, and will be made again')
      },
    })
  const { sagas: definitions = [] } = options
  const onResults = () => bells.send.ring()
  const retries = claims('retry', processed.transactionsMax, bells.retry, () => claimHeld(settings))
  const sagas = claims('sagas', definitions.length === 0 ? 0 : sagasMax, bells.sagas, () =>
    claimSaga({ ...settings, sagas: definitions, onResults }),
  )
  const loops = [
    loop('retry', bells.retry, retries.work),
    loop('send', bells.send, createSender(settings)),
    loop('sagas', bells.sagas, sagas.work),
    loop('backlog', new Doorbell(), async () => {
      backlog = await processed.transaction((unit) => unit.backlog(name), {
        survives: 'process',
      })
      intake.wake()
      return undefined
    }),
  ]
  let closing: Promise<void> | undefined
  const close = async (): Promise<void> => {
    await intake.close()
    stop.abort()
    await Promise.all(loops)
    await Promise.all([retries.close(), sagas.close()])
  }
  return {
    get state() {
      return intake.state()
    },
    counts,
    get backlog() {
      return backlog
    },
    wake() {
      for (const bell of Object.values(bells)) bell.ring()
    },
    close: () => (closing ??= close()),
    [Symbol.asyncDispose]: () => (closing ??= close()),
  }
}
