/** Callbacks in turn: each call starts with another one, so that competing receivers share. */
import type { Cancel } from '@tidemark/shared'

/** A set of callbacks. */
export class Listeners {
  readonly #all = new Set<() => void>()

  add(run: () => void): Cancel {
    // Each registration is its own function, so that the same callback may stand here twice.
    const own = () => run()
    this.#all.add(own)
    return () => void this.#all.delete(own)
  }

  call(): void {
    const [first] = this.#all
    if (!first) return
    const turn = [...this.#all]
    this.#all.delete(first)
    this.#all.add(first)
    for (const run of turn) if (this.#all.has(run)) run()
  }
}
