/** How long to wait before the next try. */

/** The bounds of a backoff, in milliseconds. */
export interface BackoffOptions {
  /** The ceiling of the first wait. */
  readonly firstMs: number
  /** The ceiling of every later wait. */
  readonly maxMs: number
}

/**
 * Full jitter: anything between nothing and the ceiling, which doubles with each attempt up to
 * `maxMs`. The jitter comes after the cap; before it, a long outage ends with every client knocking
 * on the same second.
 *
 * @param attempt 0 for the first wait.
 * @param retryAfterMs what the other side asked for; the wait is never shorter.
 */
export function backoffMs(
  options: BackoffOptions,
  attempt: number,
  random: () => number,
  retryAfterMs = 0,
): number {
  const ceiling = Math.min(options.maxMs, options.firstMs * 2 ** Math.min(attempt, 30))
  return retryAfterMs + Math.floor(random() * ceiling)
}
