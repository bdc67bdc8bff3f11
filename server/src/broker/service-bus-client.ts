/** Connections to a namespace, and how long we wait for them: the SDK's promises have been seen to hang. */
import type { ServiceBusClient } from '@azure/service-bus'
import { type System, TidemarkError } from '@tidemark/shared'
import { withDeadline } from '../deadline.ts'

/** What every part of the adapter goes by. */
export interface Settings {
  /** The largest message, in bytes. */
  readonly messageBytesMax: number
  /** How long a call may take before it counts as unanswered, in ms. */
  readonly answerMsMax: number
  /** The age at which a connection is replaced by a new one, in ms. */
  readonly clientMsMax: number
  /** The silence after which a receiver is taken for dead and made anew, in ms. */
  readonly silenceMsMax: number
  readonly system: System
}

/** The connection, replaced when it grows old: a token renewal that failed once never heals in it. */
export class Clients {
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
    const old = this.#current
    if (old && now - old.bornAt > this.#settings.clientMsMax) this.replace(old.client)
    this.#current ??= { client: this.#connect(), bornAt: now }
    const { client } = this.#current
    this.#users.set(client, (this.#users.get(client) ?? 0) + 1)
    return client
  }

  /** A connection for one use. Whoever opens it closes it. */
  open(): ServiceBusClient {
    return this.#connect()
  }

  /** Others to the same namespace. Whoever asks for them closes them. */
  apart(): Clients {
    return new Clients(this.#connect, this.#settings)
  }

  release(client: ServiceBusClient): void {
    const users = (this.#users.get(client) ?? 1) - 1
    this.#users.set(client, users)
    if (users === 0 && client !== this.#current?.client) this.#close(client)
  }

  /** The next one to take a connection gets another one than this. */
  replace(client: ServiceBusClient): void {
    if (this.#current?.client !== client) return
    this.#current = undefined
    if (!this.#users.get(client)) this.#close(client)
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

/** Closes what may not answer. How it ends changes nothing for us: we never use it again. */
export async function endQuietly(
  settings: Settings,
  open: { close(): Promise<void> },
): Promise<void> {
  await answered(settings, 'closing', open.close()).catch(() => {})
}

/**
 * Waits for the SDK no longer than `answerMsMax`. It is not told to give up: a link that it closes for
 * an abort while the broker detaches it with an error is a rejection that nobody handles, and the end of the process.
 * Its own timeouts are shorter than ours.
 */
export const answered = <T>(
  { system, answerMsMax }: Settings,
  what: string,
  promise: Promise<T>,
): Promise<T> => withDeadline(system, answerMsMax, promise, () => unanswered(what, answerMsMax))

/** What it means that there was no answer. */
export const unanswered = (what: string, ms: number): TidemarkError =>
  new TidemarkError('BROKER_UNAVAILABLE', { reason: `${what}: no answer in ${ms} ms` })

/** Waits no longer than until the signal aborts. */
export function unlessAborted<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason)
    signal.addEventListener('abort', stop, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop))
  })
}
