/** A loop at its own pace: it works when its bell rings or when it asked to be called, and backs off while it fails. */
import { backoffMs, type BackoffOptions, type Doorbell, sleep, type System } from '@tidemark/shared'

/** What a loop does, and how often. */
export interface LoopOptions {
  readonly system: System
  readonly bell: Doorbell
  readonly stop: AbortSignal
  /** The longest time between two calls, in ms: what calls for work may have happened in another process. */
  readonly pollMs: number
  readonly backoff: BackoffOptions
  /** Returned: when it wants to be called again, in ms, or nothing where it waits for the bell. */
  work(): Promise<number | undefined>
  onError(error: unknown, waitMs: number): void
}

/** Runs until `stop` aborts; resolves when the call under way has ended. */
export async function runLoop(options: LoopOptions): Promise<void> {
  const { system, bell, stop, pollMs, backoff } = options
  let failures = 0
  while (!stop.aborted) {
    try {
      const waitMs = Math.min(pollMs, (await options.work()) ?? pollMs)
      failures = 0
      // A loop with much to do still lets sockets and timers have their turn.
      if (waitMs > 0) await waitForBell(system, bell, waitMs, stop)
      else await system.breathe()
    } catch (error) {
      const waitMs = backoffMs(backoff, failures, system.random)
      failures += 1
      options.onError(error, waitMs)
      await sleep(system, waitMs, stop)
    }
  }
}

/** Waits for the bell, for `ms` milliseconds at most. */
export async function waitForBell(
  system: System,
  bell: Doorbell,
  ms: number,
  stop: AbortSignal,
): Promise<void> {
  const over = new AbortController()
  const end = (): void => over.abort()
  const cancel = system.after(ms, end)
  stop.addEventListener('abort', end, { once: true })
  if (stop.aborted) end()
  await bell.wait(over.signal)
  cancel()
  stop.removeEventListener('abort', end)
}

/** What a look for work came to: something to do, and when to look again, in ms from now. */
export interface Claimed {
  readonly advance?: (() => Promise<void>) | undefined
  readonly waitMs?: number | undefined
}

/**
 * Work for a loop that claims one thing after another and does up to `max` of them side by side: one
 * that hangs holds up no other.
 */
export function sideBySide(options: {
  readonly max: number
  readonly bell: Doorbell
  claim(): Promise<Claimed>
  onError(error: unknown): void
}): { work(): Promise<number | undefined>; close(): Promise<void> } {
  const { max, bell, claim, onError } = options
  const moving = new Set<Promise<void>>()
  return {
    async work() {
      if (moving.size >= max) return undefined
      const { advance, waitMs } = await claim()
      if (!advance) return waitMs
      const moved: Promise<void> = advance()
        .catch(onError)
        .finally(() => {
          moving.delete(moved)
          bell.ring()
        })
      moving.add(moved)
      return 0
    },
    async close() {
      await Promise.all(moving)
    },
  }
}
