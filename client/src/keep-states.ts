/**
 * Behind hop 8: entries to states on the disk. What has not been folded by this version of a model is folded page
 * by page; what has changed since it was written is written behind, so that the next start reads states
 * and the few entries after them, however long the log is.
 */
import { Doorbell, isTidemarkError, parseEntry, sleep } from '@tidemark/shared'
import type { Follow, FollowPorts } from './follow.ts'
import type { ModelView } from './model-view.ts'
import { persist } from './persist.ts'
import type { StatusCell } from './status.ts'

/** What keeping states needs. */
export interface KeepStatesPorts extends FollowPorts {
  readonly views: readonly ModelView[]
  readonly follow: Follow
  readonly status: StatusCell
}

/** The states of a tab's models. */
export interface KeptStates {
  /** Resolves when all models have been folded. Throws what the disk throws. */
  built(): Promise<void>
}

const bytesMax = 1_048_576
/** Changes are gathered for this long. All tabs fold the same, so the others leave it to the leader. */
const gatherMs = { leader: 2_000, follower: 15_000 } as const

/** Starts to keep the states, until `signal` aborts. */
export function openKeepStates(ports: KeepStatesPorts, signal: AbortSignal): KeptStates {
  const { store, replica, turns, views, follow, system, status } = ports
  const [toBuild, toWrite] = [new Doorbell(), new Doorbell()]
  /** Models whose states cannot be stored. */
  const unstorable = new Set<ModelView>()
  replica.onStates(() => {
    if (replica.building()) toBuild.ring()
    if (isDue()) toWrite.ring()
  })
  void keepBuilt()
  void keepWritten()
  return { built }

  async function keepBuilt(): Promise<void> {
    while (!signal.aborted) {
      await toBuild.wait(signal)
      await persist(ports, signal, built)
    }
  }

  async function keepWritten(): Promise<void> {
    while (!signal.aborted) {
      await toWrite.wait(signal)
      const { leader } = status.getSnapshot()
      await sleep(system, leader ? gatherMs.leader : gatherMs.follower, signal)
      await persist(ports, signal, write)
    }
  }

  async function built(): Promise<void> {
    while (await turns(buildPage)) if (views.some(isFull)) await write()
  }

  /** Answers whether there is more to build. */
  async function buildPage(): Promise<boolean> {
    const building = replica.building()
    if (!building) return false
    const { log, from, upTo } = building
    const { lines } = from < upTo ? await store.read(log, from, bytesMax) : { lines: [] }
    replica.build(
      building,
      lines.slice(0, upTo - from).map((line) => parseEntry(log, line)),
    )
    return replica.building() !== undefined
  }

  function isDue(): boolean {
    return views.some((view) => !unstorable.has(view) && view.builds.isDirty)
  }

  async function write(): Promise<void> {
    for (const view of views) view.builds.wantDirty()
    await follow.catchUp()
    await turns(async () => {
      for (const view of views) if (!unstorable.has(view)) await writeOne(view)
    })
    if (replica.building()) toBuild.ring()
  }

  async function writeOne(view: ModelView): Promise<void> {
    const written = view.builds.toWrite()
    if (!written) return
    try {
      view.builds.written(written[0], await store.writeStates(...written))
    } catch (error) {
      if (!isTidemarkError(error) || error.code !== 'STATE_NOT_STORABLE') throw error
      unstorable.add(view)
      view.degrade(error)
    }
  }
}

const isFull = ({ builds }: ModelView): boolean => builds.isFull
