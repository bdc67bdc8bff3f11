/**
 * Receivers on the SDK that heal themselves: messages are pushed into an inbox, settled apart from each other,
 * and what breaks, falls silent or is lost is opened again.
 */
import type {
  ServiceBusClient,
  ServiceBusReceivedMessage,
  ServiceBusReceiver,
  ServiceBusSessionReceiver,
} from '@azure/service-bus'
import { backoffMs, recoveryOf, sleep, TidemarkError } from '@tidemark/shared'
import { Apart } from '../apart.ts'
import {
  defaultHoldMsMax,
  defaultUnsettledMax,
  type Received,
  type Receiver,
  type ReceiverOptions,
  type Settlement,
} from './broker.ts'
import { Inbox, type Way } from './inbox.ts'
import {
  answered,
  type Clients,
  endQuietly,
  type Settings,
  unlessAborted,
} from './service-bus-client.ts'
import { isNotAllowed, lastCode, toTidemarkError } from './service-bus-error.ts'
import { Locks } from './service-bus-locks.ts'
import { apply, fromServiceBus, isCutOff } from './service-bus-message.ts'

/** How long a session without messages is kept before another gets its place, in ms. */
const idleSessionMs = 250

/** How long to wait before a receiver that failed tries again. */
const receiverBackoff = { firstMs: 250, maxMs: 10_000 }

/** One SDK receiver: messages come by it into an inbox, and are settled on it. */
class Link implements Way {
  readonly #receiver: ServiceBusReceiver
  readonly #settings: Settings
  readonly #inbox: Inbox
  readonly #apart: Apart
  readonly #locks: Locks | undefined
  readonly #originals = new WeakMap<Received, ServiceBusReceivedMessage>()
  /** Settlements under way, and how to end their wait. */
  readonly #settling = new Map<ServiceBusReceivedMessage, (error: TidemarkError) => void>()
  heardAt: number

  /** @param holdMsMax is how long the locks of messages are renewed, in ms. Left out: the lock is the session's. */
  constructor(receiver: ServiceBusReceiver, settings: Settings, inbox: Inbox, holdMsMax?: number) {
    this.#receiver = receiver
    if (holdMsMax !== undefined) this.#locks = new Locks(receiver, settings.system, holdMsMax)
    this.#settings = settings
    this.#inbox = inbox
    this.#apart = new Apart(settings.system)
    this.heardAt = settings.system.mono()
  }

  /** Starts the flow. `failed` hears of everything that interrupts it. */
  subscribe(unsettledMax: number, failed: (error: TidemarkError) => void): void {
    this.#receiver.subscribe(
      {
        processMessage: async (original) => {
          this.heardAt = this.#settings.system.mono()
          const received = fromServiceBus(original)
          this.#originals.set(received, original)
          this.#locks?.hold(original)
          // The SDK asks for another message when this promise is settled.
          await this.#inbox.put(received, this)
          this.#locks?.letGo(original)
        },
        processError: async ({ error, errorSource, entityPath }) => {
          // A session that could not be renewed shows when a message of it is settled.
          if (errorSource === 'renewLock') return
          this.#giveUp(isCutOff)
          failed(toTidemarkError(error, entityPath))
        },
      },
      { autoCompleteMessages: false, maxConcurrentCalls: unsettledMax },
    )
  }

  holds(message: Received): boolean {
    const original = this.#originals.get(message)
    return original !== undefined && !isCutOff(original)
  }

  async settle(message: Received, settlement: Settlement): Promise<void> {
    const original = this.#originals.get(message)
    // On a link that was cut and opened again the SDK would wait for an answer that never comes.
    if (!original || isCutOff(original)) throw new TidemarkError('LOCK_LOST')
    const kind = settlement.type === 'deadLetter' ? `deadLetter ${message.id}` : settlement.type
    await new Promise<void>((resolve, reject) => {
      this.#settling.set(original, reject)
      this.#apart.run(kind, () => {
        const settling = apply(this.#receiver, original, settlement)
        answered(this.#settings, 'a settlement', settling).then(resolve, (error: unknown) =>
          reject(toTidemarkError(error, this.#receiver.entityPath)),
        )
      })
    }).finally(() => this.#settling.delete(original))
  }

  /** The SDK waits long for the answers of a link that is gone. */
  #giveUp(isHopeless: (original: ServiceBusReceivedMessage) => boolean): void {
    for (const [original, reject] of this.#settling) {
      if (isHopeless(original)) reject(new TidemarkError('LOCK_LOST'))
    }
  }

  async close(): Promise<void> {
    this.#inbox.forget(this)
    this.#locks?.close()
    this.#giveUp(() => true)
    await endQuietly(this.#settings, this.#receiver)
  }
}

/** Reads a subscription, or its dead letters, in any order. */
export class PlainReceiver implements Receiver {
  readonly #clients: Clients
  readonly #settings: Settings
  readonly #options: ReceiverOptions
  readonly #inbox: Inbox
  readonly #closed: (receiver: Receiver) => void
  #open: { readonly link: Link; readonly client: ServiceBusClient } | undefined
  /** The SDK goes on trying by itself, but for what no trying will change. */
  #isBroken = false

  /** @param closed is told when it is. */
  constructor(
    clients: Clients,
    settings: Settings,
    options: ReceiverOptions,
    closed: (receiver: Receiver) => void,
  ) {
    this.#closed = closed
    this.#clients = clients
    this.#settings = settings
    this.#options = options
    this.#inbox = new Inbox(settings.system)
  }

  async receive(max: number, waitMs: number): Promise<readonly Received[]> {
    const open = this.#open
    if (open && this.#isSilent(open.link)) {
      this.#clients.replace(open.client)
      void this.#drop()
    } else if (this.#isBroken) void this.#drop()
    this.#open ??= this.#openLink()
    return this.#inbox.receive(max, waitMs)
  }

  settle(message: Received, settlement: Settlement): Promise<void> {
    return this.#inbox.settle(message, settlement)
  }

  async close(): Promise<void> {
    this.#closed(this)
    this.#inbox.close()
    await this.#drop()
  }

  /** A receiver has been known to die without a word: one that has heard nothing for long is made anew. */
  #isSilent(link: Link): boolean {
    const { system, silenceMsMax } = this.#settings
    return this.#inbox.isIdle(link) && system.mono() - link.heardAt > silenceMsMax
  }

  #openLink() {
    const { topic, subscription, deadLetters, holdMsMax, unsettledMax } = this.#options
    const client = this.#clients.take()
    const receiver = client.createReceiver(topic, subscription, {
      receiveMode: 'peekLock',
      skipParsingBodyAsJson: true,
      maxAutoLockRenewalDurationInMs: 0,
      ...(deadLetters ? { subQueueType: 'deadLetter' as const } : {}),
    })
    const holdFor = holdMsMax ?? defaultHoldMsMax
    const link = new Link(receiver, this.#settings, this.#inbox, holdFor)
    this.#isBroken = false
    link.subscribe(unsettledMax ?? defaultUnsettledMax, (error) => {
      if (this.#open?.link !== link) return
      this.#isBroken = recoveryOf(error) === 'never' || error.code === 'BROKER_UNAUTHORIZED'
      this.#inbox.fail(error)
    })
    return { link, client }
  }

  async #drop(): Promise<void> {
    const open = this.#open
    this.#open = undefined
    if (!open) return
    await open.link.close()
    this.#clients.release(open.client)
  }
}

/**
 * Sessions that share a connection. Before each accept the SDK asks for a right to the session, and on one
 * connection it asks for one right at a time: with many short sessions that is what they wait for.
 */
const sessionsPerConnection = 32

/** Reads a subscription by session: so many places, each with one session at a time. */
export class SessionsReceiver implements Receiver {
  readonly #clients: Clients
  readonly #settings: Settings
  readonly #options: ReceiverOptions
  readonly #inbox: Inbox
  readonly #closed: (receiver: Receiver) => void
  readonly #closing = new AbortController()
  /** Connections of its own, where one is not enough. */
  readonly #more: readonly Clients[]
  #places: readonly Promise<void>[] | undefined

  /** @param closed is told when it is. */
  constructor(
    clients: Clients,
    settings: Settings,
    options: ReceiverOptions,
    closed: (receiver: Receiver) => void,
  ) {
    this.#closed = closed
    this.#clients = clients
    this.#settings = settings
    this.#options = options
    this.#inbox = new Inbox(settings.system)
    const connections = Math.ceil((options.sessions ?? 1) / sessionsPerConnection)
    this.#more = Array.from({ length: connections - 1 }, () => clients.apart())
  }

  async receive(max: number, waitMs: number): Promise<readonly Received[]> {
    this.#places ??= this.#openPlaces()
    return this.#inbox.receive(max, waitMs)
  }

  #openPlaces(): readonly Promise<void>[] {
    const connections = [this.#clients, ...this.#more]
    return Array.from({ length: this.#options.sessions ?? 1 }, (_, at) =>
      this.#serve(connections[at % connections.length] as Clients),
    )
  }

  settle(message: Received, settlement: Settlement): Promise<void> {
    return this.#inbox.settle(message, settlement)
  }

  async close(): Promise<void> {
    this.#closed(this)
    this.#inbox.close()
    this.#closing.abort()
    await Promise.all(this.#places ?? [])
    await Promise.all(this.#more.map((clients) => clients.close()))
  }

  /** One place: accepts a session, serves it until it has nothing more, and accepts the next. */
  async #serve(clients: Clients): Promise<void> {
    const { system } = this.#settings
    const { signal } = this.#closing
    let failures = 0
    while (!signal.aborted) {
      const client = clients.take()
      try {
        const session = await this.#accept(client)
        failures = 0
        if (session) await this.#serveSession(session)
      } catch (cause) {
        if (signal.aborted) break
        const error = toTidemarkError(cause, this.#path)
        this.#inbox.fail(error)
        if (error.code === 'BROKER_UNAVAILABLE' && !isNotAllowed(cause)) clients.replace(client)
        await sleep(system, backoffMs(receiverBackoff, failures, system.random), signal)
        failures += 1
      } finally {
        clients.release(client)
      }
    }
  }

  get #path(): string {
    return `${this.#options.topic}/Subscriptions/${this.#options.subscription}`
  }

  /** The next session that has messages; `undefined` where there was none for a while. */
  async #accept(client: ServiceBusClient): Promise<ServiceBusSessionReceiver | undefined> {
    const { topic, subscription, holdMsMax } = this.#options
    const accepting = client.acceptNextSession(topic, subscription, {
      receiveMode: 'peekLock',
      skipParsingBodyAsJson: true,
      maxAutoLockRenewalDurationInMs: holdMsMax ?? defaultHoldMsMax,
    })
    try {
      const accepted = answered(this.#settings, 'accepting a session', accepting)
      return await unlessAborted(this.#closing.signal, accepted)
    } catch (error) {
      // A session that comes when nobody wants it any more is for others.
      accepting.then(
        (late) => endQuietly(this.#settings, late),
        () => {},
      )
      if (lastCode(error) === 'ServiceTimeout') return undefined
      throw error
    }
  }

  async #serveSession(session: ServiceBusSessionReceiver): Promise<void> {
    const { sessions = 1, unsettledMax = defaultUnsettledMax } = this.#options
    const { system } = this.#settings
    const link = new SessionLink(session, this.#settings, this.#inbox)
    link.subscribe(Math.max(1, Math.ceil(unsettledMax / sessions)), (error) => {
      // A session that is lost is accepted again, by us or by somebody else.
      if (error.code !== 'LOCK_LOST') this.#inbox.fail(error)
      link.end()
    })
    while (!link.isOver.aborted && !this.#closing.signal.aborted) {
      const over = AbortSignal.any([link.isOver, this.#closing.signal])
      await sleep(system, idleSessionMs, over)
      const isIdle = system.mono() - link.heardAt >= idleSessionMs && this.#inbox.isIdle(link)
      if (session.isClosed || isIdle) break
    }
    await link.close()
  }
}

/** The link of one session. */
class SessionLink extends Link {
  readonly #over = new AbortController()

  get isOver(): AbortSignal {
    return this.#over.signal
  }

  end(): void {
    this.#over.abort()
  }

  override async settle(message: Received, settlement: Settlement): Promise<void> {
    await super.settle(message, settlement)
    // What we hold of the session came after what goes back: letting go of all keeps the order.
    if (settlement.type === 'abandon') this.end()
  }
}
