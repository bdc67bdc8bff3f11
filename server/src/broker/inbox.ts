/**
 * Where an adapter that is pushed to keeps messages for a caller that pulls, and what it remembers of
 * those that are not settled. A message takes up its place until it is settled or its link is gone.
 */
import { type Cancel, Doorbell, type System, TidemarkError } from '@tidemark/shared'
import type { Received, Settlement } from './broker.ts'

/** A way that messages come by, and that they are settled on: a receiver's, or a session's. */
export interface Way {
  /** Can this message still be settled, as far as anybody knows? */
  holds(message: Received): boolean
  /** Throws what the broker says. */
  settle(message: Received, settlement: Settlement): Promise<void>
}

interface Place {
  readonly way: Way
  /** Tells the adapter that there is room for another message. */
  readonly free: () => void
}

/** Messages that came and were not taken, and messages that were taken and are not settled. */
export class Inbox {
  readonly #system: System
  readonly #bell = new Doorbell()
  #arrived: Received[] = []
  readonly #places = new Map<Received, Place>()
  #trouble: TidemarkError | undefined
  #isClosed = false

  constructor(system: System) {
    this.#system = system
  }

  /** Is nothing here that came by this way, taken or not? */
  isIdle(way: Way): boolean {
    for (const place of this.#places.values()) if (place.way === way) return false
    return true
  }

  /** Puts a message in. Resolves when its place is free again. */
  put(message: Received, way: Way): Promise<void> {
    if (this.#isClosed) return Promise.resolve()
    return new Promise((free) => {
      this.#places.set(message, { way, free })
      this.#arrived.push(message)
      this.#trouble = undefined
      this.#bell.ring()
    })
  }

  /** Says what keeps messages from coming. The next one that comes takes it back. */
  fail(error: TidemarkError): void {
    this.#trouble = error
    this.#bell.ring()
  }

  /** Waits for messages, as `Receiver.receive` does. */
  async receive(max: number, waitMs: number): Promise<readonly Received[]> {
    const over = new AbortController()
    if (waitMs <= 0) over.abort()
    const cancel: Cancel = this.#system.after(Math.max(0, waitMs), () => over.abort())
    try {
      for (;;) {
        if (this.#isClosed) return []
        const taken = this.#take(max)
        if (taken.length > 0) return taken
        const trouble = this.#trouble
        this.#trouble = undefined
        if (trouble) throw trouble
        if (over.signal.aborted) return []
        await this.#bell.wait(over.signal)
      }
    } finally {
      cancel()
    }
  }

  /** Settles a message on the way that it came by. Throws `LOCK_LOST` where that is gone. */
  async settle(message: Received, settlement: Settlement): Promise<void> {
    const place = this.#places.get(message)
    if (!place) throw new TidemarkError('LOCK_LOST')
    try {
      await place.way.settle(message, settlement)
    } finally {
      // Whatever the broker said: if it still holds the message, it will hand it out again.
      this.#places.delete(message)
      place.free()
    }
  }

  /** Messages whose lock went while they lay here are left to the broker, who will hand them out again. */
  #take(max: number): readonly Received[] {
    const taken: Received[] = []
    let count = 0
    for (const message of this.#arrived) {
      if (taken.length === max) break
      count += 1
      const place = this.#places.get(message)
      if (place?.way.holds(message)) taken.push(message)
      else {
        this.#places.delete(message)
        place?.free()
      }
    }
    this.#arrived.splice(0, count)
    return taken
  }

  /** Forgets everything that came by this way: it cannot be settled any more. */
  forget(way: Way): void {
    this.#arrived = this.#arrived.filter((message) => this.#places.get(message)?.way !== way)
    for (const [message, place] of this.#places) {
      if (place.way !== way) continue
      this.#places.delete(message)
      place.free()
    }
  }

  /** Ends every wait, and forgets everything. */
  close(): void {
    this.#isClosed = true
    this.#arrived = []
    for (const { free } of this.#places.values()) free()
    this.#places.clear()
    this.#bell.ring()
  }
}
