/**
 * One tab of an origin talks to the gateway: the one that holds the lock. Correctness never rests on it,
 * only thrift. A tab that the browser has frozen keeps its lock, so those that wait ask the leader for a
 * sign of life; where none comes, one that somebody looks at takes the lock away.
 */
import { backoffMs, type Locks, sleep, type System } from '@tidemark/shared'
import type { StatusCell } from './status.ts'

/** What leading needs. */
export interface LeaderPorts {
  readonly locks: Locks
  /** One for each database. */
  readonly lockName: string
  readonly system: System
  readonly status: StatusCell
  /** Asks the leader for a sign of life, and answers whether it came in time. */
  readonly askLeader: (signal: AbortSignal) => Promise<boolean>
  /** Does somebody look at this tab? */
  readonly isSeen: () => boolean
  /** What the leader does, until its signal aborts. `lost` is why, where another tab has taken the lead. */
  readonly lead: (signal: AbortSignal, lost: AbortSignal) => Promise<void>
  readonly onError: (error: unknown) => void
}

/** After a term that did not end as it should: a disk that stays broken is not asked every second for ever. */
const again = { firstMs: 1_000, maxMs: 60_000 }
/** Between two questions to the leader. */
const askEveryMs = 1_000
/** Questions without an answer before the lock is taken: with their waits about 4 s. */
const silencesMax = 2
/** Between two thefts by one tab, so that two tabs that both stumble do not rob each other in turn. */
const stealEveryMs = 30_000

/** Waits to be the leader, leads, and waits again, until `signal` aborts. */
export async function runLeader(ports: LeaderPorts, signal: AbortSignal): Promise<void> {
  const { system, status, onError } = ports
  let stolenAt = -stealEveryMs
  let failures = 0
  while (!signal.aborted) {
    try {
      const isSilent = await waitAndLead(ports, stolenAt + stealEveryMs, signal)
      if (isSilent) {
        stolenAt = system.mono()
        await hold(ports, { steal: true }, signal)
      }
      failures = 0
    } catch (error) {
      failures += 1
      if (!signal.aborted) onError(error)
    }
    status.patch({ leader: false })
    await sleep(
      system,
      failures ? backoffMs(again, failures - 1, system.random) : again.firstMs,
      signal,
    )
  }
}

/** Waits for the lock and leads. Answers `true`, without having led, where the leader has fallen silent. */
async function waitAndLead(
  ports: LeaderPorts,
  stealFromMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  const waited = new AbortController()
  const ended = AbortSignal.any([signal, waited.signal])
  let hasLed = false
  const watching = watchLeader(ports, stealFromMs, ended).then((isSilent) => {
    waited.abort()
    return isSilent
  })
  await hold(ports, { signal: ended }, signal, () => {
    hasLed = true
    waited.abort()
  })
  waited.abort()
  return (await watching) && !hasLed && !signal.aborted
}

async function hold(
  { locks, lockName, status, lead }: LeaderPorts,
  options: Parameters<Locks['request']>[1],
  signal: AbortSignal,
  onHeld?: () => void,
): Promise<void> {
  await locks.request(lockName, options, async (lost) => {
    onHeld?.()
    status.patch({ leader: !signal.aborted })
    await lead(AbortSignal.any([signal, lost]), lost)
  })
}

/** Resolves to `true` when the leader is silent and somebody looks at this tab; to `false` when `signal` aborts. */
async function watchLeader(
  { askLeader, isSeen, system }: LeaderPorts,
  stealFromMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  let silences = 0
  while (silences < silencesMax) {
    await sleep(system, askEveryMs, signal)
    if (signal.aborted) return false
    // A hidden tab asks for nothing: its timers are late, and it has no reason to hurry.
    if (!isSeen() || system.mono() < stealFromMs || (await askLeader(signal))) silences = 0
    else silences += 1
  }
  return !signal.aborted
}
