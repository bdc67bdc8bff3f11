/** Runs something when its time has come, for times that are many and mostly far. */
import type { Cancel, System } from '@tidemark/shared'

/** The least time between two sweeps, in ms: each looks at everything. */
const pauseMs = 250
/** Timers of more than this fire at once. */
const timerMsMax = 2_147_483_647

/** One timer for the earliest of many points in time. */
export class Sweep {
  readonly #system: System
  readonly #run: (now: number) => number
  #at = Infinity
  #timer: Cancel | undefined

  /** @param run does what is due at `now`, and answers with the next time that something will be. */
  constructor(system: System, run: (now: number) => number) {
    this.#system = system
    this.#run = run
  }

  /** Something is due at this time, in ms since 1970. */
  by(time: number): void {
    if (time >= this.#at) return
    this.#timer?.()
    this.#at = time
    const ms = Math.min(Math.max(0, time - this.#system.now()), timerMsMax)
    this.#timer = this.#system.after(ms, () => this.#sweep())
  }

  /** Stops the timer. */
  close(): void {
    this.#timer?.()
    this.#timer = undefined
    this.#at = Infinity
  }

  #sweep(): void {
    this.close()
    const now = this.#system.now()
    const next = this.#run(now)
    if (next < Infinity) this.by(Math.max(next, now + pauseMs))
  }
}
