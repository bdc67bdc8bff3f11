/**
 * Models: state folded from events. A fold is a pure function of the state and the entry; the same
 * entries give the same state in the browser, at the gateway and in a test.
 */
import type { DomainEvent } from './event.ts'
import type { Topic, DataOf } from './topic.ts'

/** One pure function for each event type that matters to the model. Pending events have no place in the log yet. */
export type Folds<T extends Topic, State> = {
  readonly [Type in keyof T['schemas'] & string]?: (
    state: State,
    event: DomainEvent<Type, DataOf<T, Type>>,
  ) => State
}

/** A state for each key, folded from a topic's events. */
export interface Model<T extends Topic = Topic, State = unknown> {
  readonly topic: T
  /** Raise it when `on` or `initial` changes: what is stored is then folded anew. */
  readonly version: number
  readonly initial: State
  /** Which state an event belongs to. Its stream, unless said otherwise. */
  readonly key: (event: DomainEvent) => string
  readonly on: Folds<T, State>
}

/** A model of any topic and state. */
// oxlint-disable-next-line typescript/no-explicit-any -- a Model is invariant in both; only any holds them all
export type AnyModel = Model<any, any>

/** The state that a model folds to. */
export type StateOf<M> = M extends Model<infer _T, infer State> ? State : never

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
export function model<T extends Topic, State>(
  topic: T,
  definition: {
    readonly version: number
    readonly initial: State
    readonly key?: (event: DomainEvent) => string
    readonly on: Folds<T, NoInfer<State>>
  },
): Model<T, State> {
  return { topic, key: (event) => event.stream, ...definition }
}

/** The state after an event. Types that the model does not name leave it as it is. */
export function fold<T extends Topic, State>(
  model: Model<T, State>,
  state: State,
  event: DomainEvent,
): State {
  const on = model.on as Readonly<
    Record<string, ((state: State, event: DomainEvent) => State) | undefined>
  >
  return Object.hasOwn(on, event.type) ? (on[event.type]?.(state, event) ?? state) : state
}
