/** A map that remembers how to undo what was done to it since the last commit. */
export class JournaledMap<Value> {
  readonly #map = new Map<string, Value>()
  readonly #undo: (() => void)[] = []

  get size(): number {
    return this.#map.size
  }

  get(key: string): Value | undefined {
    return this.#map.get(key)
  }

  has(key: string): boolean {
    return this.#map.has(key)
  }

  set(key: string, value: Value): void {
    const before = this.#map.get(key)
    const known = this.#map.has(key)
    this.#map.set(key, value)
    this.#undo.push(() => {
      if (known) this.#map.set(key, before as Value)
      else this.#map.delete(key)
    })
  }

  /** Returned: whether the key was there. Undone, it comes back as the last of the map. */
  delete(key: string): boolean {
    const before = this.#map.get(key)
    if (!this.#map.delete(key)) return false
    this.#undo.push(() => this.#map.set(key, before as Value))
    return true
  }

  entries(): IterableIterator<[string, Value]> {
    return this.#map.entries()
  }

  values(): IterableIterator<Value> {
    return this.#map.values()
  }

  /** A place to go back to. */
  mark(): number {
    return this.#undo.length
  }

  /** Undoes everything after a mark. */
  rollback(mark: number): void {
    while (this.#undo.length > mark) this.#undo.pop()?.()
  }

  /** Keeps everything. */
  commit(): void {
    this.#undo.length = 0
  }
}
