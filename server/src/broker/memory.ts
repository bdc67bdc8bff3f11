/**
 * A broker in memory: the port in front of the emulator's own core, so that what tests and simulations
 * meet has the peek-locks, sessions, delivery counts, duplicate windows and dead letters of the real one.
 */
import {
  type Cancel,
  Doorbell,
  recoveryOf,
  sleep,
  type System,
  TidemarkError,
} from '@tidemark/shared'
import type { Mailbox } from '../emulator/core/mailbox.ts'
import type { Condition, Envelope, Stored } from '../emulator/core/message.ts'
import { Namespace } from '../emulator/core/namespace.ts'
import type { Session } from '../emulator/core/session.ts'
import type { Topology } from '../emulator/core/topology.ts'
import {
  type Broker,
  calledOff,
  defaultHoldMsMax,
  type Message,
  type PeekableBroker,
  pickedThroughMax,
  type Place,
  type PublishResult,
  type Received,
  type Receiver,
  type ReceiverOptions,
  type Settlement,
  resendProperty,
} from './broker.ts'

/** What a memory broker needs. Give several the same namespace and they are several clients of one broker. */
export interface MemoryBrokerOptions {
  readonly system: System
  readonly namespace: Namespace
  /** How long a publish waits for an answer that does not come, in ms. Default: 5,000. */
  readonly answerMsMax?: number
}

/** Builds a namespace, with its faults on order: `namespace.faults`. */
export const createNamespace = (system: System, topology: Topology): Namespace =>
  new Namespace({ system, topology })

/** Builds a broker in memory. */
export function createMemoryBroker(options: MemoryBrokerOptions): PeekableBroker {
  return new MemoryBroker(options)
}

class MemoryBroker implements PeekableBroker {
  readonly limits: Broker['limits']
  readonly #system: System
  readonly #namespace: Namespace
  readonly #answerMsMax: number
  readonly #receivers = new Set<MemoryReceiver>()

  constructor({ system, namespace, answerMsMax = 5_000 }: MemoryBrokerOptions) {
    this.#system = system
    this.#namespace = namespace
    this.#answerMsMax = answerMsMax
    this.limits = { messageBytesMax: namespace.messageBytesMax, keyLengthMax: 128 }
  }

  async publish(
    topic: string,
    messages: readonly Message[],
    signal?: AbortSignal,
  ): Promise<readonly PublishResult[]> {
    await this.#system.breathe()
    if (signal?.aborted) return messages.map(() => calledOff())
    const stopped = new Map<string, TidemarkError>()
    const results: PublishResult[] = []
    for (const message of messages) {
      const error = stopped.get(message.key) ?? this.#send(topic, message)
      if (error && recoveryOf(error) !== 'never') stopped.set(message.key, error)
      results.push(error)
    }
    const ms = this.#namespace.faults.takeSendDelay(topic)
    await sleep(this.#system, Math.min(ms, this.#answerMsMax))
    if (ms <= this.#answerMsMax) return results
    const silent = new TidemarkError('BROKER_UNAVAILABLE', { reason: 'no answer' })
    return results.map((result) => result ?? silent)
  }

  async peek(place: Place, max: number, after = '0'): Promise<readonly Received[]> {
    await this.#system.breathe()
    const mailbox = this.#namespace.mailbox(pathOf(place))
    if (!mailbox) throw new TidemarkError('ENTITY_MISSING', { entity: pathOf(place) })
    return mailbox.peek(Number(after) + 1, max).map(toReceived)
  }

  async pick(
    place: Place,
    sequence: string,
    work: (message: Received) => Promise<Settlement>,
  ): Promise<boolean> {
    await this.#system.breathe()
    const mailbox = this.#namespace.mailbox(pathOf(place))
    if (!mailbox) throw new TidemarkError('ENTITY_MISSING', { entity: pathOf(place) })
    const taken = mailbox.take(pickedThroughMax, 'lock')
    const found = taken.find((stored) => String(stored.sequence) === sequence)
    for (const { lock } of taken) if (lock && lock !== found?.lock) mailbox.abandon(lock.token)
    const token = found?.lock?.token
    if (!found || token === undefined) return false
    try {
      const settled = settle(mailbox, token, await work(toReceived(found)))
      if (!settled) throw new TidemarkError('LOCK_LOST')
      return true
    } catch (error) {
      mailbox.abandon(token)
      throw error
    }
  }

  receiver(options: ReceiverOptions): Receiver {
    const path = pathOf(options)
    const mailbox = this.#namespace.mailbox(path)
    if (!mailbox) return new MissingReceiver(path, this.#system)
    const receiver = new MemoryReceiver(this.#system, this.#namespace, mailbox, options)
    this.#receivers.add(receiver)
    return receiver
  }

  async close(): Promise<void> {
    for (const receiver of this.#receivers) await receiver.close()
  }

  #send(topic: string, message: Message): PublishResult {
    const envelope = toEnvelope(message)
    if (envelope.bytes > this.limits.messageBytesMax) {
      const max = this.limits.messageBytesMax
      return new TidemarkError('MESSAGE_TOO_LARGE', { bytes: envelope.bytes, max })
    }
    const refused = this.#namespace.send(topic, [envelope])
    return refused && toTidemarkError(refused.condition, refused.description, topic)
  }
}

function settle(mailbox: Mailbox, token: string, settlement: Settlement): boolean {
  switch (settlement.type) {
    case 'complete':
      return mailbox.complete(token)
    case 'abandon':
      return mailbox.abandon(token)
    case 'deadLetter':
      return mailbox.deadLetter(token, settlement)
  }
}

const pathOf = ({ topic, subscription, deadLetters }: Place): string =>
  `${topic}/Subscriptions/${subscription}${deadLetters ? '/$DeadLetterQueue' : ''}`

/** A subscription that does not exist: it may be made later, but not in this namespace. */
class MissingReceiver implements Receiver {
  readonly #path: string
  readonly #system: System

  constructor(path: string, system: System) {
    this.#path = path
    this.#system = system
  }

  async receive(): Promise<never> {
    await this.#system.breathe()
    throw new TidemarkError('ENTITY_MISSING', { entity: this.#path })
  }

  async settle(): Promise<never> {
    throw new TidemarkError('LOCK_LOST')
  }

  async close(): Promise<void> {}
}

interface Held {
  readonly token: string
  readonly session: Session | undefined
}

class MemoryReceiver implements Receiver {
  readonly #system: System
  readonly #namespace: Namespace
  readonly #mailbox: Mailbox
  readonly #options: ReceiverOptions
  readonly #bell = new Doorbell()
  readonly #held = new Map<Received, Held>()
  readonly #sessions = new Map<Session, Cancel>()
  #stopHearing: Cancel = () => {}
  #renewal: Cancel | undefined
  #isClosed = false

  constructor(system: System, namespace: Namespace, mailbox: Mailbox, options: ReceiverOptions) {
    this.#system = system
    this.#namespace = namespace
    this.#mailbox = mailbox
    this.#options = options
    if (mailbox.requiresSession) {
      this.#stopHearing = mailbox.onSessionReady(() => this.#bell.ring())
    } else {
      this.#stopHearing = mailbox.onReady(() => this.#bell.ring())
    }
  }

  async receive(max: number, waitMs: number): Promise<readonly Received[]> {
    const over = new AbortController()
    const cancel = this.#system.after(waitMs, () => over.abort())
    await this.#system.breathe()
    for (;;) {
      const taken = this.#isClosed ? [] : this.#take(max)
      if (taken.length > 0 || over.signal.aborted || this.#isClosed) {
        cancel()
        return taken
      }
      await this.#bell.wait(over.signal)
    }
  }

  async settle(message: Received, settlement: Settlement): Promise<void> {
    await this.#system.breathe()
    const held = this.#held.get(message)
    this.#held.delete(message)
    if (!held || !settle(this.#mailbox, held.token, settlement))
      throw new TidemarkError('LOCK_LOST')
    this.#letGoOfIdle()
    const ms = this.#namespace.faults.takeSettlementDelay(this.#mailbox.path)
    await sleep(this.#system, Math.min(ms, 5_000))
    if (ms > 5_000) throw new TidemarkError('BROKER_UNAVAILABLE', { reason: 'no answer' })
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#stopHearing()
    this.#renewal?.()
    this.#held.clear()
    for (const [session, stop] of this.#sessions) {
      stop()
      session.release()
    }
    this.#sessions.clear()
    this.#bell.ring()
  }

  #take(max: number): Received[] {
    if (!this.#mailbox.requiresSession) return this.#hold(max, undefined)
    const taken: Received[] = []
    for (const session of this.#sessions.keys())
      taken.push(...this.#hold(max - taken.length, session))
    while (taken.length < max && this.#sessions.size < (this.#options.sessions ?? 1)) {
      const session = this.#accept()
      if (!session) break
      taken.push(...this.#hold(max - taken.length, session))
    }
    return taken
  }

  #accept(): Session | undefined {
    const session = this.#mailbox.nextSession()
    if (!session?.accept(() => this.#forget(session))) return undefined
    this.#sessions.set(
      session,
      this.#mailbox.onReady(() => this.#bell.ring(), session),
    )
    return session
  }

  /** The session is not ours any more: what we hold of it cannot be settled. */
  #forget(session: Session): void {
    this.#sessions.get(session)?.()
    this.#sessions.delete(session)
    for (const [message, held] of this.#held)
      if (held.session === session) this.#held.delete(message)
  }

  /** A session with nothing left makes room for another one. */
  #letGoOfIdle(): void {
    const busy = new Set([...this.#held.values()].map(({ session }) => session))
    for (const session of this.#sessions.keys()) {
      if (busy.has(session) || session.line.first()) continue
      this.#forget(session)
      session.release()
    }
    this.#bell.ring()
  }

  #hold(max: number, session: Session | undefined): Received[] {
    return this.#mailbox.take(max, 'lock', session).map((stored) => {
      const received = toReceived(stored)
      this.#held.set(received, { token: stored.lock?.token ?? '', session })
      this.#keepRenewing()
      return received
    })
  }

  /** Renews at half of the lock time what has not been held for too long. */
  #keepRenewing(): void {
    this.#renewal ??= this.#system.after(this.#mailbox.lockMs / 2, () => {
      this.#renewal = undefined
      this.#renew()
      if (this.#held.size > 0) this.#keepRenewing()
    })
  }

  #renew(): void {
    const max = this.#options.holdMsMax ?? defaultHoldMsMax
    const now = this.#system.now()
    const sessions = new Set<Session>()
    for (const [message, { token, session }] of this.#held) {
      const since = message.lockedUntil - this.#mailbox.lockMs
      if (now - since >= max) continue
      if (session) sessions.add(session)
      else this.#mailbox.renew(token)
    }
    for (const session of sessions) session.renew()
  }
}

function toEnvelope(message: Message): Envelope {
  const { id, key, attributes, body, correlationId, resend, label, properties } = message
  const bytes = Object.entries(attributes).reduce(
    (sum, [name, value]) => sum + name.length + String(value).length + 16,
    body.byteLength + key.length + 128,
  )
  return {
    messageId: resend === undefined ? id : `${id}#${resend}`,
    sessionId: key,
    correlationId,
    subject: label ?? (typeof attributes['type'] === 'string' ? attributes['type'] : undefined),
    contentType: String(attributes['datacontenttype'] ?? ''),
    bytes,
    properties: { ...properties, ...attributes },
    payload:
      resend === undefined
        ? message
        : { ...message, properties: { ...properties, [resendProperty]: resend } },
  }
}

function toReceived(stored: Stored): Received {
  const { envelope, sequence, enqueuedAt, failures, lock, changes } = stored
  const sent = envelope.payload as Message
  return {
    id: envelope.messageId,
    key: envelope.sessionId ?? '',
    attributes: sent.attributes,
    body: sent.body,
    correlationId: envelope.correlationId,
    label: envelope.subject,
    properties: { ...sent.properties, ...changes } as Received['properties'],
    sequence: String(sequence),
    enqueuedAt,
    deliveries: failures + 1,
    lockedUntil: lock?.until ?? 0,
  }
}

function toTidemarkError(condition: Condition, reason: string, entity: string): TidemarkError {
  switch (condition) {
    case 'amqp:not-found':
      return new TidemarkError('ENTITY_MISSING', { entity })
    case 'com.microsoft:server-busy':
      return new TidemarkError('BROKER_BUSY', { retryAfterMs: 2_000 })
    case 'amqp:unauthorized-access':
      return new TidemarkError('BROKER_UNAUTHORIZED', { reason })
    default:
      return new TidemarkError('BROKER_UNAVAILABLE', { reason })
  }
}
