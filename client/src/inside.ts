/** The parts of a client that modules of this package in other entry points work with, and no app should. */
import { assert, type LogName } from '@tidemark/shared'
import type { Writer } from './append.ts'
import type { ModelView } from './model-view.ts'
import type { Replica } from './replica.ts'
import type { Store } from './store/store.ts'

/** What is inside a client. */
export interface Inside {
  readonly user: string
  readonly scope: string
  readonly store: Store | undefined
  readonly replica: Replica
  readonly views: readonly ModelView[]
  readonly writer: Writer
  /** The logs that are read. */
  readonly logs: readonly LogName[]
  readonly isKnownTopic: (topic: string) => boolean
  /** Resolves when everything that is on the disk now is in memory. */
  readonly catchUp: () => Promise<void>
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
