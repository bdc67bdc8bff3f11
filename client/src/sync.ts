/** The life of a tab on its database: reads it, follows it, and, while it leads, keeps the link. */
import {
  type Broadcast,
  type EventId,
  isTidemarkError,
  type Limits,
  type Locks,
  sleep,
  type System,
  TidemarkError,
} from '@tidemark/shared'
import { openFollow } from './follow.ts'
import { openKeepStates } from './keep-states.ts'
import type { Lease } from './lease.ts'
import { runLeader } from './leader.ts'
import { openPresence } from './presence.ts'
import { keepLink, type ReconnectPorts } from './reconnect.ts'
import type { Replica } from './replica.ts'
import type { StatusCell } from './status.ts'
import { openTabs, type Word } from './tabs.ts'
import { createTurns } from './turns.ts'

/** The leader looks for rows that nobody has told it of after this long. */
const lookMs = 60_000

type LinkOptions = Pick<
  ReconnectPorts,
  'url' | 'connect' | 'hints' | 'logs' | 'versions' | 'user' | 'token' | 'deciding' | 'onError'
>

/** What the life of a tab needs. */
export interface SyncPorts extends Lease, LinkOptions {
  readonly replica: Replica
  readonly status: StatusCell
  readonly system: System
  readonly locks: Locks
  readonly lockName: string
  readonly broadcast: Broadcast
  readonly onLimits: (limits: Limits) => void
  /** The user has signed out in another tab. */
  readonly onSignOut: () => void
}

/** A tab that lives. */
export interface Sync {
  /** This tab has written to the outbox. */
  onWritten(): void
  /** Rows of other tabs came before those that this tab has written. */
  onGap(): void
  /** What the disk answered: an error, or nothing wrong. */
  onStorage(error: unknown): void
  /** Resolves when everything that is on the disk now is in memory. */
  catchUp(): Promise<void>
  /** Resolves when all models have been folded. */
  built(): Promise<void>
  discard(...ids: readonly EventId[]): Promise<void>
  pause(): void
  resume(): void
  /** The app has another token: the tab that leads asks for it. */
  reauth(): void
  /** Closes the clients of the other tabs. */
  closeOthers(): void
  /** Has ended, once its signal has aborted. */
  readonly ended: Promise<void>
}

/** Starts the life of a tab, until `signal` aborts. */
export function openSync(ports: SyncPorts, signal: AbortSignal): Sync {
  const { store, replica, status, system, onError } = ports
  const turns = createTurns()
  // Whoever is away does not answer as the leader, while its last words are still on their way to the disk.
  const onLeave = (): void => status.patch({ leader: false })
  const presence = openPresence({ hints: ports.hints, onLeave }, signal)
  const reauths = new Set<() => void>()

  const onStorage = (error: unknown): void => {
    // That nothing more is begun on the disk is not its fault.
    if (signal.aborted) return
    if (error === undefined) return status.patch({ storage: 'ok' })
    // A disk that stays broken is said once, and not with every try.
    const isKnown = isTidemarkError(error) && error.code === status.getSnapshot().storage
    if (isTidemarkError(error)) status.patch({ storage: error.code })
    if (!isKnown) onError(error)
  }
  const disk = { store, replica, turns, system, onStorage }
  const follow = openFollow(disk, signal)
  const { views } = ports.deciding
  const states = openKeepStates({ ...disk, views, follow, status }, signal)
  const onReauth: ReconnectPorts['onReauth'] = (heard) => {
    reauths.add(heard)
    return () => void reauths.delete(heard)
  }
  const hearReauth = (): void => reauths.forEach((heard) => heard())
  const onWord = (word: Word): void => {
    if (word === 'reauth') hearReauth()
    if (word === 'signOut') ports.onSignOut()
    if (word === 'changed' && !presence.isAway()) follow.ring()
  }
  const tabs = openTabs({ ...ports, onWord, isPaused: presence.isPaused })
  const onWritten = (): void => tabs.say('changed')

  const watch = { askLeader: tabs.askLeader, isSeen: () => ports.hints.isSeen() }
  const lead = async (term: AbortSignal, lost: AbortSignal): Promise<void> => {
    const identity = await store.open()
    void look(term)
    const link = { ...ports, identity, follow, turns, onWritten, onStorage, onReauth, lost }
    await keepLink(link, term)
  }
  /** A tab that died after its write has rung no bell: now and then somebody has to look. */
  const look = async (term: AbortSignal): Promise<void> => {
    while (!term.aborted) {
      await sleep(system, lookMs, term)
      if (!term.aborted) follow.ring()
    }
  }
  const live = async (): Promise<void> => {
    while (!signal.aborted) {
      const stay = AbortSignal.any([signal, presence.signal()])
      await runLeader({ ...ports, ...watch, lead, onError: onStorage }, stay)
      const link = presence.isPaused() ? 'paused' : 'offline'
      status.patch({ link, linkError: undefined, leader: false })
      await presence.back(signal)
      follow.ring()
      tabs.say('who')
    }
    // The others are to hear of what is being written.
    await ports.idle()
    status.patch({ link: 'closed' })
    tabs.close()
  }

  status.patch({ link: 'offline' })
  return {
    onWritten,
    onGap: follow.ring,
    onStorage,
    catchUp: follow.catchUp,
    built: states.built,
    discard: (...ids) =>
      turns(async () => {
        await store.discard(ids)
        replica.discarded(ids)
        onWritten()
      }),
    pause: presence.pause,
    resume: presence.resume,
    reauth() {
      hearReauth()
      tabs.say('reauth')
    },
    closeOthers: () => tabs.say('signOut'),
    ended: live(),
  }
}

/** A tab without a disk: on a server, or where the browser has none to give. Nothing happens there. */
export const inertSync: Sync = {
  onWritten: () => undefined,
  onGap: () => undefined,
  onStorage: () => undefined,
  catchUp: () => Promise.reject(noDisk()),
  built: () => Promise.reject(noDisk()),
  discard: () => Promise.reject(noDisk()),
  pause: () => undefined,
  resume: () => undefined,
  reauth: () => undefined,
  closeOthers: () => undefined,
  ended: Promise.resolve(),
}

/** What calls that need a disk are told where there is none. */
export const noDisk = (): TidemarkError =>
  new TidemarkError('STORAGE_UNAVAILABLE', { reason: 'there is no IndexedDB here' })
