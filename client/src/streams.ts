/**
 * For each stream what a decision on it has to name: its revision, with the pending events that are laid
 * over it, and the newest of those. The gateway compares the first and waits for the second.
 */
import type { DomainEvent, Entry, EventId } from '@tidemark/shared'

/** Where a stream stands for somebody who decides on it. */
export interface Head {
  /** What the stream's revision will be when everything that was seen is accepted. */
  readonly revision: number
  /** The newest pending event that was seen. */
  readonly after: EventId | undefined
}

type Placed = Pick<DomainEvent, 'topic' | 'stream'>

const keyOf = ({ topic, stream }: Placed): string => `${topic}/${stream}`

/** The streams of a client, of all its logs. */
export class Streams {
  readonly #revisions = new Map<string, number>()
  /** In the order they were appended. */
  readonly #pending = new Map<string, Set<EventId>>()

  /** The revision of the newest entry of a stream on this device. */
  confirmed(stream: Placed): number {
    return this.#revisions.get(keyOf(stream)) ?? 0
  }

  /** Where a stream stands, without the pending events in `except`. */
  head(stream: Placed, except: ReadonlySet<EventId>): Head {
    const pending = [...(this.#pending.get(keyOf(stream)) ?? [])].filter((id) => !except.has(id))
    return { revision: this.confirmed(stream) + pending.length, after: pending.at(-1) }
  }

  /** An entry has been stored. */
  confirm(entry: Pick<Entry, 'topic' | 'stream' | 'revision'>): void {
    this.#revisions.set(keyOf(entry), entry.revision)
  }

  /** Forgets the entries of a topic: they are about to be read again. */
  restart(topic: string): void {
    for (const key of this.#revisions.keys()) {
      if (key.startsWith(`${topic}/`)) this.#revisions.delete(key)
    }
  }

  lay(event: DomainEvent): void {
    const key = keyOf(event)
    const pending = this.#pending.get(key)
    if (pending) pending.add(event.id)
    else this.#pending.set(key, new Set([event.id]))
  }

  lift(event: DomainEvent): void {
    const key = keyOf(event)
    const pending = this.#pending.get(key)
    pending?.delete(event.id)
    if (pending?.size === 0) this.#pending.delete(key)
  }
}
