/** A virtual System for tests: time passes only when the test says so. */
import type { System } from '@tidemark/shared'

/** A clock that a test moves. */
export interface Clock {
  readonly system: System
  /** Lets everything that can happen now happen. */
  settle(): Promise<void>
  /** Lets `ms` milliseconds pass, with everything that happens in them. */
  pass(ms: number): Promise<void>
  /** Timers that are set. At rest there should be none that nobody needs. */
  readonly timers: number
  /** Sets the wall clock forward or back. */
  jump(ms: number): void
}

/** Builds a clock that starts at the same moment every time. */
export function createClock(): Clock {
  const timers = new Map<number, { readonly at: number; readonly run: () => void }>()
  let [time, jumped, made, seed] = [0, 0, 0, 1]
  const settle = async (): Promise<void> => {
    for (let round = 0; round < 25; round += 1)
      await new Promise((resolve) => setImmediate(resolve))
  }
  const due = (until: number) =>
    [...timers].filter(([, { at }]) => at <= until).sort(([, a], [, b]) => a.at - b.at)[0]
  return {
    system: {
      now: () => 1_790_000_000_000 + time + jumped,
      mono: () => time,
      after(ms, run) {
        const id = (made += 1)
        timers.set(id, { at: time + Math.max(0, ms), run })
        return () => void timers.delete(id)
      },
      breathe: () => new Promise((resolve) => void setImmediate(resolve)),
      random: () => (seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647,
      uuid: () => `00000000-0000-7000-8000-${String((made += 1)).padStart(12, '0')}`,
    },
    settle,
    async pass(ms) {
      const until = time + ms
      await settle()
      for (let next = due(until); next; next = due(until)) {
        const [id, { at, run }] = next
        timers.delete(id)
        time = Math.max(time, at)
        run()
        await settle()
      }
      time = until
    },
    get timers() {
      return timers.size
    },
    jump(ms) {
      jumped += ms
    },
  }
}
