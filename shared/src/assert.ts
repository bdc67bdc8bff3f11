/** Checks for mistakes of our own. They stay on in production: a wrong assumption must stop, not spread. */

/** Throws when `condition` is false. `why` says what must hold, as a sentence, where a caller can break it. */
export function assert(condition: unknown, why = 'a mistake of ours'): asserts condition {
  if (!condition) throw new Error(`Assertion failed: ${why}`)
}

/** Closes a `switch` over a union: a new member that nobody handles is a compile error here. */
export function unreachable(value: never): never {
  throw new Error(`Unreachable: ${JSON.stringify(value)}`)
}
