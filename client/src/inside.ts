/** The parts of a client that modules of this package in other entry points work with, and no app should. */
import { assert, type Locks, type LogName } from '@tidemark/shared'
import type { Writer } from './append.ts'
import type { DecidePorts } from './execute.ts'
import type { Store } from './store/store.ts'

/** What is inside a client. */
export interface Inside extends DecidePorts {
  readonly locks: Locks
  /** Whoever holds this lock leads the tabs of this database. */
  readonly lockName: string
  readonly store: Store
  /** The same, if there is one, for what comes after the life of this client has ended. */
  readonly disk: Store | undefined
  readonly writer: Writer
  /** The logs that are read. */
  readonly logs: readonly LogName[]
  /** Resolves when everything that is on the disk now is in memory. */
  readonly catchUp: () => Promise<void>
  /** The database has changed: other tabs should have a look. */
  readonly onWritten: () => void
  /** What is in memory is behind the disk. */
  readonly onGap: () => void
  /** Closes the clients of the other tabs. */
  readonly closeOthers: () => void
  /** Ends the life of this client. Its disk stays open. */
  readonly end: () => Promise<void>
  /** The database goes on purpose: nobody is to miss it. */
  readonly forget: () => void
  readonly onError: (error: unknown) => void
}

const insides = new WeakMap<object, Inside>()

/** Remembers what is inside a client. */
export const setInside = (client: object, inside: Inside): void => void insides.set(client, inside)

/** What is inside a client that `createClient` of this very package has made. */
export function insideOf(client: object): Inside {
  const inside = insides.get(client)
  assert(inside, 'a client comes from createClient')
  return inside
}
