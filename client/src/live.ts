/** Values that change while somebody looks at them, in the shape that UI frameworks subscribe to. */
import type { Cancel } from '@tidemark/shared'

/** A value that changes. The snapshot is the same object until it changes, so it fits `useSyncExternalStore`. */
export interface Live<Value> {
  getSnapshot(): Value
  /** What it was before anything was known: what a server renders, and what hydrating it starts from. */
  getInitialSnapshot(): Value
  /** Calls `changed` after each change, until the returned function is called. */
  subscribe(changed: () => void): Cancel
}

/** Those who want to hear of a change. One that throws is reported and does not keep it from the others. */
export class Listeners {
  readonly #all = new Set<() => void>()
  readonly #onError: (error: unknown) => void

  constructor(onError: (error: unknown) => void) {
    this.#onError = onError
  }

  get size(): number {
    return this.#all.size
  }

  /** Adds a listener. The same function twice is two listeners. */
  add(changed: () => void): Cancel {
    const listener = () => changed()
    this.#all.add(listener)
    return () => void this.#all.delete(listener)
  }

  notify(): void {
    for (const changed of this.#all) {
      try {
        changed()
      } catch (error) {
        this.#onError(error)
      }
    }
  }
}

/** A `Live` value with the handle that changes it. */
export interface Cell<Value> extends Live<Value> {
  set(value: Value): void
}

/** Makes a live value. Setting the value that it has already tells nobody. */
export function createCell<Value>(initial: Value, onError: (error: unknown) => void): Cell<Value> {
  const listeners = new Listeners(onError)
  let value = initial
  return {
    getSnapshot: () => value,
    getInitialSnapshot: () => initial,
    subscribe: (changed) => listeners.add(changed),
    set(next) {
      if (Object.is(next, value)) return
      value = next
      listeners.notify()
    },
  }
}
