/**
 * Disk to memory: what other tabs have written, and at the start everything. A bell says that something
 * is new; what it is, only the database says.
 */
import { Doorbell, type EventId } from '@tidemark/shared'
import { persist, type PersistPorts } from './persist.ts'
import type { Gone, Replica } from './replica.ts'
import { findAccepted } from './search.ts'
import type { Store } from './store/store.ts'
import type { Turns } from './turns.ts'

/** What following needs. */
export interface FollowPorts extends PersistPorts {
  readonly store: Store
  readonly replica: Replica
  readonly turns: Turns
}

/** The follower of a tab. */
export interface Follow {
  /** Something may be new. */
  ring(): void
  /** Resolves when everything that is on the disk now is in memory. Throws what the disk throws. */
  catchUp(): Promise<void>
}

/** Entries loaded in one turn, so that a big log does not stop the tab from doing anything else. */
const bytesMax = 1_048_576

/** Starts to follow the database, until `signal` aborts. */
export function openFollow(ports: FollowPorts, signal: AbortSignal): Follow {
  const { store, replica, turns, system, onStorage } = ports
  const bell = new Doorbell()
  /** Events that have left the outbox, and whose verdict is on the disk. */
  const untold = new Map<EventId, Gone>()
  replica.onWanted(() => bell.ring())
  bell.ring()
  void run()
  return { ring: () => bell.ring(), catchUp }

  async function catchUp(): Promise<void> {
    const load = async (): Promise<boolean> => {
      if (!replica.isStarted) replica.start(await store.checkpoints())
      const { more, gone } = replica.load(await store.load(replica.seen(), bytesMax))
      for (const each of gone) untold.set(each.id, each)
      return more
    }
    while (await turns(load)) await system.breathe()
    for (const each of untold.values()) await tell(each)
  }

  /** Another tab's link has heard the verdict: whoever waits for it here is told. */
  async function tell({ id, ...log }: Gone): Promise<void> {
    const accepted = await findAccepted(store, [log], id)
    untold.delete(id)
    if (accepted) replica.answered(id, accepted)
  }

  async function run(): Promise<void> {
    while (!signal.aborted) {
      await bell.wait(signal)
      try {
        await persist(ports, signal, catchUp)
      } catch (error) {
        onStorage(error)
      }
    }
  }
}
