/**
 * Bugs that somebody could have written. Each is planted into production code for a few seeds, and has
 * to be caught by the invariant that names it; a simulation that lets one pass proves nothing.
 */
import type { Invariant } from './checks.ts'

/** A change of a source file. */
export interface Edit {
  /** The end of its path. */
  readonly file: string
  /** What stands there once. */
  readonly find: string
  readonly replace: string
}

/** A bug, and who has to catch it. */
export interface Bug {
  readonly name: string
  readonly edits: readonly Edit[]
  /** The invariants that may name it; the first that breaks ends the run. */
  readonly caughtBy: readonly Invariant[]
  /** It has to be caught within so many seeds. */
  readonly seeds: number
}

/** All of them. */
export const bugs: readonly Bug[] = []
