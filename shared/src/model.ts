/**
 * Models: state folded from events. A fold is a pure function of the state and the entry; the same
 * entries give the same state in the browser, at the gateway and in a test.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { assert } from './assert.ts'
import type { Command, Decided, Denial } from './command.ts'
import type { DomainEvent, Draft } from './event.ts'
import type { DeadLettered } from './reserved.ts'
import type { AnyDrafts, DataOf, StreamDrafts, Topic } from './topic.ts'

/** One pure function for each event type that matters to the model. Pending events have no place in the log yet. */
export type Folds<T extends Topic, State> = {
  readonly [Type in (keyof T['schemas'] & string) | 'tidemark.DeadLettered']?: (
    state: State,
    event: DomainEvent<Type, FoldedData<T, Type>>,
  ) => State
}

/** Beside the topic's own types there is one that every topic has. */
type FoldedData<T extends Topic, Type extends string> = Type extends 'tidemark.DeadLettered'
  ? DeadLettered
  : DataOf<T, Type>

/** What states can be found and ordered by: numbers before strings. */
export type IndexValue = number | string

/** By name: what a state is found by, or nothing where it is not to be found there. */
export type Indexes<State> = Readonly<Record<string, (state: State) => IndexValue | undefined>>

/** A state for each key, folded from a topic's events, and the commands that decide on it. */
export interface Model<
  T extends Topic = Topic,
  State = unknown,
  C = unknown,
  Index extends string = string,
> {
  readonly topic: T
  /** Raise it when `on`, `initial` or `indexes` changes: what is stored is then folded anew. */
  readonly version: number
  readonly initial: State
  /** Which state an event belongs to: its stream, unless said otherwise. */
  readonly key: (event: DomainEvent) => string
  /** Are its states those of streams? Only such a model has commands. */
  readonly isByStream: boolean
  readonly on: Folds<T, State>
  /** What lists of it can be filtered and ordered by. */
  readonly indexes: Readonly<Record<Index, (state: State) => IndexValue | undefined>>
  readonly commands: C
  /** How the app takes back what an event of a type has done. */
  readonly compensations: Readonly<Record<string, Compensation | undefined>>
  /** The same model with one more command. `decide` is pure; it answers with events of `emit`, or with `refuse(…)`. */
  command<Name extends string, S extends StandardSchemaV1, const D extends Decided>(
    name: Name,
    schema: S,
    decide: (
      state: State,
      input: StandardSchemaV1.InferOutput<S>,
      emit: StreamDrafts<T['name'], T['schemas']>,
    ) => D,
  ): Model<
    T,
    State,
    C & Readonly<Record<Name, Command<StandardSchemaV1.InferInput<S>, Extract<D, Denial>>>>,
    Index
  >
  /** The same model, knowing how to take back one type of event: by other events of the same stream. */
  compensate<Type extends keyof T['schemas'] & string>(
    type: Type,
    compensation: (
      event: DomainEvent<Type, DataOf<T, Type>>,
      emit: StreamDrafts<T['name'], T['schemas']>,
    ) => Draft | readonly Draft[],
  ): Model<T, State, C, Index>
}

/** Events that take back what `event` has done. */
export type Compensation = (event: DomainEvent, emit: AnyDrafts) => Draft | readonly Draft[]

/** A model of any topic, state, commands and indexes. */
// oxlint-disable-next-line typescript/no-explicit-any -- a Model is invariant in all; only any holds them all
export type AnyModel = Model<any, any, any, any>

/** The state that a model folds to. */
export type StateOf<M> = M extends Model<infer _T, infer State, infer _C, infer _I> ? State : never

/** The commands that a model has. */
export type CommandsOf<M> = M extends Model<infer _T, infer _S, infer C, infer _I> ? C : never

/** The names of the indexes that a model declares. */
export type IndexesOf<M> =
  M extends Model<infer _T, infer _S, infer _C, infer Index> ? Index : never

/**
 * Defines a model.
 *
 * @example
 * const item = model(inventory, {
 *   version: 1,
 *   initial: { onHand: 0 },
 *   on: { StockReceived: (state, event) => ({ onHand: state.onHand + event.data.quantity }) },
 * })
 */
export function model<
  T extends Topic,
  State,
  const I extends Indexes<State> = Record<never, never>,
>(
  topic: T,
  definition: {
    readonly version: number
    readonly initial: State
    readonly key?: (event: DomainEvent) => string
    readonly on: Folds<T, NoInfer<State>>
    readonly indexes?: I & Indexes<NoInfer<State>>
  },
): Model<T, State, Readonly<Record<never, Command>>, keyof I & string> {
  const isByStream = definition.key === undefined
  return build({
    topic,
    isByStream,
    key: (event: DomainEvent) => event.stream,
    indexes: {},
    ...definition,
    commands: {},
    compensations: {},
  }) as Model<T, State, Readonly<Record<never, Command>>, keyof I & string>
}

type Parts = Omit<AnyModel, 'command' | 'compensate'>

function build(parts: Parts): AnyModel {
  return {
    ...parts,
    command(name: string, schema: StandardSchemaV1, decide: Command['decide']) {
      assert(parts.isByStream, `${parts.topic.name} models by key have no commands`)
      return build({ ...parts, commands: { ...parts.commands, [name]: { schema, decide } } })
    },
    compensate: (type, compensation) =>
      build({
        ...parts,
        compensations: { ...parts.compensations, [type]: compensation as Compensation },
      }),
  }
}

/** The state after an event. Types that the model does not name leave it as it is. */
export function fold<T extends Topic, State>(
  model: Pick<Model<T, State>, 'on'>,
  state: State,
  event: DomainEvent,
): State {
  const on = model.on as Readonly<
    Record<string, ((state: State, event: DomainEvent) => State) | undefined>
  >
  return Object.hasOwn(on, event.type) ? (on[event.type]?.(state, event) ?? state) : state
}
