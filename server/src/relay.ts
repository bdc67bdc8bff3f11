/**
 * Log to broker. Its cursor is saved after the broker has confirmed, so a crash repeats and never skips.
 * One relay works at a log at a time, by a fenced lease, and has one batch under way, so no event of a
 * stream passes an earlier one. What the broker can never take parks its stream, and the others go on.
 */
import { logKey, type LogName, type System, type Topic } from '@tidemark/shared'
import type { Broker } from './broker/broker.ts'
import type { Log } from './log/log.ts'
import type { Logger } from './logger.ts'
import { LogRelay, type Published } from './relay-log.ts'

/** Logs are looked for again after this long, in milliseconds. */
const lookMs = 10_000

/** How the relay of all logs is. */
export interface RelayStatus {
  readonly state: 'ok' | 'retrying'
  /** The code of the error that it waits out. */
  readonly code?: string | undefined
  /** Streams that wait for a redrive. */
  readonly parked: number
}

/** The relays of all logs. */
export interface Relay {
  status(): RelayStatus
  /** Finishes the batches under way, saves the cursors, and gives the leases back. */
  close(): Promise<void>
}

/** Builds the relay of all logs of these topics, and starts its loops. */
export function createRelay(options: {
  readonly log: Log
  readonly broker: Broker
  readonly topics: readonly Topic[]
  readonly system: System
  readonly logger: Logger
  readonly onPublished: (published: Published) => void
}): Relay {
  const { log, system, logger } = options
  const holder = system.uuid()
  const topics = new Set(options.topics.map(({ name }) => name))
  const relays = new Map<string, LogRelay>()
  const add = (names: readonly LogName[]): void => {
    for (const name of names) {
      const key = logKey(name)
      const known = relays.get(key)
      if (known) known.refresh()
      else if (topics.has(name.topic)) relays.set(key, new LogRelay({ ...options, name, holder }))
    }
  }
  const stopHearing = log.onAppend(add)

  let stopLooking = (): void => {}
  let closed = false
  /** Finds the logs that were there before us, and those whose doorbell was lost. */
  const look = (): void => {
    const failed = (error: unknown): void => {
      logger.warn({ event: 'relay-failed', err: error }, 'the logs could not be listed')
    }
    log.logs().then((names) => closed || add(names), failed)
    stopLooking = system.after(lookMs, look)
  }
  look()

  return {
    status() {
      const codes = [...relays.values()].flatMap(({ trouble }) => trouble ?? [])
      const parked = [...relays.values()].reduce((sum, relay) => sum + relay.parkedCount, 0)
      const [code] = codes
      return { state: code === undefined ? 'ok' : 'retrying', code, parked }
    },
    async close() {
      closed = true
      stopHearing()
      stopLooking()
      await Promise.all([...relays.values()].map((relay) => relay.close()))
    },
  }
}
