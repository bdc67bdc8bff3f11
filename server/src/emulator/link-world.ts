/** What every link of a session is handed. */
import type { System } from '@tidemark/shared'
import type { Namespace } from './core/namespace.ts'
import type { Outcomes } from './rhea.ts'

/** The world of a link. */
export interface LinkWorld {
  readonly system: System
  readonly namespace: Namespace
  /** Those of its session: rhea merges what is adjacent there. */
  readonly outcomes: Outcomes
}
