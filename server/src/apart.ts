/**
 * Keeps unlike things out of one tick. rhea, under both the Service Bus SDK and the emulator, merges
 * the outcomes of adjacent deliveries that are set in one tick into the first of them: a message that
 * was to be dead-lettered is completed, and lost.
 */
import type { System } from '@tidemark/shared'

/** Runs things of one kind together, and things of different kinds in different ticks, in order. */
export class Apart {
  readonly #system: System
  /** The kind that this tick belongs to. */
  #kind: string | undefined
  #waiting: { readonly kind: string; readonly run: () => void }[] = []

  constructor(system: System) {
    this.#system = system
  }

  /** Runs it now where the tick is free or of the same kind, else as soon as it is. */
  run(kind: string, run: () => void): void {
    if (this.#kind === kind && this.#waiting.length === 0) return run()
    if (this.#kind !== undefined) return void this.#waiting.push({ kind, run })
    this.#kind = kind
    run()
    void this.#work()
  }

  async #work(): Promise<void> {
    while (this.#kind !== undefined) {
      await this.#system.breathe()
      this.#kind = this.#waiting[0]?.kind
      while (this.#waiting.length > 0 && this.#waiting[0]?.kind === this.#kind) {
        this.#waiting.shift()?.run()
      }
    }
  }
}
