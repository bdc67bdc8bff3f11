/**
 * Azure Service Bus behind the port, through Microsoft's SDK. The SDK's own patience is cut short: its
 * retries are few and quick, every call has a deadline of ours, and whoever calls decides what comes next.
 */
import {
  ServiceBusClient,
  type ServiceBusMessageBatch,
  type TokenCredential,
} from '@azure/service-bus'
import { assert, isTidemarkError, recoveryOf, system, TidemarkError } from '@tidemark/shared'
import {
  type Broker,
  calledOff,
  type Message,
  type PeekableBroker,
  type Place,
  type PublishResult,
  type Received,
  type Receiver,
  type ReceiverOptions,
  type Settlement,
} from './broker.ts'
import { Gate } from './gate.ts'
import { Clients, type Settings } from './service-bus-client.ts'
import { peekAt, pickFrom } from './service-bus-look.ts'
import { findUnsendable, toServiceBus } from './service-bus-message.ts'
import { PlainReceiver, SessionsReceiver } from './service-bus-receiver.ts'
import { Senders } from './service-bus-senders.ts'

/** How to reach a namespace, and the settings whose defaults do not fit. */
export interface ServiceBusOptions extends Partial<Settings> {
  /** A connection string; or `namespace` and `credential`. */
  readonly connectionString?: string
  /** `my-namespace.servicebus.windows.net`. */
  readonly namespace?: string
  /** From `@azure/identity`: `new DefaultAzureCredential()`. */
  readonly credential?: TokenCredential
}

const defaults: Settings = {
  // Those of the Standard tier. A Premium namespace takes 1,048,576 and more.
  messageBytesMax: 262_144,
  answerMsMax: 15_000,
  clientMsMax: 1_800_000,
  silenceMsMax: 60_000,
  system,
}

/** The longest session id, in characters. */
const keyLengthMax = 128

/** A batch of a Premium namespace may not be larger than this, even where a single message may. */
const batchBytesMax = 1_048_576

/** Sends under way at once, in the whole process: each waits for its outcome, and the SDK holds 2,048 on a link. */
const sendsMax = 64

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

class ServiceBus implements PeekableBroker {
  readonly limits: Broker['limits']
  readonly #clients: Clients
  readonly #settings: Settings
  readonly #senders: Senders
  readonly #receivers = new Set<Receiver>()
  readonly #sends: Gate

  constructor(clients: Clients, settings: Settings) {
    this.#clients = clients
    this.#settings = settings
    this.#sends = new Gate(sendsMax)
    this.#senders = new Senders(clients, settings)
    this.limits = { messageBytesMax: settings.messageBytesMax, keyLengthMax }
  }

  async publish(
    topic: string,
    messages: readonly Message[],
    signal?: AbortSignal,
  ): Promise<readonly PublishResult[]> {
    const { busyMs } = this.#senders
    if (busyMs > 0) {
      return messages.map(() => new TidemarkError('BROKER_BUSY', { retryAfterMs: busyMs }))
    }
    const results = messages.map((): PublishResult => undefined)
    const publishing: Publishing = { topic, messages, results, signal }
    let parcel = await this.#pack(publishing, 0)
    for (;;) {
      const sending = this.#sendParcel(publishing, parcel)
      const isLast = parcel.next >= messages.length
      const following = isLast ? undefined : await this.#packBeside(publishing, parcel.next)
      const trouble = await sending
      if (trouble) return results.fill(trouble, parcel.next)
      if (!following) return results
      parcel = following
    }
  }

  receiver(options: ReceiverOptions): Receiver {
    const Kind = options.sessions ? SessionsReceiver : PlainReceiver
    const receiver = new Kind(this.#clients, this.#settings, options, (closed) =>
      this.#receivers.delete(closed),
    )
    this.#receivers.add(receiver)
    return receiver
  }

  peek(place: Place, max: number, after = '0'): Promise<readonly Received[]> {
    return peekAt({ clients: this.#clients, settings: this.#settings }, place, max, after)
  }

  pick(
    place: Place,
    sequence: string,
    work: (message: Received) => Promise<Settlement>,
  ): Promise<boolean> {
    return pickFrom({ clients: this.#clients, settings: this.#settings }, place, sequence, work)
  }

  async close(): Promise<void> {
    await Promise.all([...this.#receivers].map((receiver) => receiver.close()))
    this.#senders.close()
    await this.#clients.close()
  }

  /** Packs what follows while the broker is at work on what was sent before. */
  async #packBeside(publishing: Publishing, first: number): Promise<Parcel> {
    // By then what was sent is on the wire.
    await this.#settings.system.breathe()
    return this.#pack(publishing, first)
  }

  /** Packs as many messages as one batch takes, from `first` on. */
  async #pack({ topic, messages }: Publishing, first: number): Promise<Parcel> {
    const refused = new Map<number, TidemarkError>()
    const indexes: number[] = []
    let batch: ServiceBusMessageBatch | undefined
    let next = first
    for (; next < messages.length; next += 1) {
      const message = messages[next]
      assert(message, 'the index is in the list')
      const error = findUnsendable(message, this.limits)
      if (error) {
        refused.set(next, error)
        continue
      }
      try {
        batch ??= await this.#createBatch(topic)
      } catch (error) {
        if (!isTidemarkError(error)) throw error
        return { refused, indexes: [next], next: next + 1, error }
      }
      if (batch.tryAddMessage(toServiceBus(message))) indexes.push(next)
      else if (indexes.length > 0) break
      // The envelope of a batch repeats the first message's properties, so a large one goes alone.
      else return { refused, indexes: [next], next: next + 1, single: message }
    }
    return { refused, indexes, next, batch }
  }

  /**
   * Sends a parcel and notes how each of its messages went. Returned: the trouble that is not the messages'
   * own. What follows would meet it too, and wait for as long.
   */
  async #sendParcel(publishing: Publishing, parcel: Parcel): Promise<PublishResult> {
    const { results } = publishing
    for (const [index, error] of parcel.refused) results[index] = error
    if (parcel.indexes.length === 0) return undefined
    const error = parcel.error ?? (await this.#send(publishing, parcel))
    if (parcel.indexes.length > 1 && error && isOfOne(error)) {
      return this.#sendApart(publishing, parcel.indexes)
    }
    for (const index of parcel.indexes) results[index] = error
    return error && isOfOne(error) ? undefined : error
  }

  /** A batch is taken or refused as a whole: one by one it shows whose fault it was. */
  async #sendApart(publishing: Publishing, indexes: readonly number[]): Promise<PublishResult> {
    let trouble: PublishResult
    for (const index of indexes) {
      const single = publishing.messages[index]
      assert(single, 'the index is in the list')
      const error = trouble ?? (await this.#send(publishing, { single }))
      publishing.results[index] = error
      if (error && !isOfOne(error)) trouble = error
    }
    return trouble
  }

  #createBatch(topic: string): Promise<ServiceBusMessageBatch> {
    const maxSizeInBytes = Math.min(this.limits.messageBytesMax, batchBytesMax)
    return this.#senders.use(topic, `a batch for ${topic}`, (sender) =>
      sender.createMessageBatch({ maxSizeInBytes }),
    )
  }

  async #send(
    { topic, signal }: Publishing,
    parcel: Pick<Parcel, 'batch' | 'single'>,
  ): Promise<PublishResult> {
    const content = parcel.single ? toServiceBus(parcel.single) : parcel.batch
    assert(content, 'a parcel has a batch or a single message')
    await this.#sends.enter()
    try {
      if (signal?.aborted) return calledOff()
      await this.#senders.use(topic, `a send to ${topic}`, (sender) => sender.sendMessages(content))
      return undefined
    } catch (error) {
      if (!isTidemarkError(error)) throw error
      return error
    } finally {
      this.#sends.leave()
    }
  }
}

/** May a batch have been refused for one of its messages? */
const isOfOne = (error: TidemarkError): boolean =>
  recoveryOf(error) === 'never' && error.code !== 'ENTITY_MISSING'

/** A publish under way. */
interface Publishing {
  readonly topic: string
  readonly messages: readonly Message[]
  /** How each message went, so far. */
  readonly results: PublishResult[]
  readonly signal: AbortSignal | undefined
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
