/** The end of a user's stay on this device, in every tab. What has not been synced goes nowhere unless that was said. */
import { type Locks, sleep, type System } from '@tidemark/shared'
import { exportUnsynced, type ExportPorts } from './export-unsynced.ts'

/**
 * What becomes of what has not been synced: `keep` it on this device for the user's return, `export` it as a
 * file and delete the database, or `discard` it with the database.
 */
export type Unsynced = 'keep' | 'export' | 'discard'

/** What signing out needs. */
export interface SignOutPorts extends ExportPorts {
  readonly locks: Locks
  readonly lockName: string
  readonly system: System
  /** Closes the clients of the other tabs. */
  readonly closeOthers: () => void
  /** Ends the life of this client, but for its store. */
  readonly end: () => Promise<void>
  /** The database goes on purpose: nobody is to miss it. */
  readonly forget: () => void
  readonly onError: (error: unknown) => void
}

/** How long the other tabs may take to let go, in milliseconds. One that is frozen cannot. */
const othersMsMax = 2_000

/** Signs out. Answers with the rescue file where it was to be exported. */
export async function signOut(
  ports: SignOutPorts,
  unsynced: Unsynced,
): Promise<string | undefined> {
  const { store, closeOthers, end, forget, onError } = ports
  closeOthers()
  await end()
  if (unsynced === 'keep') {
    await store.close()
    return undefined
  }
  await othersHaveEnded(ports)
  const file = unsynced === 'export' ? await exportUnsynced(ports) : undefined
  forget()
  try {
    await store.destroy()
  } catch (error) {
    // A deletion that is blocked may still happen later: then the file is all there is, and is handed over.
    if (file === undefined) throw error
    onError(error)
  }
  return file
}

/** Whoever led has let go of the lock: nothing is settled, and so left out of the file, any more. */
async function othersHaveEnded({ locks, lockName, system }: SignOutPorts): Promise<void> {
  const done = new AbortController()
  const waiting = locks.request(lockName, { signal: done.signal }, async () => done.abort())
  await sleep(system, othersMsMax, done.signal)
  done.abort()
  await waiting
}
