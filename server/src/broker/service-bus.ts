/**
 * Azure Service Bus behind the port, through Microsoft's SDK. The SDK's own patience is cut short: its
 * retries are few and quick, every call has a deadline of ours, and whoever calls decides what comes next.
 */
import {
  ServiceBusClient,
  type ServiceBusMessageBatch,
  type ServiceBusSender,
  type TokenCredential,
} from '@azure/service-bus'
import { assert, isTidemarkError, recoveryOf, system, TidemarkError } from '@tidemark/shared'
import type {
  Broker,
  Message,
  PeekableBroker,
  Place,
  PublishResult,
  Received,
  Receiver,
  ReceiverOptions,
  Settlement,
} from './broker.ts'
import { Gate } from './gate.ts'
import { answered, Clients, endQuietly, type Settings } from './service-bus-client.ts'
import { toTidemarkError } from './service-bus-error.ts'
import { peekAt, pickFrom } from './service-bus-look.ts'
import { findUnsendable, toServiceBus } from './service-bus-message.ts'
import { PlainReceiver, SessionsReceiver } from './service-bus-receiver.ts'

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
    let parcel = await this.#pack(topic, messages, 0)
    for (;;) {
      const sending = this.#sendParcel(topic, messages, parcel, results)
      const isLast = parcel.next >= messages.length
      const following = isLast ? undefined : await this.#packBeside(topic, messages, parcel.next)
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
    for (const topic of this.#senders.keys()) this.#dropSender(topic)
    await this.#clients.close()
  }

  /** Packs what follows while the broker is at work on what was sent before. */
  async #packBeside(topic: string, messages: readonly Message[], first: number): Promise<Parcel> {
    // By then what was sent is on the wire.
    await this.#settings.system.breathe()
    return this.#pack(topic, messages, first)
  }

  /** Packs as many messages as one batch takes, from `first` on. */
  async #pack(topic: string, messages: readonly Message[], first: number): Promise<Parcel> {
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

  /**
   * Sends a parcel and notes how each of its messages went. Returned: the trouble that is not the messages'
   * own. What follows would meet it too, and wait for as long.
   */
  async #sendParcel(
    topic: string,
    messages: readonly Message[],
    parcel: Parcel,
    results: PublishResult[],
  ): Promise<PublishResult> {
    for (const [index, error] of parcel.refused) results[index] = error
    if (parcel.indexes.length === 0) return undefined
    const error = parcel.error ?? (await this.#send(topic, parcel))
    if (parcel.indexes.length > 1 && error && isOfOne(error)) {
      return this.#sendApart(topic, messages, parcel.indexes, results)
    }
    for (const index of parcel.indexes) results[index] = error
    return error && recoveryOf(error) !== 'never' ? error : undefined
  }

  /** A batch is taken or refused as a whole: one by one it shows whose fault it was. */
  async #sendApart(
    topic: string,
    messages: readonly Message[],
    indexes: readonly number[],
    results: PublishResult[],
  ): Promise<PublishResult> {
    let trouble: PublishResult
    for (const index of indexes) {
      const single = messages[index]
      assert(single, 'the index is in the list')
      const error = trouble ?? (await this.#send(topic, { single }))
      results[index] = error
      if (error && recoveryOf(error) !== 'never') trouble = error
    }
    return trouble
  }

  #createBatch(topic: string): Promise<ServiceBusMessageBatch> {
    const maxSizeInBytes = Math.min(this.limits.messageBytesMax, batchBytesMax)
    const creating = this.#sender(topic).createMessageBatch({ maxSizeInBytes })
    return answered(this.#settings, `a batch for ${topic}`, creating)
  }

  async #send(topic: string, parcel: Pick<Parcel, 'batch' | 'single'>): Promise<PublishResult> {
    await this.#sends.enter()
    try {
      const content = parcel.single ? toServiceBus(parcel.single) : parcel.batch
      assert(content, 'a parcel has a batch or a single message')
      const sending = this.#sender(topic).sendMessages(content)
      await answered(this.#settings, `a send to ${topic}`, sending)
      return undefined
    } catch (error) {
      return this.#heed(topic, error)
    } finally {
      this.#sends.leave()
    }
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
    } else if (recoveryOf(error) !== 'never') {
      // An SDK client whose connection breaks at a bad moment never comes back: the next send gets a new one.
      const known = this.#senders.get(topic)
      if (known) this.#clients.replace(known.client)
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

/** May a batch have been refused for one of its messages? */
const isOfOne = (error: TidemarkError): boolean =>
  recoveryOf(error) === 'never' && error.code !== 'ENTITY_MISSING'

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
