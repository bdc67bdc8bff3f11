/** The end of a user's stay on this device, in every tab. What has not been synced goes nowhere unless that was said. */
import { sleep } from '@tidemark/shared'
import type { Client } from './client.ts'
import { exportFrom } from './export-unsynced.ts'
import { type Inside, insideOf } from './inside.ts'
import type { Store } from './store/store.ts'
import { noDisk } from './sync.ts'

/**
 * What becomes of what has not been synced: `keep` it on this device for the user's return, `export` it as a
 * file and delete the database, or `discard` it with the database.
 */
export type Unsynced = 'keep' | 'export' | 'discard'

/** How long the other tabs may take to let go, in milliseconds. One that is frozen cannot. */
const othersMsMax = 2_000

/**
 * Signs out: closes the clients of this user in all tabs. The file that an `export` answers with is all that is
 * left then. Rejects with one of the `STORAGE_` codes.
 *
 * @example
 * const file = await signOut(client, { unsynced: 'export' })
 */
export async function signOut(
  client: Pick<Client, 'status'>,
  options: { readonly unsynced: 'export' },
): Promise<string>
export async function signOut(
  client: Pick<Client, 'status'>,
  options: { readonly unsynced: Unsynced },
): Promise<string | undefined>
export async function signOut(
  client: Pick<Client, 'status'>,
  { unsynced }: { readonly unsynced: Unsynced },
): Promise<string | undefined> {
  const inside = insideOf(client)
  const disk = await endAll(inside)
  if (unsynced === 'keep') {
    await disk.close()
    return undefined
  }
  await othersHaveEnded(inside)
  const file = unsynced === 'export' ? await exportFrom(inside, disk) : undefined
  await destroy(inside, disk, file !== undefined)
  return file
}

/** Ends the clients of a user in all tabs, and answers with the disk of this one, which stays open. */
export async function endAll({ disk, closeOthers, end }: Inside): Promise<Store> {
  if (!disk) throw noDisk()
  closeOthers()
  await end()
  return disk
}

/** Whoever led has let go of the lock: nothing is settled, and so left out of a file, any more. */
export async function othersHaveEnded({ locks, lockName, system }: Inside): Promise<void> {
  const done = new AbortController()
  const waiting = locks.request(lockName, { signal: done.signal }, async () => done.abort())
  await sleep(system, othersMsMax, done.signal)
  done.abort()
  await waiting
}

/** Deletes the database. A deletion that is blocked may still happen later: no reason to lose what was saved from it. */
export async function destroy(
  { forget, onError }: Inside,
  disk: Store,
  isSaved: boolean,
): Promise<void> {
  forget()
  try {
    await disk.destroy()
  } catch (error) {
    if (!isSaved) throw error
    onError(error)
  }
}
