/** A virtual clock: time passes when a test says so, and randomness repeats. */
import { type Cancel, system as realSystem, type System } from '@tidemark/shared'
import { deriveId } from './derive.ts'

interface Timer {
  readonly at: number
  readonly run: () => void
}

/** The wall clock at the start of every test. */
const start = Date.UTC(2026, 0, 1)

/** A `System` for tests. */
export class TestClock implements System {
  #now = start
  #ids = 0
  #seed = 1
  readonly #timers = new Set<Timer>()

  now(): number {
    return this.#now
  }

  mono(): number {
    return this.#now - start
  }

  after(ms: number, run: () => void): Cancel {
    const timer = { at: this.#now + Math.max(0, ms), run }
    this.#timers.add(timer)
    return () => void this.#timers.delete(timer)
  }

  breathe(): Promise<void> {
    return realSystem.breathe()
  }

  /** Handed on by itself here and there, so it must not need its object. */
  readonly random = (): number => {
    this.#seed = (Math.imul(this.#seed, 1_664_525) + 1_013_904_223) >>> 0
    return this.#seed / 2 ** 32
  }

  uuid(): string {
    this.#ids += 1
    return deriveId('test', this.#ids)
  }

  /** Lets `ms` milliseconds pass, with every timer in them at its time. */
  async pass(ms: number): Promise<void> {
    const end = this.#now + ms
    await this.#settle()
    for (let next = this.#first(end); next; next = this.#first(end)) {
      this.#timers.delete(next)
      this.#now = Math.max(this.#now, next.at)
      next.run()
      await this.#settle()
    }
    this.#now = end
  }

  /** Lets time pass until `isTrue`, a timer at a time. Throws where it is not true within `msMax`. */
  async until(isTrue: () => boolean | Promise<boolean>, msMax = 3_600_000): Promise<void> {
    const end = this.#now + msMax
    await this.#settle()
    while (!(await isTrue())) {
      const next = this.#first(end)
      if (!next) throw new Error(`not within ${msMax} ms`)
      await this.pass(next.at - this.#now)
    }
  }

  /** Lets time pass until `promise` settles. */
  async run<T>(promise: Promise<T>): Promise<T> {
    let isOver = false
    const end = (): void => void (isOver = true)
    promise.then(end, end)
    await this.until(() => isOver)
    return promise
  }

  #first(end: number): Timer | undefined {
    let first: Timer | undefined
    for (const timer of this.#timers) {
      if (timer.at <= end && (!first || timer.at < first.at)) first = timer
    }
    return first
  }

  /** Every promise that can settle without time passing has settled after a few macrotasks. */
  async #settle(): Promise<void> {
    for (let round = 0; round < 5; round += 1) await realSystem.breathe()
  }
}
