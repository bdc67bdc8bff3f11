/** The part of the port that keeps sagas: a durable log of steps, read again after a crash at any point. */
import type { Due } from './due.ts'

/** Where a saga stands. The last three are ends, though a person may resume the last. */
export type SagaState = 'running' | 'compensating' | 'completed' | 'compensated' | 'needs-human'

/** The event that started a saga, as far as its results need it. */
export interface SagaCause {
  readonly id: string
  readonly topic: string
  readonly scope: string
  readonly stream: string
  readonly correlationId: string
  readonly traceparent?: string | undefined
}

/** One saga. */
export interface SagaRow {
  readonly id: string
  /** The name of its definition. */
  readonly name: string
  readonly input: unknown
  readonly cause: SagaCause
  readonly state: SagaState
  /**
   * The step that is next: the one to run, or the one to compensate. For a saga that needs a person the one to
   * compensate, whether it surely happened or not; -1 where none is left.
   */
  readonly step: number
  /** Attempts begun at that step. */
  readonly attempts: number
  /** Rises with every claim: who holds a lower one has lost the saga. */
  readonly term: number
  /** When somebody may claim it, in ms since 1970. A claim moves it past the step's deadline. */
  readonly dueAt: number
  /** Why it turned to compensation, or needs a person. */
  readonly code?: string | undefined
  readonly reason?: string | undefined
  readonly startedAt: number
  readonly changedAt: number
}

/** A step that happened. Steps that were never completed have no row. */
export interface SagaStepRow {
  readonly step: number
  readonly name: string
  readonly state: 'completed' | 'compensated'
  /** What the step returned; its compensation is handed this. */
  readonly result: unknown
  readonly at: number
}

/** Which sagas to list. */
export interface SagaFilter {
  readonly name?: string | undefined
  readonly state?: SagaState | undefined
  readonly max: number
}

/** What a transaction does for sagas. */
export interface Sagas {
  /** Writes a new saga. Returned: false where one of this id exists, which then stays as it is. */
  start(row: SagaRow): Promise<boolean>
  /** A saga, locked until the transaction ends. */
  get(id: string): Promise<SagaRow | undefined>
  save(row: SagaRow): Promise<void>
  /** The steps that happened, in order. */
  steps(id: string): Promise<readonly SagaStepRow[]>
  saveStep(id: string, step: SagaStepRow): Promise<void>
  /** The unfinished saga of these names that is due longest, locked until the transaction ends; others' locks are passed by. */
  due(names: readonly string[], now: number): Promise<Due<SagaRow>>
  /** Sagas, newest first. */
  list(filter: SagaFilter): Promise<readonly SagaRow[]>
}
