/** One tab of an origin talks to the gateway: the one that holds the lock. Correctness never rests on it, only thrift. */
import { type Locks, sleep, type System } from '@tidemark/shared'
import type { StatusCell } from './status.ts'

/** What leading needs. */
export interface LeaderPorts {
  readonly locks: Locks
  /** One for each database. */
  readonly lockName: string
  readonly system: System
  readonly status: StatusCell
  /** What the leader does, until its signal aborts. */
  readonly lead: (signal: AbortSignal) => Promise<void>
  readonly onError: (error: unknown) => void
}

/** After a term that did not end as it should. */
const againMs = 1_000

/** Waits to be the leader, leads, and waits again, until `signal` aborts. */
export async function runLeader(ports: LeaderPorts, signal: AbortSignal): Promise<void> {
  const { locks, lockName, system, status, lead, onError } = ports
  while (!signal.aborted) {
    try {
      await locks.request(lockName, { signal }, async (lost) => {
        status.patch({ leader: true })
        await lead(AbortSignal.any([signal, lost]))
      })
    } catch (error) {
      if (!signal.aborted) onError(error)
    }
    status.patch({ leader: false })
    await sleep(system, againMs, signal)
  }
}
