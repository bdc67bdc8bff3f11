/**
 * Broker to log. A message is settled after the commit that holds its event, so a crash repeats and
 * never loses; an echo of our own event is an id that the log knows, and changes nothing. While the log
 * takes nothing no receiver is open, so that sound messages do not use up their deliveries.
 */
import {
  backoffMs,
  findReservedFault,
  isReservedType,
  isTidemarkError,
  type Limits,
  logKey,
  parseClaim,
  sleep,
  type System,
  TidemarkError,
  type Topic,
} from '@tidemark/shared'
import type { Broker, Received, Receiver, Settlement } from './broker/broker.ts'
import { findFault } from './check.ts'
import { fromMessage } from './cloudevents.ts'
import { withDeadline } from './deadline.ts'
import type { Attempt, Head, Log, Outcome } from './log/log.ts'
import type { Logger } from './logger.ts'

/** Messages that one transaction takes. */
const receiveMax = 100
/** How long one look for messages lasts, and how much later it is given up, in milliseconds. */
const receiveMs = 10_000
const graceMs = 30_000
/** A receiver that has had nothing for so long may be dead without knowing: it is opened anew. In milliseconds. */
const quietMsMax = 300_000
const backoff = { firstMs: 500, maxMs: 30_000 }

/** Where the events of other services are received. */
export interface IngestOptions {
  /** The subscription that each topic has for the gateway. */
  readonly subscription: string
  /** Set where the subscription requires sessions: how many are read at a time. */
  readonly sessions?: number
}

/** How the ingest of one topic is. */
export interface IngestStatus {
  readonly state: 'ok' | 'retrying'
  /** The code of the error that it waits out. */
  readonly code?: string | undefined
  /** Messages dead-lettered since the start. */
  readonly deadLettered: number
}

/** The ingest of one topic. */
export interface Ingest {
  status(): IngestStatus
  /** Finishes the transaction at hand. */
  close(): Promise<void>
}

/** Builds the ingest of one topic, and starts its loop. */
export function createIngest(options: {
  readonly log: Log
  readonly broker: Broker
  readonly topic: Topic
  readonly limits: Limits
  readonly system: System
  readonly logger: Logger
  readonly from: IngestOptions
}): Ingest {
  const { log, broker, topic, system, logger, from } = options
  const holder = system.uuid()
  const stop = new AbortController()
  let code: string | undefined
  let deadLettered = 0
  let opened: Receiver | undefined

  async function run(): Promise<void> {
    for (let failures = 0; !stop.signal.aborted; failures += 1) {
      try {
        // A write that does nothing else: it throws while the log takes nothing. Who has the lease is all one.
        await log.lease(`ingest/${topic.name}`, holder, 1)
        await receive(() => (failures = 0))
      } catch (error) {
        if (code === undefined) {
          const fields = { event: 'ingest-waiting', topic: topic.name, err: error }
          logger.warn(fields, 'nothing can be received for now')
        }
        code = isTidemarkError(error) ? error.code : 'unknown'
      }
      const ms = backoffMs(backoff, failures, system.random)
      await sleep(system, ms, stop.signal)
    }
  }

  /** Receives for as long as it goes well. */
  async function receive(onSuccess: () => void): Promise<void> {
    const receiver = broker.receiver({ topic: topic.name, ...from })
    opened = receiver
    let heardAt = system.mono()
    try {
      while (!stop.signal.aborted && system.mono() - heardAt < quietMsMax) {
        const late = (): Error => new TidemarkError('BROKER_UNAVAILABLE', { reason: 'no answer' })
        const received = receiver.receive(receiveMax, receiveMs)
        const messages = await withDeadline(system, receiveMs + graceMs, received, late)
        await take(receiver, messages)
        if (messages.length > 0) heardAt = system.mono()
        code = undefined
        onSuccess()
      }
    } finally {
      opened = undefined
      await receiver.close()
    }
  }

  /** Appends what the messages carry, and then settles them. */
  async function take(receiver: Receiver, messages: readonly Received[]): Promise<void> {
    const sound: Said[] = []
    const others: [Received, Settlement][] = []
    for (const message of messages) {
      try {
        sound.push({ message, ...hear(topic, options.limits, message) })
      } catch (error) {
        others.push([message, toDeadLetter(error)])
      }
    }
    const [own, foreign] = await sortOut(log, sound)
    const outcomes = await append(foreign.map(({ attempt }) => attempt))
    const appended = own.map(({ message }) => message)
    for (const [at, { message }] of foreign.entries()) {
      const settlement = toSettlement(outcomes[at])
      if (settlement.type === 'complete') appended.push(message)
      else others.push([message, settlement])
    }
    await Promise.all(appended.map((message) => settle(receiver, message, { type: 'complete' })))
    for (const [message, settlement] of others) await settle(receiver, message, settlement)
  }

  /** What became of each attempt, nothing where it failed. Where several streams fail alike the log is to blame, and it throws. */
  async function append(attempts: readonly Attempt[]): Promise<readonly (Outcome | undefined)[]> {
    if (attempts.length === 0) return []
    try {
      const [outcomes = []] = await log.append([attempts])
      return outcomes
    } catch (error) {
      if (isTidemarkError(error)) throw error
      const outcomes = await appendEach(attempts)
      if (!outcomes.some(Boolean) && new Set(attempts.map(streamOf)).size > 1) throw error
      return outcomes
    }
  }

  /** Appends one by one: what fails stops what follows it in its stream, and nothing else. */
  async function appendEach(attempts: readonly Attempt[]) {
    const outcomes: (Outcome | undefined)[] = []
    const stopped = new Set<string>()
    for (const attempt of attempts) {
      const stream = streamOf(attempt)
      const outcome = stopped.has(stream) ? undefined : await appendAlone(attempt)
      if (!outcome) stopped.add(stream)
      outcomes.push(outcome)
    }
    return outcomes
  }

  async function appendAlone(attempt: Attempt): Promise<Outcome | undefined> {
    try {
      const [[outcome] = []] = await log.append([[attempt]])
      return outcome
    } catch (error) {
      if (isTidemarkError(error)) throw error
      const fields = { event: 'append-failed', topic: topic.name, id: attempt.events[0]?.id }
      logger.error({ ...fields, err: error }, 'an append failed for an unknown reason')
      return undefined
    }
  }

  async function settle(receiver: Receiver, message: Received, settlement: Settlement) {
    try {
      await receiver.settle(message, settlement)
      if (settlement.type !== 'deadLetter') return
      deadLettered += 1
      const fields = { event: 'message-dead-lettered', topic: topic.name, code: settlement.reason }
      logger.warn({ ...fields, message: message.id }, 'a message cannot be taken into the log')
    } catch (error) {
      // It will be handed out again, and then be known.
      if (!isTidemarkError(error, 'LOCK_LOST')) throw error
    }
  }

  const done = run()
  return {
    status: () => ({ state: code === undefined ? 'ok' : 'retrying', code, deadLettered }),
    async close() {
      stop.abort()
      await opened?.close()
      await done
    },
  }
}

const streamOf = ({ log, events }: Attempt): string => `${log.scope}/${events[0]?.stream}`

/** What becomes of a message by what became of its event. */
function toSettlement(outcome: Outcome | undefined): Settlement {
  if (outcome?.type === 'accepted') return { type: 'complete' }
  if (outcome?.type !== 'refused') return { type: 'abandon' }
  // A verdict stays: somebody has submitted this id before, and this event can never take its place.
  const description = `an event with this id was refused before: ${outcome.refusal.code}`
  return { type: 'deadLetter', reason: 'ID_REUSED', description }
}

/** Where a message goes that makes no attempt. It is not to blame for an error of ours, but it would come again for ever. */
function toDeadLetter(error: unknown): Settlement {
  const { code: reason, message: description } = isTidemarkError(error)
    ? error
    : new TidemarkError('MESSAGE_MALFORMED', { reason: String(error) })
  return { type: 'deadLetter', reason, description }
}

/** A message, the attempt that it makes, and of which log it is if one has published it. */
interface Said {
  readonly message: Received
  readonly attempt: Attempt
  readonly epoch: string | undefined
}

/**
 * What this log has published itself, and what it has not. What it has published it holds, unless it was restored
 * from a copy without it: then its author offers it again, in its order and with its batch.
 */
async function sortOut(log: Log, heard: readonly Said[]): Promise<readonly [Said[], Said[]]> {
  const heads = new Map<string, Head>()
  const own: Said[] = []
  const foreign: Said[] = []
  for (const each of heard) {
    const { attempt, epoch } = each
    const key = logKey(attempt.log)
    const head = epoch && (heads.get(key) ?? (await log.head(attempt.log)))
    if (head) heads.set(key, head)
    if (head && head.epoch === epoch) own.push(each)
    else foreign.push(each)
  }
  return [own, foreign]
}

/** Reads a message. Throws what it is dead-lettered for. */
function hear(topic: Topic, limits: Limits, message: Received): Omit<Said, 'message'> {
  const { scope, author, line, epoch } = fromMessage(topic.name, message)
  const { id, stream, type, version, data } = parseClaim(line, limits.depthMax)
  const wrong = isReservedType(type) ? findReservedFault(type, version, data) : undefined
  if (wrong !== undefined) {
    throw new TidemarkError('SCHEMA_INVALID', { issues: [{ path: 'data', message: wrong }] })
  }
  // What Tidemark itself publishes belongs to every topic; only from a client it is of an unknown type.
  const fault = isReservedType(type) ? undefined : findFault(topic, type, version, data)
  if (fault?.code === 'UNKNOWN_TYPE') throw new TidemarkError('UNKNOWN_TYPE', fault.details)
  if (fault?.code === 'SCHEMA_INVALID') throw new TidemarkError('SCHEMA_INVALID', fault.details)
  const log = { topic: topic.name, scope }
  const events = [{ id, stream, line }]
  return { attempt: { log, author, source: 'broker', events }, epoch }
}
