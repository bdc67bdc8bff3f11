/** Senders, one for each topic, on the connection of the time; and what an error of one means for those who send next. */
import type { ServiceBusClient, ServiceBusSender } from '@azure/service-bus'
import { isTidemarkError, recoveryOf, type TidemarkError } from '@tidemark/shared'
import { answered, type Clients, endQuietly, type Settings } from './service-bus-client.ts'
import { isNotAllowed, toTidemarkError } from './service-bus-error.ts'

/** A sender, and the connection that it is on. */
interface Opened {
  readonly sender: ServiceBusSender
  readonly client: ServiceBusClient
}

/** The senders of a namespace. */
export class Senders {
  readonly #clients: Clients
  readonly #settings: Settings
  readonly #opened = new Map<string, Opened>()
  /** Throttling is the namespace's, not the topic's: nobody sends before this time of the monotonic clock. */
  #busyUntil = 0

  constructor(clients: Clients, settings: Settings) {
    this.#clients = clients
    this.#settings = settings
  }

  /** For how long nobody should send, in ms; not above zero where the namespace has not said so. */
  get busyMs(): number {
    return Math.ceil(this.#busyUntil - this.#settings.system.mono())
  }

  /** Waits for what `work` does with the sender of a topic. Throws what its failure means, as a `TidemarkError`. */
  async use<T>(
    topic: string,
    what: string,
    work: (sender: ServiceBusSender) => Promise<T>,
  ): Promise<T> {
    let opened: Opened | undefined
    try {
      opened = this.#open(topic)
      return await answered(this.#settings, what, work(opened.sender))
    } catch (cause) {
      throw this.#heed(topic, cause, opened)
    }
  }

  /** Closes them, and does not wait for it. */
  close(): void {
    for (const [topic, opened] of this.#opened) this.#drop(topic, opened)
  }

  #open(topic: string): Opened {
    const client = this.#clients.take()
    const known = this.#opened.get(topic)
    if (known?.client === client) {
      this.#clients.release(client)
      return known
    }
    if (known) this.#drop(topic, known)
    const opened = { sender: client.createSender(topic), client }
    this.#opened.set(topic, opened)
    return opened
  }

  #heed(topic: string, cause: unknown, failed: Opened | undefined): TidemarkError {
    const error = toTidemarkError(cause, topic)
    if (isTidemarkError(error, 'BROKER_BUSY')) {
      this.#busyUntil = this.#settings.system.mono() + error.details.retryAfterMs
    } else if (recoveryOf(error) !== 'never' && failed && !isNotAllowed(cause)) {
      // An SDK client whose connection breaks at a bad moment never comes back: the next send gets a new one,
      // unless there is one already since this one was used.
      this.#clients.replace(failed.client)
      if (this.#opened.get(topic) === failed) this.#drop(topic, failed)
    }
    return error
  }

  #drop(topic: string, { sender, client }: Opened): void {
    this.#opened.delete(topic)
    void endQuietly(this.#settings, sender).then(() => this.#clients.release(client))
  }
}
