/** A disk that is full or lost for a while is not the end: what has to be on it is tried until it is. */
import { backoffMs, isTidemarkError, sleep, type System } from '@tidemark/shared'

/** What trying again needs. */
export interface PersistPorts {
  readonly system: System
  /** What the disk answered: an error, or nothing wrong. */
  readonly onStorage: (error: unknown) => void
}

const backoff = { firstMs: 250, maxMs: 10_000 }

/**
 * Runs `job` until the disk takes it. Answers nothing where `signal` aborted before. Whatever has a code is
 * told and tried again, a stored line that cannot be read too: to go on without it would be to lose it. Only
 * what has none, a programmer's error, is thrown on.
 */
export async function persist<Result>(
  { system, onStorage }: PersistPorts,
  signal: AbortSignal,
  job: () => Promise<Result>,
): Promise<Result | undefined> {
  for (let failures = 0; !signal.aborted; failures++) {
    try {
      const result = await job()
      onStorage(undefined)
      return result
    } catch (error) {
      if (!isTidemarkError(error)) throw error
      onStorage(error)
      await sleep(system, backoffMs(backoff, failures, system.random), signal)
    }
  }
  return undefined
}
