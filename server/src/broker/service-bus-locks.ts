/**
 * Keeps the locks of messages that are not settled yet. The SDK would do it with a timer and several dates
 * written out for each message, which a consumer pays for with a sixth of its time though most messages are
 * settled long before; and it tells messages apart by their ids, which two of them may share.
 */
import type { ServiceBusReceivedMessage, ServiceBusReceiver } from '@azure/service-bus'
import type { Cancel, System } from '@tidemark/shared'

/** When a lock is to be renewed next, and until when it is at all, on the monotonic clock. */
interface Held {
  readonly dueAt: number
  readonly until: number
}

/** The soonest that a lock is renewed after it was given, in ms: what has almost run out is not asked for all the time. */
const renewMsMin = 50

/** The locks of one receiver. */
export class Locks {
  readonly #receiver: ServiceBusReceiver
  readonly #system: System
  readonly #holdMsMax: number
  /** Locks of one subscription last equally long: those that were given first are due first. */
  readonly #held = new Map<ServiceBusReceivedMessage, Held>()
  readonly #renewing = new Set<ServiceBusReceivedMessage>()
  #cancel: Cancel | undefined
  #isClosed = false

  constructor(receiver: ServiceBusReceiver, system: System, holdMsMax: number) {
    this.#receiver = receiver
    this.#system = system
    this.#holdMsMax = holdMsMax
  }

  /** Renews the lock of this message from now on, for `holdMsMax` at most. */
  hold(message: ServiceBusReceivedMessage): void {
    if (this.#isClosed) return
    this.#schedule(message, this.#system.mono() + this.#holdMsMax)
    this.#wait()
  }

  /** The message is settled, or is not ours to settle any more. */
  letGo(message: ServiceBusReceivedMessage): void {
    this.#held.delete(message)
    this.#renewing.delete(message)
  }

  /** Lets go of everything. */
  close(): void {
    this.#isClosed = true
    this.#held.clear()
    this.#renewing.clear()
    this.#cancel?.()
  }

  /** A lock is renewed when half of its time is over. */
  #schedule(message: ServiceBusReceivedMessage, until: number): void {
    const { lockedUntilUtc } = message
    if (!lockedUntilUtc) return
    const leftMs = lockedUntilUtc.getTime() - this.#system.now()
    const dueAt = this.#system.mono() + Math.max(renewMsMin, leftMs / 2)
    if (dueAt < until) this.#held.set(message, { dueAt, until })
  }

  #wait(): void {
    if (this.#cancel) return
    for (const { dueAt } of this.#held.values()) {
      this.#cancel = this.#system.after(dueAt - this.#system.mono(), () => this.#renewDue())
      return
    }
  }

  #renewDue(): void {
    this.#cancel = undefined
    const now = this.#system.mono()
    for (const [message, { dueAt, until }] of this.#held) {
      if (dueAt > now) break
      this.#held.delete(message)
      void this.#renew(message, until)
    }
    this.#wait()
  }

  async #renew(message: ServiceBusReceivedMessage, until: number): Promise<void> {
    this.#renewing.add(message)
    try {
      await this.#receiver.renewMessageLock(message)
      if (this.#renewing.has(message)) this.#schedule(message, until)
      this.#wait()
    } catch {
      // A lock that could not be renewed shows when the message is settled.
    } finally {
      this.#renewing.delete(message)
    }
  }
}
