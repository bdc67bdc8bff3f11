/** Who holds which message, and until when. */
import type { Cancel, System } from '@tidemark/shared'
import type { Lock, Stored } from './message.ts'

/**
 * The locks of a mailbox, in the order in which they end: all are of one length, and a renewed one goes
 * to the end. One timer watches the first.
 */
export class Locks {
  readonly #system: System
  readonly #ms: number
  readonly #ended: ((messages: readonly Stored[]) => void) | undefined
  readonly #held = new Map<string, Stored>()
  #timer: Cancel | undefined

  /** @param ended takes back messages whose lock ended; left out, locks end with something else. */
  constructor(system: System, ms: number, ended?: (messages: readonly Stored[]) => void) {
    this.#system = system
    this.#ms = ms
    this.#ended = ended
  }

  get size(): number {
    return this.#held.size
  }

  /** Locks a message. `until` is what its holder is told, in ms since 1970. */
  grant(message: Stored, until: number): void {
    const lock: Lock = { token: this.#system.uuid(), until, endsAt: this.#system.mono() + this.#ms }
    message.state = 'locked'
    message.lock = lock
    this.#held.set(lock.token, message)
    this.#watch()
  }

  /** Ends a lock; answers with its message. Undefined: it has ended already. */
  release(token: string): Stored | undefined {
    const message = this.#held.get(token)
    if (!message) return undefined
    this.#held.delete(token)
    message.lock = undefined
    return message
  }

  /** Makes a lock last from now on; answers with its new end. Undefined: it has ended already. */
  renew(token: string): number | undefined {
    const message = this.#held.get(token)
    if (!message?.lock || !this.#ended) return undefined
    this.#held.delete(token)
    this.#held.set(token, message)
    message.lock.until = this.#system.now() + this.#ms
    message.lock.endsAt = this.#system.mono() + this.#ms
    return message.lock.until
  }

  /** The messages that are locked, with their tokens. */
  entries(): Iterable<readonly [string, Stored]> {
    return this.#held
  }

  /** Ends every lock now: a fault. */
  expireAll(): void {
    for (const message of this.#held.values()) if (message.lock) message.lock.endsAt = -Infinity
    this.#expire()
  }

  /** Stops the timer. */
  close(): void {
    this.#timer?.()
    this.#timer = undefined
  }

  #watch(): void {
    if (this.#timer || !this.#ended) return
    const [first] = this.#held.values()
    if (!first?.lock) return
    const ms = Math.max(0, first.lock.endsAt - this.#system.mono())
    this.#timer = this.#system.after(ms, () => this.#expire())
  }

  #expire(): void {
    if (!this.#ended) return
    this.close()
    const now = this.#system.mono()
    const ended: Stored[] = []
    for (const [token, message] of this.#held) {
      if (!message.lock || message.lock.endsAt > now) break
      this.release(token)
      ended.push(message)
    }
    this.#watch()
    if (ended.length > 0) this.#ended(ended)
  }
}
