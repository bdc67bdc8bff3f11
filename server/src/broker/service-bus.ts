/**
 * Azure Service Bus behind the port, through Microsoft's SDK. The SDK's own patience is cut short: its
 * retries are few and quick, every call has a deadline of ours, and whoever calls decides what comes next.
 */
import {
  ServiceBusClient,
  type ServiceBusMessage,
  type ServiceBusMessageBatch,
  type ServiceBusReceivedMessage,
  type ServiceBusReceiver,
  type ServiceBusSender,
  type ServiceBusSessionReceiver,
  type TokenCredential,
} from '@azure/service-bus'
import {
  assert,
  backoffMs,
  isTidemarkError,
  sleep,
  system as realSystem,
  type System,
  TidemarkError,
} from '@tidemark/shared'
import { Apart } from '../apart.ts'
import { runWithin } from '../deadline.ts'
import {
  type Attributes,
  type Broker,
  defaultHoldMsMax,
  defaultUnsettledMax,
  type Message,
  type PeekableBroker,
  pickedThroughMax,
  type Place,
  type PublishResult,
  type Received,
  type Receiver,
  type ReceiverOptions,
  type Settlement,
} from './broker.ts'
import { Inbox, type Way } from './inbox.ts'

/** How to reach a namespace. */
export interface ServiceBusOptions {
  /** A connection string; or `namespace` and `credential`. */
  readonly connectionString?: string
  /** `my-namespace.servicebus.windows.net`. */
  readonly namespace?: string
  /** From `@azure/identity`: `new DefaultAzureCredential()`. */
  readonly credential?: TokenCredential
  /** The largest message of the tier, in bytes. Default: 262,144, Standard's. Premium takes 1,048,576 and more. */
  readonly messageBytesMax?: number
  /** How long a call may take before it counts as unanswered, in ms. Default: 15,000. */
  readonly answerMsMax?: number
  /** The age at which a connection is replaced by a new one, in ms. Default: 1,800,000. */
  readonly clientMsMax?: number
  /** The silence after which a receiver is taken for dead and made anew, in ms. Default: 60,000. */
  readonly silenceMsMax?: number
  readonly system?: System
}

type Settings = Required<Omit<ServiceBusOptions, 'connectionString' | 'namespace' | 'credential'>>

const defaults: Settings = {
  messageBytesMax: 262_144,
  answerMsMax: 15_000,
  clientMsMax: 1_800_000,
  silenceMsMax: 60_000,
  system: realSystem,
}

/** The longest session id, in characters. */
const keyLengthMax = 128

/** A batch of a Premium namespace may not be larger than this, even where a single message may. */
const batchBytesMax = 1_048_576

/** Sends under way at once, in the whole process: each waits for its outcome, and the SDK holds 2,048 on a link. */
const sendsMax = 64

/** How long a session without messages is kept before another gets its place, in ms. */
const idleSessionMs = 250

/** Messages that one call looks at. */
const peekedAtOnce = 250

/** How long a message that is there may take to be handed out, in ms. */
const pickMs = 3_000

/** How long to wait before a receiver that failed tries again. */
const receiverBackoff = { firstMs: 250, maxMs: 10_000 }

/** How long Service Bus asks throttled senders to wait, in ms. */
const throttledMs = 2_000

/**
 * Connects to a namespace, at the first call.
 *
 * @example
 * serviceBus({ connectionString: process.env.SERVICEBUS_CONNECTION_STRING })
 * serviceBus({ namespace: 'shop.servicebus.windows.net', credential: new DefaultAzureCredential() })
 */
export function serviceBus(options: ServiceBusOptions): PeekableBroker {
  const { connectionString, namespace, credential, ...rest } = options
  const settings = { ...defaults, ...rest }
  // The SDK's defaults are three retries, 30 seconds apart, of 60 seconds each.
  const clientOptions = {
    retryOptions: {
      maxRetries: 1,
      retryDelayInMs: 200,
      maxRetryDelayInMs: 1_000,
      timeoutInMs: Math.max(1_000, Math.floor(settings.answerMsMax / 3)),
      mode: 0, // RetryMode.Exponential
    },
  }
  const connect = () => {
    if (connectionString !== undefined) return new ServiceBusClient(connectionString, clientOptions)
    assert(
      namespace && credential,
      'serviceBus needs a connectionString, or namespace and credential',
    )
    return new ServiceBusClient(namespace, credential, clientOptions)
  }
  return new ServiceBus(new Clients(connect, settings), settings)
}

/** The connection, replaced when it grows old: a token renewal that failed once never heals in it. */
class Clients {
  readonly #connect: () => ServiceBusClient
  readonly #settings: Settings
  #current: { readonly client: ServiceBusClient; readonly bornAt: number } | undefined
  readonly #users = new Map<ServiceBusClient, number>()

  constructor(connect: () => ServiceBusClient, settings: Settings) {
    this.#connect = connect
    this.#settings = settings
  }

  /** The connection to use now. Whoever takes it lets go of it, so that an old one can be closed. */
  take(): ServiceBusClient {
    const now = this.#settings.system.mono()
    if (this.#current && now - this.#current.bornAt > this.#settings.clientMsMax) this.renew()
    this.#current ??= { client: this.#connect(), bornAt: now }
    const { client } = this.#current
    this.#users.set(client, (this.#users.get(client) ?? 0) + 1)
    return client
  }

  /** A connection for one use. Whoever opens it closes it. */
  open(): ServiceBusClient {
    return this.#connect()
  }

  release(client: ServiceBusClient): void {
    const users = (this.#users.get(client) ?? 1) - 1
    this.#users.set(client, users)
    if (users === 0 && client !== this.#current?.client) this.#close(client)
  }

  /** The next one to take a connection gets a new one. */
  renew(): void {
    const client = this.#current?.client
    this.#current = undefined
    if (client && !this.#users.get(client)) this.#close(client)
  }

  async close(): Promise<void> {
    this.#current = undefined
    await Promise.all([...this.#users.keys()].map((client) => endQuietly(this.#settings, client)))
    this.#users.clear()
  }

  #close(client: ServiceBusClient): void {
    this.#users.delete(client)
    void endQuietly(this.#settings, client)
  }
}

class ServiceBus implements PeekableBroker {
  readonly limits: Broker['limits']
  readonly #clients: Clients
  readonly #settings: Settings
  readonly #senders = new Map<string, { sender: ServiceBusSender; client: ServiceBusClient }>()
  readonly #receivers = new Set<Receiver>()
  readonly #sends: Gate
  /** Throttling is the namespace's, not the topic's: nobody sends before this time of the monotonic clock. */
  #busyUntil = 0

  constructor(clients: Clients, settings: Settings) {
    this.#clients = clients
    this.#settings = settings
    this.#sends = new Gate(sendsMax)
    this.limits = { messageBytesMax: settings.messageBytesMax, keyLengthMax }
  }

  async publish(topic: string, messages: readonly Message[]): Promise<readonly PublishResult[]> {
    const busyMs = Math.ceil(this.#busyUntil - this.#settings.system.mono())
    if (busyMs > 0) {
      return messages.map(() => new TidemarkError('BROKER_BUSY', { retryAfterMs: busyMs }))
    }
    const results = messages.map((): PublishResult => undefined)
    const stopped = new Map<string, TidemarkError>()
    const settle = (indexes: readonly number[], error: PublishResult) => {
      for (const index of indexes) {
        results[index] = error
        if (error && error.recovery !== 'never') stopped.set(messages[index]?.key ?? '', error)
      }
    }
    let next = 0
    while (next < messages.length) {
      const parcel = await this.#pack(topic, messages, next, stopped)
      for (const [index, error] of parcel.refused) settle([index], error)
      if (parcel.indexes.length > 0) {
        const error = parcel.error ?? (await this.#send(topic, parcel))
        // A batch is taken or refused as a whole: one by one it shows whose fault it was.
        if (
          error?.recovery === 'never' &&
          error.code !== 'ENTITY_MISSING' &&
          parcel.indexes.length > 1
        ) {
          for (const index of parcel.indexes)
            settle([index], await this.#sendOne(topic, messages[index]))
        } else settle(parcel.indexes, error)
      }
      next = parcel.next
    }
    return results
  }

  receiver(options: ReceiverOptions): Receiver {
    const receiver = options.sessions
      ? new SessionsReceiver(this.#clients, this.#settings, options)
      : new PlainReceiver(this.#clients, this.#settings, options)
    this.#receivers.add(receiver)
    return receiver
  }

  peek(place: Place, max: number, after = '0'): Promise<readonly Received[]> {
    return this.#visit(place, async (receiver) => {
      const found: Received[] = []
      for await (const received of this.#look(receiver)) {
        if (isAfter(received.sequence, after)) found.push(received)
        if (found.length >= max) break
      }
      return found
    })
  }

  pick(
    place: Place,
    sequence: string,
    work: (message: Received) => Promise<Settlement>,
  ): Promise<boolean> {
    return this.#visit(place, async (receiver) => {
      // So many have to be taken to get at it; asking for more would mean waiting for them.
      let left = 0
      let isThere = false
      for await (const received of this.#look(receiver)) {
        left += 1
        isThere = received.sequence === sequence
        if (isThere || left === pickedThroughMax) break
      }
      return isThere && (await this.#take(receiver, left, sequence, work))
    })
  }

  async #take(
    receiver: ServiceBusReceiver,
    count: number,
    sequence: string,
    work: (message: Received) => Promise<Settlement>,
  ): Promise<boolean> {
    const others: ServiceBusReceivedMessage[] = []
    try {
      while (others.length < count) {
        const max = count - others.length
        const taken = await receiver.receiveMessages(max, { maxWaitTimeInMs: pickMs })
        const found = taken.find((one) => String(one.sequenceNumber) === sequence)
        others.push(...taken.filter((one) => one !== found))
        // Somebody else holds it.
        if (taken.length === 0) return false
        if (!found) continue
        const settlement = await work(fromServiceBus(found)).catch((error: unknown) => {
          others.push(found)
          throw new WorkFailed('the work on a message failed', { cause: error })
        })
        await answered(this.#settings, 'a settlement', () => apply(receiver, found, settlement))
        return true
      }
      return false
    } finally {
      // One after the other: rhea merges different settlements that are made in one tick.
      for (const other of others) await abandonQuietly(this.#settings, receiver, other)
    }
  }

  /** What lies in a place, page by page. */
  async *#look(receiver: ServiceBusReceiver): AsyncGenerator<Received> {
    for (;;) {
      // Each peek of a connection goes on where its last one ended, and only at the end is there nothing.
      const page = await answered(this.#settings, 'a peek', (abortSignal) =>
        receiver.peekMessages(peekedAtOnce, { abortSignal }),
      )
      if (page.length === 0) return
      yield* page.map(fromServiceBus)
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#receivers].map((receiver) => receiver.close()))
    for (const topic of this.#senders.keys()) this.#dropSender(topic)
    await this.#clients.close()
  }

  /** Opens a receiver that fetches nothing ahead, on a connection of its own, for as long as `run` takes. */
  async #visit<T>(place: Place, run: (receiver: ServiceBusReceiver) => Promise<T>): Promise<T> {
    const client = this.#clients.open()
    const { topic, subscription, deadLetters } = place
    const receiver = client.createReceiver(topic, subscription, {
      receiveMode: 'peekLock',
      skipParsingBodyAsJson: true,
      maxAutoLockRenewalDurationInMs: 0,
      ...(deadLetters ? { subQueueType: 'deadLetter' as const } : {}),
    })
    try {
      return await run(receiver)
    } catch (error) {
      throw error instanceof WorkFailed ? error.cause : toTidemarkError(error, receiver.entityPath)
    } finally {
      await endQuietly(this.#settings, client)
    }
  }

  /** Packs as many messages as one batch takes, from `first` on. */
  async #pack(
    topic: string,
    messages: readonly Message[],
    first: number,
    stopped: ReadonlyMap<string, TidemarkError>,
  ): Promise<Parcel> {
    const refused = new Map<number, TidemarkError>()
    const indexes: number[] = []
    let batch: ServiceBusMessageBatch | undefined
    let next = first
    for (; next < messages.length; next += 1) {
      const message = messages[next]
      assert(message, 'the index is in the list')
      const error = stopped.get(message.key) ?? findUnsendable(message, this.limits)
      if (error) {
        refused.set(next, error)
        continue
      }
      try {
        batch ??= await this.#createBatch(topic)
      } catch (cause) {
        const error = this.#heed(topic, cause)
        return { refused, indexes: [next], next: next + 1, error }
      }
      if (batch.tryAddMessage(toServiceBus(message))) indexes.push(next)
      else if (indexes.length > 0) break
      // The envelope of a batch repeats the first message's properties, so a large one goes alone.
      else return { refused, indexes: [next], next: next + 1, single: message }
    }
    return { refused, indexes, next, batch }
  }

  #createBatch(topic: string): Promise<ServiceBusMessageBatch> {
    return this.#call(`a batch for ${topic}`, (abortSignal) =>
      this.#sender(topic).createMessageBatch({
        maxSizeInBytes: Math.min(this.limits.messageBytesMax, batchBytesMax),
        abortSignal,
      }),
    )
  }

  async #sendOne(topic: string, message: Message | undefined): Promise<PublishResult> {
    assert(message, 'the index is in the list')
    return this.#send(topic, { single: message })
  }

  async #send(topic: string, parcel: Pick<Parcel, 'batch' | 'single'>): Promise<PublishResult> {
    await this.#sends.enter()
    try {
      const content = parcel.single ? toServiceBus(parcel.single) : parcel.batch
      assert(content, 'a parcel has a batch or a single message')
      await this.#call(`a send to ${topic}`, (abortSignal) =>
        this.#sender(topic).sendMessages(content, { abortSignal }),
      )
      return undefined
    } catch (error) {
      return this.#heed(topic, error)
    } finally {
      this.#sends.leave()
    }
  }

  #call<T>(what: string, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
    return answered(this.#settings, what, run)
  }

  #sender(topic: string): ServiceBusSender {
    const client = this.#clients.take()
    const known = this.#senders.get(topic)
    if (known?.client === client) {
      this.#clients.release(client)
      return known.sender
    }
    if (known) this.#dropSender(topic)
    const sender = client.createSender(topic)
    this.#senders.set(topic, { sender, client })
    return sender
  }

  /** What an error means for us, and for those who send after us. */
  #heed(topic: string, cause: unknown): TidemarkError {
    const error = toTidemarkError(cause, topic)
    if (isTidemarkError(error, 'BROKER_BUSY')) {
      this.#busyUntil = this.#settings.system.mono() + error.details.retryAfterMs
    } else if (error.recovery !== 'never') {
      // The link may be in any state: the next send gets a new one.
      this.#dropSender(topic)
    }
    return error
  }

  #dropSender(topic: string): void {
    const known = this.#senders.get(topic)
    if (!known) return
    this.#senders.delete(topic)
    void endQuietly(this.#settings, known.sender).then(() => this.#clients.release(known.client))
  }
}

/** Messages that go together. */
interface Parcel {
  readonly refused: ReadonlyMap<number, TidemarkError>
  /** Those that go, by their place in the list. */
  readonly indexes: readonly number[]
  /** The place to go on from. */
  readonly next: number
  readonly batch?: ServiceBusMessageBatch | undefined
  readonly single?: Message
  /** Why there is no batch. */
  readonly error?: TidemarkError
}

/** Carries what the caller's own work threw past the translation of the SDK's errors. */
class WorkFailed extends Error {}

/** Lets a bounded number in; the others wait in turn. */
class Gate {
  #room: number
  readonly #waiting: (() => void)[] = []

  constructor(room: number) {
    this.#room = room
  }

  async enter(): Promise<void> {
    if (this.#room > 0) this.#room -= 1
    else await new Promise<void>((resolve) => void this.#waiting.push(resolve))
  }

  leave(): void {
    const next = this.#waiting.shift()
    if (next) next()
    else this.#room += 1
  }
}

/** One SDK receiver: messages come by it into an inbox, and are settled on it. */
class Link implements Way {
  readonly #receiver: ServiceBusReceiver
  readonly #settings: Settings
  readonly #inbox: Inbox
  readonly #apart: Apart
  readonly #originals = new WeakMap<Received, ServiceBusReceivedMessage>()
  heardAt: number

  constructor(receiver: ServiceBusReceiver, settings: Settings, inbox: Inbox) {
    this.#receiver = receiver
    this.#settings = settings
    this.#inbox = inbox
    this.#apart = new Apart(settings.system)
    this.heardAt = settings.system.mono()
  }

  /** Starts the flow. `failed` hears of everything that interrupts it. */
  subscribe(unsettledMax: number, failed: (error: TidemarkError) => void): void {
    this.#receiver.subscribe(
      {
        processMessage: (original) => {
          this.heardAt = this.#settings.system.mono()
          const received = fromServiceBus(original)
          this.#originals.set(received, original)
          // The SDK asks for another message when this promise is settled.
          return this.#inbox.put(received, this)
        },
        processError: async ({ error, errorSource, entityPath }) => {
          // A lock that could not be renewed shows when the message is settled.
          if (errorSource !== 'renewLock') failed(toTidemarkError(error, entityPath))
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
    const run = () => apply(this.#receiver, original, settlement)
    await new Promise<void>((resolve, reject) => {
      this.#apart.run(kind, () => {
        answered(this.#settings, 'a settlement', run).then(resolve, (error: unknown) =>
          reject(toTidemarkError(error, this.#receiver.entityPath)),
        )
      })
    })
  }

  async close(): Promise<void> {
    this.#inbox.forget(this)
    await endQuietly(this.#settings, this.#receiver)
  }
}

/** Reads a subscription, or its dead letters, in any order. */
class PlainReceiver implements Receiver {
  readonly #clients: Clients
  readonly #settings: Settings
  readonly #options: ReceiverOptions
  readonly #inbox: Inbox
  #open: { readonly link: Link; readonly client: ServiceBusClient } | undefined
  /** The SDK goes on trying by itself, but for what no trying will change. */
  #isBroken = false

  constructor(clients: Clients, settings: Settings, options: ReceiverOptions) {
    this.#clients = clients
    this.#settings = settings
    this.#options = options
    this.#inbox = new Inbox(settings.system)
  }

  async receive(max: number, waitMs: number): Promise<readonly Received[]> {
    if (this.#open && (this.#isBroken || this.#isSilent(this.#open.link))) void this.#drop()
    this.#open ??= this.#openLink()
    return this.#inbox.receive(max, waitMs)
  }

  settle(message: Received, settlement: Settlement): Promise<void> {
    return this.#inbox.settle(message, settlement)
  }

  async close(): Promise<void> {
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
      maxAutoLockRenewalDurationInMs: holdMsMax ?? defaultHoldMsMax,
      ...(deadLetters ? { subQueueType: 'deadLetter' as const } : {}),
    })
    const link = new Link(receiver, this.#settings, this.#inbox)
    this.#isBroken = false
    link.subscribe(unsettledMax ?? defaultUnsettledMax, (error) => {
      if (this.#open?.link !== link) return
      this.#isBroken = error.recovery === 'never' || error.code === 'BROKER_UNAUTHORIZED'
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

/** Reads a subscription by session: so many places, each with one session at a time. */
class SessionsReceiver implements Receiver {
  readonly #clients: Clients
  readonly #settings: Settings
  readonly #options: ReceiverOptions
  readonly #inbox: Inbox
  readonly #closing = new AbortController()
  #places: readonly Promise<void>[] | undefined

  constructor(clients: Clients, settings: Settings, options: ReceiverOptions) {
    this.#clients = clients
    this.#settings = settings
    this.#options = options
    this.#inbox = new Inbox(settings.system)
  }

  async receive(max: number, waitMs: number): Promise<readonly Received[]> {
    this.#places ??= Array.from({ length: this.#options.sessions ?? 1 }, () => this.#serve())
    return this.#inbox.receive(max, waitMs)
  }

  settle(message: Received, settlement: Settlement): Promise<void> {
    return this.#inbox.settle(message, settlement)
  }

  async close(): Promise<void> {
    this.#inbox.close()
    this.#closing.abort()
    await Promise.all(this.#places ?? [])
  }

  /** One place: accepts a session, serves it until it has nothing more, and accepts the next. */
  async #serve(): Promise<void> {
    const { system } = this.#settings
    const { signal } = this.#closing
    let failures = 0
    while (!signal.aborted) {
      const client = this.#clients.take()
      try {
        const session = await this.#accept(client)
        failures = 0
        if (session) await this.#serveSession(session)
      } catch (cause) {
        if (signal.aborted) break
        this.#inbox.fail(toTidemarkError(cause, this.#path))
        await sleep(system, backoffMs(receiverBackoff, failures, system.random), signal)
        failures += 1
      } finally {
        this.#clients.release(client)
      }
    }
  }

  get #path(): string {
    return `${this.#options.topic}/Subscriptions/${this.#options.subscription}`
  }

  /** The next session that has messages; `undefined` where there was none for a while. */
  async #accept(client: ServiceBusClient): Promise<ServiceBusSessionReceiver | undefined> {
    const { topic, subscription, holdMsMax } = this.#options
    const { signal } = this.#closing
    try {
      // The SDK gives an accept up only when it is answered; a session that comes then, it closes.
      return await answered(this.#settings, 'accepting a session', (deadline) =>
        unlessAborted(
          signal,
          client.acceptNextSession(topic, subscription, {
            receiveMode: 'peekLock',
            skipParsingBodyAsJson: true,
            maxAutoLockRenewalDurationInMs: holdMsMax ?? defaultHoldMsMax,
            abortSignal: AbortSignal.any([deadline, signal]),
          }),
        ),
      )
    } catch (error) {
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

/** Why a message cannot be sent whatever happens, if so. */
function findUnsendable(message: Message, limits: Broker['limits']): TidemarkError | undefined {
  const { id, key } = message
  const longest = Math.max(key.length, messageIdOf(message).length)
  if (longest > limits.keyLengthMax) {
    return new TidemarkError('KEY_TOO_LONG', {
      key: key.length > limits.keyLengthMax ? key : id,
      max: limits.keyLengthMax,
    })
  }
  const bytes = sizeOf(message)
  const max = limits.messageBytesMax
  return bytes > max ? new TidemarkError('MESSAGE_TOO_LARGE', { bytes, max }) : undefined
}

/** At least what the message takes when it is encoded, in bytes: every name and value has its own header. */
function sizeOf(message: Message): number {
  const { key, attributes, body, correlationId = '' } = message
  let bytes = 256 + body.byteLength + Buffer.byteLength(messageIdOf(message) + key + correlationId)
  for (const [name, value] of Object.entries(attributes)) {
    bytes += prefix.length + name.length + Buffer.byteLength(String(value)) + 16
  }
  return bytes
}

const messageIdOf = ({ id, resend }: Message): string =>
  resend === undefined ? id : `${id}#${resend}`

/** How CloudEvents names its attributes in AMQP; the form with a colon is read too. */
const prefix = 'cloudEvents_'

function toServiceBus(message: Message): ServiceBusMessage {
  const { key, attributes, body, correlationId, properties } = message
  const label = message.label ?? attributes['type']
  const { datacontenttype, ...others } = attributes
  const prefixed = Object.entries(others).map(([name, value]) => [prefix + name, value])
  const applicationProperties = { ...properties, ...Object.fromEntries(prefixed) }
  return {
    messageId: messageIdOf(message),
    // A Buffer goes as it is; anything else would be written as JSON.
    body: Buffer.from(body.buffer, body.byteOffset, body.byteLength),
    applicationProperties,
    ...(key === '' ? {} : { sessionId: key }),
    ...(correlationId === undefined ? {} : { correlationId }),
    ...(typeof datacontenttype === 'string' ? { contentType: datacontenttype } : {}),
    ...(typeof label === 'string' ? { subject: label } : {}),
  }
}

function fromServiceBus(original: ServiceBusReceivedMessage): Received {
  const attributes: Record<string, string | number | boolean> = {}
  const properties: Record<string, string | number | boolean> = {}
  for (const [name, value] of Object.entries(original.applicationProperties ?? {})) {
    if (value === null || value === undefined) continue
    const plain = value instanceof Date ? value.toISOString() : value
    const [, attribute] = /^cloudEvents[_:](.+)$/.exec(name) ?? []
    if (attribute === undefined) properties[name] = plain
    else attributes[attribute] = plain
  }
  if (original.contentType !== undefined) attributes['datacontenttype'] = original.contentType
  return {
    id: String(original.messageId ?? ''),
    key: original.sessionId ?? '',
    attributes: attributes satisfies Attributes,
    body: bodyOf(original.body),
    correlationId:
      original.correlationId === undefined ? undefined : String(original.correlationId),
    label: original.subject,
    properties,
    sequence: original.sequenceNumber?.toString(),
    enqueuedAt: original.enqueuedTimeUtc?.getTime() ?? 0,
    deliveries: (original.deliveryCount ?? 0) + 1,
    lockedUntil: original.lockedUntilUtc?.getTime() ?? 0,
  }
}

/** Is the AMQP link gone by which this message came? A message that says nothing of it is taken at its word. */
function isCutOff(original: ServiceBusReceivedMessage): boolean {
  const { delivery } = original as {
    readonly delivery?: { readonly link?: { is_open?(): boolean } }
  }
  return delivery?.link?.is_open?.() === false
}

/** The body as bytes, also where its publisher sent an AMQP value instead of data. */
function bodyOf(body: unknown): Uint8Array {
  if (Buffer.isBuffer(body)) return body
  if (body === undefined || body === null) return Buffer.alloc(0)
  return Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))
}

/** Closes what may not answer. How it ends changes nothing for us: we never use it again. */
function apply(
  receiver: ServiceBusReceiver,
  original: ServiceBusReceivedMessage,
  settlement: Settlement,
): Promise<void> {
  switch (settlement.type) {
    case 'complete':
      return receiver.completeMessage(original)
    case 'abandon':
      return receiver.abandonMessage(original)
    case 'deadLetter':
      return receiver.deadLetterMessage(original, {
        deadLetterReason: settlement.reason.slice(0, 4_096),
        deadLetterErrorDescription: settlement.description.slice(0, 4_096),
      })
  }
}

const isAfter = (sequence = '0', other: string): boolean => BigInt(sequence) > BigInt(other)

/** Gives a message back. Where that fails, its lock ends by itself. */
async function abandonQuietly(
  settings: Settings,
  receiver: ServiceBusReceiver,
  original: ServiceBusReceivedMessage,
): Promise<void> {
  await answered(settings, 'giving back', () => receiver.abandonMessage(original)).catch(() => {})
}

async function endQuietly(settings: Settings, open: { close(): Promise<void> }): Promise<void> {
  await answered(settings, 'closing', () => open.close()).catch(() => {})
}

/** Waits for the SDK no longer than was asked for. */
const answered = <T>(
  { system, answerMsMax: ms }: Settings,
  what: string,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> =>
  runWithin(
    system,
    ms,
    () => new TidemarkError('BROKER_UNAVAILABLE', { reason: `${what}: no answer in ${ms} ms` }),
    run,
  )

/** Waits no longer than until the signal aborts. */
function unlessAborted<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason)
    signal.addEventListener('abort', stop, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop))
  })
}

/** After several tries the SDK throws all their errors together: the last one says how it stands. */
function lastError(error: unknown): unknown {
  return error instanceof AggregateError && error.errors.length > 0
    ? lastError(error.errors.at(-1))
    : error
}

const lastCode = (error: unknown): unknown => (lastError(error) as { readonly code?: unknown }).code

/** What an error of the SDK means to us. This is the only place that knows its codes. */
function toTidemarkError(thrown: unknown, entity: string): TidemarkError {
  const error = lastError(thrown)
  if (isTidemarkError(error)) return error
  const options = { cause: thrown }
  const { message = String(error) } = error as Partial<Error>
  switch (lastCode(error)) {
    case 'MessagingEntityNotFound':
    case 'MessagingEntityDisabled':
      return new TidemarkError('ENTITY_MISSING', { entity }, options)
    case 'MessageSizeExceeded':
      return new TidemarkError('MESSAGE_TOO_LARGE', { bytes: 0, max: 0 }, options)
    case 'MessageLockLost':
    case 'SessionLockLost':
    case 'MessageNotFound':
      return new TidemarkError('LOCK_LOST', undefined, options)
    case 'ServiceBusy':
      return new TidemarkError('BROKER_BUSY', { retryAfterMs: throttledMs }, options)
    case 'UnauthorizedAccess':
      return new TidemarkError('BROKER_UNAUTHORIZED', { reason: message }, options)
    default:
      return new TidemarkError('BROKER_UNAVAILABLE', { reason: message }, options)
  }
}
