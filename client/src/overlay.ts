/** Pending events by what they are laid over: the keys of a model, or their streams. */
import type { DomainEvent, EventId } from '@tidemark/shared'

const nothing: ReadonlyMap<EventId, DomainEvent> = new Map()

/** Pending events by key, each key's in the order they were appended. */
export class Overlay {
  readonly #events = new Map<string, Map<EventId, DomainEvent>>()
  readonly #keys = new Map<EventId, string>()

  /** How many keys have pending events. */
  get size(): number {
    return this.#events.size
  }

  keys(): Iterable<string> {
    return this.#events.keys()
  }

  has(key: string): boolean {
    return this.#events.has(key)
  }

  /** The events of a key. */
  of(key: string): ReadonlyMap<EventId, DomainEvent> {
    return this.#events.get(key) ?? nothing
  }

  lay(key: string, event: DomainEvent): void {
    let events = this.#events.get(key)
    if (!events) this.#events.set(key, (events = new Map()))
    events.set(event.id, event)
    this.#keys.set(event.id, key)
  }

  /** Takes an event away. Answers with its key, if it was there. */
  lift(id: EventId): string | undefined {
    const key = this.#keys.get(id)
    if (key === undefined) return undefined
    const events = this.#events.get(key)
    this.#keys.delete(id)
    events?.delete(id)
    if (events?.size === 0) this.#events.delete(key)
    return key
  }
}
