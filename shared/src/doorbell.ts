/** What wakes the loop of a hop. */
import type { System } from './system.ts'

/**
 * A level-triggered wake-up. A ring that comes between "is there work?" and "wait" is remembered, so
 * it cannot be lost; many rings before a wait are one.
 */
export class Doorbell {
  #rung = false
  #wake: (() => void) | undefined

  /** Wakes the waiter, or lets the next `wait` return at once. */
  ring(): void {
    this.#rung = true
    this.#wake?.()
  }

  /** Resolves at the next ring, or when `signal` aborts. One waiter at a time: a bell belongs to one loop. */
  async wait(signal?: AbortSignal): Promise<void> {
    if (!this.#rung && !signal?.aborted) {
      await new Promise<void>((resolve) => {
        // A signal may outlive many waits: it is not to hold on to each of them.
        const wake = (): void => {
          signal?.removeEventListener('abort', wake)
          resolve()
        }
        this.#wake = wake
        signal?.addEventListener('abort', wake)
      })
      this.#wake = undefined
    }
    this.#rung = false
  }

  /** As `wait`, for no longer than `ms` milliseconds. */
  async waitAtMost(system: Pick<System, 'after'>, ms: number, signal?: AbortSignal): Promise<void> {
    const cancel = system.after(ms, () => this.ring())
    await this.wait(signal)
    cancel()
  }
}
