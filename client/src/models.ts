/** What apps see of their models: states and lists of them that change, and the commands that decide on them. */
import type { AnyModel, CommandsOf, IndexesOf, StateOf } from '@tidemark/shared'
import type { CommandCalls } from './execute.ts'
import type { ListQuery, LiveList } from './lists.ts'
import type { Live } from './live.ts'

/** A state that is there, as one moment saw it. */
export interface PresentState<State> {
  /**
   * `rebuilding`: it was folded by another version of the model, or from entries that a restore took back,
   * and is shown as it was until this version has been folded. A state of another version may have another shape.
   */
  readonly status: 'present' | 'rebuilding'
  readonly key: string
  /** With the pending events in it, but for a state of another version. */
  readonly state: State
  /** Without them; absent where no entry has been confirmed yet. */
  readonly confirmed: State | undefined
  /** How many pending events the key has. */
  readonly pending: number
}

/** A state as one moment saw it: `loading` until it has been read from the disk, `absent` where no event has made it. */
export type Snapshot<State> =
  | PresentState<State>
  | {
      readonly status: 'loading' | 'absent'
      readonly key: string
      readonly state?: undefined
      readonly confirmed?: undefined
      readonly pending: 0
    }

/** The state of one key. */
export interface LiveState<State> extends Live<Snapshot<State>> {
  /** The state, if it is there. */
  get(): State | undefined
}

/** One model on the device: call it with a key. The same key gives the same object while somebody subscribes to it. */
export interface ModelHandle<State, Commands = unknown, Index extends string = string> {
  (key: string): LiveState<State> & CommandCalls<Commands>
  /** All states in the order of their keys, or those that a query names. The same query gives the same object. */
  list(query?: ListQuery<Index>): LiveList<State>
}

/** The models of a client, by name. */
export type ModelHandles<M extends Readonly<Record<string, AnyModel>>> = {
  readonly [Name in keyof M]: ModelHandle<StateOf<M[Name]>, CommandsOf<M[Name]>, IndexesOf<M[Name]>>
}
