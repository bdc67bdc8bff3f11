/** What a planted bug is. */
import type { Invariant } from './invariants.ts'
import type { Rates } from './options.ts'

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
  /** Faults that happen more often than in other runs, where the bug needs two of them to meet. */
  readonly rates?: Partial<Rates>
}

/** A bug of one edit. */
export const one = (file: string, find: string, replace: string): readonly Edit[] => [
  { file, find, replace },
]
