/**
 * What one link reads. A subscription is opened when the log could be asked, given up when the client
 * no longer wants it, and all of a link's share one bound on what is sent ahead of `applied`.
 */
import {
  backoffMs,
  type FrameOf,
  type GatewayFrame,
  type Limits,
  logKey,
  type LogName,
  type Position,
  sleep,
  type System,
  TidemarkError,
} from '@tidemark/shared'
import type { Deliver, Reader, Subscription } from './deliver.ts'
import type { Log } from './log/log.ts'

const backoff = { firstMs: 200, maxMs: 10_000 }

/** What subscriptions need of their session. */
export interface SubscriptionsOptions {
  readonly system: System
  readonly limits: Limits
  readonly log: Log
  readonly deliver: Deliver
  mayRead(log: LogName): Promise<boolean>
  /** The newest `published` frame of a log. */
  published(log: LogName): string | undefined
  send(frame: GatewayFrame): void
  sendBytes(message: string | Uint8Array): void
  /** A subscription could not be opened and will be tried again. */
  onTrouble(error: unknown): void
}

/** A subscription that waits to be opened, is being opened, or is open. */
interface Subscribed {
  readonly log: LogName
  readonly cursor: FrameOf<'subscribe'>['cursor']
  /** Until its opening starts. */
  isNew: boolean
  /** Ends the wait between two tries. Made at the first trouble: most never have any, and there may be thousands. */
  closing: AbortController | undefined
  open: Subscription | undefined
}

/** All subscriptions of one link. */
export class Subscriptions {
  readonly #options: SubscriptionsOptions
  readonly #byLog = new Map<string, Subscribed>()
  /** The logs whose opening is under way, for a subscription that may have been given up since. */
  readonly #opening = new Set<string>()
  readonly #reader: Reader
  #unappliedBytes = 0

  constructor(options: SubscriptionsOptions) {
    this.#options = options
    this.#reader = {
      hasRoom: () => this.#unappliedBytes < options.limits.unappliedBytesMax,
      deliver: (bytes) => {
        this.#unappliedBytes += bytes.length
        options.sendBytes(bytes)
      },
      tell: (message) => options.sendBytes(message),
    }
  }

  /** Opens a subscription, in place of the one there is of this log. Throws `TOO_MANY`. */
  subscribe(frame: Omit<FrameOf<'subscribe'>, 'type'>): void {
    const log = { topic: frame.topic, scope: frame.scope }
    this.unsubscribe(log)
    this.checkCount(this.#byLog.size + 1)
    const { cursor } = frame
    this.#byLog.set(logKey(log), {
      log,
      cursor,
      isNew: true,
      closing: undefined,
      open: undefined,
    })
    this.#openNext()
  }

  /** Throws `TOO_MANY` where a link may not have so many. */
  checkCount(count: number): void {
    const max = this.#options.limits.subscriptionsMax
    if (count > max) throw new TidemarkError('TOO_MANY', { what: 'subscriptions', max })
  }

  unsubscribe(log: LogName): void {
    const subscribed = this.#byLog.get(logKey(log))
    this.#byLog.delete(logKey(log))
    subscribed?.closing?.abort()
    this.#free(subscribed?.open?.close() ?? 0)
  }

  /** The client has stored a log up to here. */
  applied({ topic, scope, upTo }: FrameOf<'applied'>): void {
    const subscribed = this.#byLog.get(logKey({ topic, scope }))
    this.#free(subscribed?.open?.applied(upTo) ?? 0)
  }

  /** Ends the subscriptions that may not be read any more. */
  async recheck(): Promise<void> {
    const { mayRead, send } = this.#options
    const check = async (subscribed: Subscribed): Promise<void> => {
      if ((await mayRead(subscribed.log)) || !this.#wants(subscribed)) return
      this.unsubscribe(subscribed.log)
      send({ type: 'revoked', ...subscribed.log })
    }
    await Promise.all([...this.#byLog.values()].map(check))
  }

  close(): void {
    for (const { closing, open } of this.#byLog.values()) {
      closing?.abort()
      open?.close()
    }
    this.#byLog.clear()
  }

  /** Is this subscription still what the client wants of its log? */
  #wants(subscribed: Subscribed): boolean {
    return this.#byLog.get(logKey(subscribed.log)) === subscribed
  }

  /** Starts openings: one of a log at a time, and not more than there may be subscriptions, whatever a client gives up and asks for again. */
  #openNext(): void {
    for (const [key, subscribed] of this.#byLog) {
      if (this.#opening.size >= this.#options.limits.subscriptionsMax) return
      if (!subscribed.isNew || this.#opening.has(key)) continue
      void this.#open(key, subscribed)
    }
  }

  async #open(key: string, subscribed: Subscribed): Promise<void> {
    subscribed.isNew = false
    this.#opening.add(key)
    await this.#tryUntilOpen(subscribed)
    this.#opening.delete(key)
    this.#openNext()
  }

  /** Tries until it is open or answered, as long as it is wanted: the log may be unavailable for a while. */
  async #tryUntilOpen(subscribed: Subscribed): Promise<void> {
    const { system, onTrouble } = this.#options
    for (let attempt = 0; this.#wants(subscribed); attempt += 1) {
      try {
        return await this.#tryOpen(subscribed)
      } catch (error) {
        onTrouble(error)
        const ms = backoffMs(backoff, attempt, () => system.random())
        if (!this.#wants(subscribed)) return
        subscribed.closing ??= new AbortController()
        await sleep(system, ms, subscribed.closing.signal)
      }
    }
  }

  async #tryOpen(subscribed: Subscribed): Promise<void> {
    const { log, deliver, mayRead, published, send, sendBytes } = this.#options
    const { log: name, cursor } = subscribed
    const allowed = await mayRead(name)
    const { epoch, position: head, isStartedOver } = await log.head(name)
    const start = 0 as Position
    const startOver = isStartedOver && cursor && cursor.epoch !== epoch
    const position = cursor && !startOver ? await log.locate(name, cursor) : start
    if (!this.#wants(subscribed)) return
    if (!allowed) {
      this.#byLog.delete(logKey(name))
      return send({ type: 'error', code: 'FORBIDDEN', details: name })
    }
    if (cursor && (position !== cursor.position || epoch !== cursor.epoch)) {
      this.#byLog.delete(logKey(name))
      return send({ type: 'reset', ...name, epoch, position, ...(startOver && { startOver }) })
    }
    send({ type: 'subscribed', ...name, epoch, head })
    const news = published(name)
    if (news !== undefined) sendBytes(news)
    subscribed.open = deliver.subscribe(name, epoch, position, head, this.#reader)
  }

  /** The client has room again: whichever subscription was waiting for it goes on. */
  #free(bytes: number): void {
    if (bytes === 0) return
    this.#unappliedBytes -= bytes
    for (const { open } of this.#byLog.values()) open?.wake()
  }
}
