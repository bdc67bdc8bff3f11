/**
 * From submits to the log, for all links together: one loop, one transaction a turn, and the answers
 * after its commit. While the log cannot take anything, nothing is answered but `later`.
 */
import { Doorbell, isTidemarkError, type System } from '@tidemark/shared'
import { type Lane, type Size, sizeOf } from './lane.ts'
import type { Attempt, Log, Outcome } from './log/log.ts'
import type { Logger } from './logger.ts'

/** What one transaction takes, so that nobody waits behind a very long one: events, and UTF-16 code units of their lines. */
const turnMax: Size = { events: 4_000, length: 8_388_608 }
/** The least that a client waits after `later`, and how much more by chance, in milliseconds. */
const retryAfterMs = 500
const retryJitterMs = 1_000

/** The loop that appends for all links. */
export interface Accept {
  /** A lane has something ready. */
  ready(lane: Lane): void
  /** How long a client is asked to wait, with jitter so that not all come back at once. */
  retryAfterMs(): number
  /** Is the log taking what it is given, as far as the last turn could tell? */
  readonly healthy: boolean
  /** Finishes the turn at hand, and takes no more. */
  close(): Promise<void>
}

/** Builds accept, and starts its loop. */
export function createAccept(options: {
  readonly log: Log
  readonly system: System
  readonly logger: Logger
}): Accept {
  const { log, system, logger } = options
  const bell = new Doorbell()
  const stop = new AbortController()
  let waiting = new Set<Lane>()
  let healthy = true
  const wait = (): number => retryAfterMs + Math.floor(system.random() * retryJitterMs)

  /** Appends chains together; where they fail for no reason that passes, each alone, so that one stops only itself. */
  async function append(chains: readonly (readonly Attempt[])[]): Promise<Answers> {
    try {
      const outcomes = await log.append(chains)
      if (!healthy) logger.info({ event: 'log-available' }, 'the log takes events again')
      healthy = true
      return outcomes
    } catch (error) {
      if (isLogTrouble(error)) {
        if (healthy) logger.error({ event: 'log-unavailable', err: error }, 'the log takes nothing')
        healthy = false
        return chains.map(() => undefined)
      }
      if (chains.length > 1) return await appendEach(chains)
      logger.error({ event: 'append-failed', err: error }, 'an append failed for an unknown reason')
      return [undefined]
    }
  }

  async function appendEach(chains: readonly (readonly Attempt[])[]): Promise<Answers> {
    const answers: (readonly Outcome[] | undefined)[] = []
    for (const chain of chains) answers.push((await append([chain]))[0])
    return answers
  }

  async function turn(): Promise<void> {
    const lanes: Lane[] = []
    const chains: (readonly Attempt[])[] = []
    let { events, length } = turnMax
    for (const lane of waiting) {
      const chain = lane.take({ events, length })
      if (chain.length === 0) continue
      lanes.push(lane)
      chains.push(chain)
      const size = sizeOf(chain)
      events -= size.events
      length -= size.length
    }
    // Who had nothing in this turn comes first in the next.
    for (const lane of lanes) waiting.delete(lane)
    waiting = new Set([...waiting, ...lanes].filter(({ ready }) => ready))
    if (waiting.size > 0) bell.ring()
    if (chains.length === 0) return
    const answers = await append(chains)
    for (const [at, lane] of lanes.entries()) {
      const outcomes = answers[at]
      if (outcomes) lane.settle(chains[at] ?? [], outcomes)
      else lane.later(wait())
    }
  }

  async function run(): Promise<void> {
    while (!stop.signal.aborted) {
      await bell.wait(stop.signal)
      // Everything that the sockets have for us in this round of the event loop goes into one commit.
      await system.breathe()
      if (!stop.signal.aborted) await turn()
    }
  }

  const done = run()
  return {
    ready(lane) {
      waiting.add(lane)
      bell.ring()
    },
    retryAfterMs: wait,
    get healthy() {
      return healthy
    },
    async close() {
      stop.abort()
      await done
    },
  }
}

/** For each chain what became of it; nothing where it could not be stored. */
type Answers = readonly (readonly Outcome[] | undefined)[]

const isLogTrouble = (error: unknown): boolean =>
  isTidemarkError(error, 'LOG_UNAVAILABLE') || isTidemarkError(error, 'LOG_CORRUPT')
