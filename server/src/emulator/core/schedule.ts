/** Messages that arrive later: kept until their time, and cancelled by their number until then. */
import type { Cancel, System } from '@tidemark/shared'
import type { Envelope } from './message.ts'

/** The scheduled messages of a queue or topic. */
export class Schedule {
  readonly #system: System
  readonly #arrive: (envelope: Envelope) => void
  readonly #waiting = new Map<number, Cancel>()
  #lastSequence = 0

  constructor(system: System, arrive: (envelope: Envelope) => void) {
    this.#system = system
    this.#arrive = arrive
  }

  /** Keeps a message until `at`, in ms since 1970; answers with its number. */
  add(envelope: Envelope, at: number): number {
    const sequence = ++this.#lastSequence
    // A timer fires at once beyond 2^31 ms, so a long wait is walked in steps.
    const step = (): void => {
      const ms = at - this.#system.now()
      if (ms <= 0) {
        this.#waiting.delete(sequence)
        return this.#arrive(envelope)
      }
      this.#waiting.set(sequence, this.#system.after(Math.min(ms, 2_147_483_647), step))
    }
    this.#waiting.set(
      sequence,
      this.#system.after(Math.min(Math.max(0, at - this.#system.now()), 2_147_483_647), step),
    )
    return sequence
  }

  /** Takes one back. False: it has arrived already, or there never was one. */
  cancel(sequence: number): boolean {
    const cancel = this.#waiting.get(sequence)
    cancel?.()
    return this.#waiting.delete(sequence)
  }

  close(): void {
    for (const cancel of this.#waiting.values()) cancel()
    this.#waiting.clear()
  }
}
