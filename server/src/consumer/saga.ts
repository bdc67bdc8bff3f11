/**
 * Sagas: work in several steps, some of them in other people's systems, that ends done or undone. This
 * file says what a saga is; run-saga.ts runs it.
 */
import { assert } from '@tidemark/shared'
import { deriveId } from './derive.ts'
import type { Emit } from './emit.ts'
import type { RetryOptions } from './policy.ts'
import type { Unit } from './processed/processed.ts'
import type { SagaCause } from './processed/sagas.ts'

/** What a call to somebody else's system is given. */
export interface CallContext {
  /** The same at every attempt, another one for each step and for its compensation: the idempotency key. */
  readonly key: string
  /** 1 at the first attempt. */
  readonly attempt: number
  /** Aborts when the step has run out of time. It may have worked all the same: it is tried again with the same key. */
  readonly signal: AbortSignal
  /** What the completed steps returned, by their names. */
  readonly results: Readonly<Record<string, unknown>>
}

/** What is given inside the transaction that writes an act down. */
export interface CommitContext<Tx> {
  /** The app's handle inside the transaction: what is written through it happens once. */
  readonly tx: Tx
  /** Answers with an event, caused by the one that started the saga. */
  readonly emit: Emit
  readonly key: string
  readonly results: Readonly<Record<string, unknown>>
}

/** One half of a step. An act with neither part does nothing, and is written down all the same. */
export interface Act<Input, Tx, Given, Result> {
  /** Outside of any transaction: calls that may repeat, with the same key. What it returns is kept as JSON. */
  readonly perform?: (input: Input, context: CallContext & Given) => Promise<Result> | Result
  /** Inside the transaction that writes the act down: happens once. */
  readonly commit?: (
    input: Input,
    context: CommitContext<Tx> & { readonly result: Result } & Given,
  ) => Promise<void> | void
}

/** A step and what undoes it. */
export interface Step<Input, Tx> {
  readonly name: string
  readonly run: Act<Input, Tx, unknown, unknown>
  readonly compensate: Act<Input, Tx, { readonly result: unknown }, unknown>
  readonly compensatesUnsure: boolean
}

/** How a saga ends, for its `ended`. */
export type Outcome = 'completed' | 'compensated' | 'needs-human'

/** What `ended` is given: why the saga turned, where it did, beside the transaction. */
export interface EndContext<Tx> extends CommitContext<Tx> {
  readonly code?: string | undefined
  readonly reason?: string | undefined
}

/** A saga's definition. */
export interface Saga<Input, Tx> {
  readonly name: string
  readonly steps: readonly Step<Input, Tx>[]
  /** Tells how it ended, in the transaction that ends it: the place to emit what the author shall hear. */
  readonly ended?: (outcome: Outcome, input: Input, context: EndContext<Tx>) => Promise<void> | void
  /** How long a call may take, in ms. Default: 30,000. */
  readonly stepMsMax?: number
  /** Attempts at a step before the saga turns to compensation. Default: 5. */
  readonly attemptsMax?: number
  /** Attempts at a compensation before the saga needs a person. Default: 10. */
  readonly compensationAttemptsMax?: number
  readonly retry?: RetryOptions
}

/**
 * Defines a step. `run` and `compensate` are a call, or `{ perform, commit }`. A call that throws `refuse(…)`
 * has surely not happened, and the saga turns at once. One that fails for another reason is tried again
 * with the same key; where its attempts are used up nobody knows whether it happened, and it is
 * compensated only with `compensatesUnsure`.
 */
export function step<Input, Tx, Result = unknown>(
  name: string,
  acts: {
    readonly run: StepCall<Input, Result> | Act<Input, Tx, unknown, Result>
    readonly compensate?:
      | CompensateCall<Input, Result>
      | Act<Input, Tx, { readonly result: Result }, void>
    readonly compensatesUnsure?: boolean
  },
): Step<Input, Tx> {
  const { run, compensate = {}, compensatesUnsure = false } = acts
  return {
    name,
    run: (typeof run === 'function' ? { perform: run } : run) as Step<Input, Tx>['run'],
    compensate: (typeof compensate === 'function' ? { perform: compensate } : compensate) as Step<
      Input,
      Tx
    >['compensate'],
    compensatesUnsure,
  }
}

type StepCall<Input, Result> = (input: Input, context: CallContext) => Promise<Result> | Result
type CompensateCall<Input, Result> = (
  input: Input,
  context: CallContext & { readonly result: Result },
) => Promise<void> | void

/**
 * Defines a saga. Its name and the order of its steps are what running sagas are found by: add steps at
 * the end, or give the saga a new name.
 */
export function saga<Input, Tx>(definition: Saga<Input, Tx>): Saga<Input, Tx> {
  const names = definition.steps.map(({ name }) => name)
  assert(names.length > 0, 'a saga has steps')
  assert(new Set(names).size === names.length, 'the steps of a saga have different names')
  return definition
}

/** Writes a saga down, once for each cause and key. Returned: its id. */
export async function startSaga<Input, Tx>(
  unit: Unit<Tx>,
  { name }: Saga<Input, Tx>,
  start: {
    readonly cause: SagaCause
    readonly input: Input
    readonly key?: string | undefined
    readonly now: number
  },
): Promise<string> {
  const { cause, input, key = '', now } = start
  const id = deriveId(cause.id, 'saga', name, key)
  await unit.sagas.start({
    id,
    name,
    input,
    cause,
    state: 'running',
    step: 0,
    attempts: 0,
    term: 0,
    dueAt: now,
    startedAt: now,
    changedAt: now,
  })
  return id
}
