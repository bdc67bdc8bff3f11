/**
 * The pending events of each stream, of whichever type: a decision names the newest that it saw, and counts
 * them to say at which revision its own events will be.
 */
import type { DomainEvent, EventId } from '@tidemark/shared'

type Placed = Pick<DomainEvent, 'topic' | 'stream'>

const keyOf = ({ topic, stream }: Placed): string => `${topic}/${stream}`

/** What is pending on the streams of a client, of all its logs. */
export class Streams {
  /** In the order they were appended. */
  readonly #pending = new Map<string, Set<EventId>>()

  /** The pending events of a stream in order, without those in `except`. */
  pending(stream: Placed, except: ReadonlySet<EventId>): readonly EventId[] {
    return [...(this.#pending.get(keyOf(stream)) ?? [])].filter((id) => !except.has(id))
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
