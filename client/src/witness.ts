/**
 * Who remembers what the browser may throw away. A page cannot tell an evicted database from one that never
 * was, so how much waits is written down outside of it as well: what is gone is said, never passed over.
 */
import type { Cancel, System } from '@tidemark/shared'
import { persist } from './persist.ts'
import type { Replica } from './replica.ts'
import type { StatusCell } from './status.ts'
import type { Store } from './store/store.ts'

/** A text of some 200 characters that outlives the database: `localStorage`, or a file. */
export interface Witness {
  read(): string | undefined
  /** Nothing is to be remembered any more where there is no text: no tab writes again before it is loaded. */
  write(text: string | undefined): void
}

/** Events that were on this device, unsynced, when its database went. */
export interface Lost {
  readonly events: number
  /** When the oldest of them was appended, in ms since 1970. */
  readonly since: number
}

/** What witnessing needs. */
export interface WitnessPorts {
  readonly witness: Witness
  /** Asks the browser to keep the database; answers whether it will, or nothing where it cannot say. */
  readonly askToPersist: () => Promise<boolean | undefined>
  readonly store: Store
  readonly replica: Pick<Replica, 'isLoaded'>
  readonly status: StatusCell
  readonly system: System
  readonly onStorage: (error: unknown) => void
  readonly onError: (error: unknown) => void
}

/** What an app may do about a loss. */
export interface Watch {
  /** The loss has been seen: it is not said again. */
  acknowledge(): void
  /** Nothing is to be remembered: the database is being deleted on purpose. */
  forget(): void
}

interface Memory {
  /** The database. */
  readonly incarnation: string
  /** What waits in it. */
  readonly waiting?: Lost | undefined
  /** What went with the databases before it, until that has been acknowledged. */
  readonly lost?: Lost | undefined
}

/** Between two writes, in milliseconds: an upload moves the count with every frame. */
const everyMs = 1_000

/** Starts to watch, until `signal` aborts. */
export function openWitness(ports: WitnessPorts, signal: AbortSignal): Watch {
  const { witness, status, system, replica } = ports
  let incarnation: string | undefined
  /** What waited when the database was opened: memory does not know of it before it has read the disk. */
  let before: Lost | undefined
  let cancel: Cancel | undefined
  let isAsked = false

  const remember = (memory: Memory): void => witness.write(JSON.stringify(memory))
  const write = (): void => {
    const { pending: events, oldestPendingAt: since, lost: said } = status.getSnapshot()
    const memory = recall(witness)
    // Somebody has deleted this database on purpose, and another may have come: nobody is to miss it.
    if (!memory || memory.incarnation !== incarnation) return
    const { lost } = memory
    const here = events > 0 ? { events, since: since ?? system.now() } : undefined
    remember({ incarnation, waiting: replica.isLoaded ? here : sum(before, here), lost })
    // What was read again is another object; only another loss is news.
    if (!isSame(lost, said)) status.patch({ lost })
  }
  const writeSoon = (): void => {
    if (cancel) return
    write()
    // What was being written as the life ended comes after that, and at once.
    if (signal.aborted) return
    cancel = system.after(everyMs, () => {
      cancel = undefined
      write()
    })
  }
  let counted = 0
  const look = (): void => {
    const { pending, leader } = status.getSnapshot()
    // One tab asks for all: some browsers put the question to the person.
    if (pending > 0 && leader && !isAsked) void ask()
    if (pending === counted) return
    counted = pending
    writeSoon()
  }
  const ask = async (): Promise<void> => {
    isAsked = true
    try {
      status.patch({ persisted: await ports.askToPersist() })
    } catch (error) {
      ports.onError(error)
    }
  }
  status.subscribe(look)
  signal.addEventListener('abort', () => {
    cancel?.()
    cancel = undefined
    write()
  })
  void begin()
  return {
    acknowledge: () => {
      status.patch({ lost: undefined })
      const memory = recall(witness)
      if (memory) remember({ ...memory, lost: undefined })
    },
    forget: () => witness.write(undefined),
  }

  /** Before the first write the database is compared with the one that was remembered. */
  async function begin(): Promise<void> {
    try {
      const identity = await persist(ports, signal, () => ports.store.open())
      if (!identity || signal.aborted) return
      const memory = recall(witness)
      const isOther = memory && memory.incarnation !== identity.incarnation
      before = isOther ? undefined : memory?.waiting
      const lost = isOther ? sum(memory.lost, memory.waiting) : memory?.lost
      incarnation = identity.incarnation
      remember({ incarnation, waiting: before, lost })
      status.patch({ lost })
      write()
    } catch (error) {
      ports.onError(error)
    }
  }
}

function recall(witness: Witness): Memory | undefined {
  const text = witness.read()
  if (text === undefined) return undefined
  try {
    const memory = JSON.parse(text) as Memory | null
    return typeof memory?.incarnation === 'string' ? memory : undefined
  } catch {
    // Somebody else has written there; it will be overwritten.
    return undefined
  }
}

const isSame = (a: Lost | undefined, b: Lost | undefined): boolean =>
  a?.events === b?.events && a?.since === b?.since

const sum = (a: Lost | undefined, b: Lost | undefined): Lost | undefined =>
  a && b ? { events: a.events + b.events, since: Math.min(a.since, b.since) } : (a ?? b)
