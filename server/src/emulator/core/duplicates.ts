/** Duplicate detection: which message ids were seen within a window of time. */

/** The ids that a queue or topic has seen. A duplicate is taken and dropped, and its sender cannot tell. */
export class Duplicates {
  readonly #windowMs: number
  /** When each id was seen first, oldest first. Seeing it again does not make the window longer. */
  readonly #seen = new Map<string, number>()

  /** @param windowMs how long an id is remembered; 0 for never. */
  constructor(windowMs: number) {
    this.#windowMs = windowMs
  }

  /** Has this id been seen within the window? Remembers it if not. */
  isKnown(id: string, now: number): boolean {
    if (this.#windowMs === 0) return false
    for (const [old, at] of this.#seen) {
      if (now - at < this.#windowMs) break
      this.#seen.delete(old)
    }
    if (this.#seen.has(id)) return true
    this.#seen.set(id, now)
    return false
  }
}
