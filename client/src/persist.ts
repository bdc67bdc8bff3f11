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

/** Does a job, or leaves it where the database is not there any more: no other try will find it. */
export const unlessGone = (job: () => Promise<void>) => async (): Promise<void> => {
  try {
    await job()
  } catch (error) {
    if (!isTidemarkError(error, 'STORE_DELETED')) throw error
  }
}

/** Brings memory up to the disk, whatever it takes. Leaves it as it is where the database is gone. */
export const catchUp = async (
  ports: PersistPorts & { readonly follow: { readonly catchUp: () => Promise<void> } },
  signal: AbortSignal,
): Promise<void> => persist(ports, signal, unlessGone(ports.follow.catchUp))
