/** Stored messages in the order of their numbers: taken from the front, and put back where they were. */
import type { Stored } from './message.ts'

/**
 * A line of waiting messages. New ones join at the end. One that comes back goes to its old place,
 * which is before everything that was never taken, so two simple lists are enough.
 */
export class Line {
  /** Ordered by number; all of them come before `#fresh`. */
  readonly #returned: Stored[] = []
  #fresh: Stored[] = []
  #next = 0

  /** Adds a message with a number higher than any before. */
  join(message: Stored): void {
    this.#fresh.push(message)
  }

  /** Puts a message back to its place. */
  putBack(message: Stored): void {
    let low = 0
    let high = this.#returned.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#returned[middle]?.sequence ?? 0) < message.sequence) low = middle + 1
      else high = middle
    }
    this.#returned.splice(low, 0, message)
  }

  /** The first message that is still ready, without taking it. */
  first(): Stored | undefined {
    for (;;) {
      const message = this.#returned[0] ?? this.#fresh[this.#next]
      if (message === undefined || message.state === 'ready') return message
      this.#drop()
    }
  }

  /** Takes the first message that is still ready. */
  take(): Stored | undefined {
    const message = this.first()
    if (message) this.#drop()
    return message
  }

  #drop(): void {
    if (this.#returned.length > 0) {
      this.#returned.shift()
      return
    }
    this.#next += 1
    if (this.#next > 1_024 && this.#next * 2 > this.#fresh.length) {
      this.#fresh = this.#fresh.slice(this.#next)
      this.#next = 0
    }
  }
}
