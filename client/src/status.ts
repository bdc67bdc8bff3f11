/** What an app can show of the synchronisation: one snapshot that changes as a whole. */
import type { ErrorCode, Position } from '@tidemark/shared'
import { type Cell, createCell } from './live.ts'
import type { Lost } from './witness.ts'

/**
 * How the link to the gateway is. Only `online` means that it has been welcomed; every other state heals
 * by itself but for those that need somebody: `needs-auth` a fresh token, `wrong-user` another one,
 * `client-too-old` a reload, `gateway-too-old` a deployment, `paused` a call of `resume`.
 */
export type LinkState =
  | 'inert'
  | 'offline'
  | 'connecting'
  | 'online'
  | 'needs-auth'
  | 'wrong-user'
  | 'client-too-old'
  | 'gateway-too-old'
  | 'paused'
  | 'closed'

/** How a log is. */
export interface LogStatus {
  /** The newest position stored on this device. */
  readonly position: Position
  /** Has what the gateway had when the link last subscribed. */
  readonly caughtUp: boolean
  /** The gateway does not let this user read or write here; what is pending waits. */
  readonly forbidden: boolean
}

/** How the client is doing. The same object until something changes. */
export interface Status {
  readonly link: LinkState
  /** Why the last link ended, where it was not asked to. */
  readonly linkError?: ErrorCode | undefined
  /** This tab is the one that talks to the gateway. */
  readonly leader: boolean
  /** Events appended on this device that are not settled yet. */
  readonly pending: number
  /** When the oldest of them was appended, in ms since 1970. */
  readonly oldestPendingAt?: number | undefined
  /** Events that were refused and not discarded yet. */
  readonly refused: number
  /** `ok`, or what the disk last answered with. */
  readonly storage: 'opening' | 'ok' | ErrorCode
  /** Whether the browser promised not to throw the database away; asked for with the first unsynced event. */
  readonly persisted?: boolean | undefined
  /** What was on this device, unsynced, when a browser or a person deleted its database. Until `acknowledgeLoss`. */
  readonly lost?: Lost | undefined
  /** The direction that made no progress for too long; the client has reconnected and goes on trying. */
  readonly stalled?: 'upload' | 'download' | undefined
  /** By topic. */
  readonly logs: Readonly<Record<string, LogStatus>>
  /** Models with a fold that threw; they skip the entries that it threw on. */
  readonly degraded: readonly string[]
}

/** The status, and the handle that changes parts of it. */
export interface StatusCell extends Cell<Status> {
  patch(part: Partial<Status>): void
  patchLog(topic: string, part: Partial<LogStatus>): void
  /** A log may not be read, or not be written to: either is `forbidden`, and each ends by itself. */
  forbid(topic: string, way: 'read' | 'write', isForbidden: boolean): void
  /** A fold of this model threw. */
  degrade(model: string): void
}

const noLog: LogStatus = { position: 0 as Position, caughtUp: false, forbidden: false }

const differs = <T extends object>(value: T, part: Partial<T>): boolean =>
  (Object.keys(part) as (keyof T)[]).some((key) => !Object.is(value[key], part[key]))

/** Makes the status of a client that has not opened yet. */
export function createStatus(onError: (error: unknown) => void): StatusCell {
  const cell = createCell<Status>(
    {
      link: 'inert',
      leader: false,
      pending: 0,
      refused: 0,
      storage: 'opening',
      logs: {},
      degraded: [],
    },
    onError,
  )
  const patch = (part: Partial<Status>): void => {
    const value = cell.getSnapshot()
    if (differs(value, part)) cell.set({ ...value, ...part })
  }
  const patchLog = (topic: string, part: Partial<LogStatus>): void => {
    const { logs } = cell.getSnapshot()
    const log = logs[topic] ?? noLog
    if (logs[topic] && !differs(log, part)) return
    patch({ logs: { ...logs, [topic]: { ...log, ...part } } })
  }
  const forbidden = { read: new Set<string>(), write: new Set<string>() }
  return {
    ...cell,
    patch,
    patchLog,
    forbid(topic, way, isForbidden) {
      if (isForbidden) forbidden[way].add(topic)
      else forbidden[way].delete(topic)
      patchLog(topic, { forbidden: forbidden.read.has(topic) || forbidden.write.has(topic) })
    },
    degrade(model) {
      const { degraded } = cell.getSnapshot()
      if (!degraded.includes(model)) patch({ degraded: [...degraded, model] })
    },
  }
}
