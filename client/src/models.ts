/**
 * States folded on the device: confirmed entries first, the pending events laid over them. What a key
 * shows changes in one step when a pending event's entry arrives, so nothing flickers or counts twice.
 */
import {
  type AnyModel,
  assert,
  type Cancel,
  type CommandsOf,
  type DomainEvent,
  type Entry,
  type EventId,
  fold,
  type StateOf,
} from '@tidemark/shared'
import type { CommandCalls, ExecuteOptions } from './execute.ts'
import { type Live, Listeners } from './live.ts'

/** A state that is there, as one moment saw it. */
export interface PresentState<State> {
  readonly status: 'present'
  readonly key: string
  /** With the pending events in it. */
  readonly state: State
  /** Without them; absent where no entry has been confirmed yet. */
  readonly confirmed: State | undefined
  /** How many pending events are in `state`. */
  readonly pending: number
}

/** A state as one moment saw it: `loading` until the device has read its disk, `absent` where no event has made it. */
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

/** All states of a model, in the order of their keys. Those that did not change are the same objects as before. */
export type LiveList<State> = Live<{
  readonly status: 'loading' | 'ready'
  readonly items: readonly PresentState<State>[]
}>

/** One model on the device: call it with a key. The same key gives the same object. */
export interface ModelHandle<State, Commands = unknown> {
  (key: string): LiveState<State> & CommandCalls<Commands>
  list(): LiveList<State>
}

/** The models of a client, by name. */
export type ModelHandles<M extends Readonly<Record<string, AnyModel>>> = {
  readonly [Name in keyof M]: ModelHandle<StateOf<M[Name]>, CommandsOf<M[Name]>>
}

/** Calls a command on a key. */
export type Call = (
  key: string,
  command: string,
  input: unknown,
  options: ExecuteOptions | undefined,
) => Promise<unknown>

type ListSnapshot = ReturnType<LiveList<unknown>['getSnapshot']>

const loadingList: ListSnapshot = { status: 'loading', items: [] }

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

/** One model's states, and those who look at them. */
export class ModelView {
  readonly model: AnyModel
  /** Its name in this client. */
  readonly name: string
  readonly #onError: (error: unknown) => void
  readonly #onDegraded: () => void
  /** What is shown; nothing before the disk has been read. */
  #states: Map<string, unknown> | undefined
  /** What is being folded anew, while the old goes on being shown. */
  #rebuilt: Map<string, unknown> | undefined
  /** Pending events by key, in the order they were appended. */
  readonly #overlays = new Map<string, Map<EventId, DomainEvent>>()
  readonly #keysById = new Map<EventId, string>()

  readonly #handles = new Map<string, LiveState<unknown>>()
  readonly #snapshots = new Map<string, Snapshot<unknown>>()
  readonly #listeners = new Map<string, Listeners>()
  readonly #listListeners: Listeners
  #list: ListSnapshot | undefined
  /** All keys in order, until one comes or goes. */
  #keys: string[] | undefined
  /** The keys to notify of. */
  #changed = new Set<string>()
  #listChanged = false

  /** `onError` hears of a fold that throws; the event that it threw on leaves the state as it was. */
  constructor(
    name: string,
    model: AnyModel,
    onError: (error: unknown) => void,
    onDegraded: () => void,
  ) {
    this.name = name
    this.model = model
    this.#onError = onError
    this.#onDegraded = onDegraded
    this.#listListeners = new Listeners(onError)
  }

  get topic(): string {
    return this.model.topic.name
  }

  /** What apps call. */
  handle(call: Call): ModelHandle<unknown> {
    const list: LiveList<unknown> = {
      getSnapshot: () => (this.#list ??= this.#takeList()),
      getInitialSnapshot: () => loadingList,
      subscribe: (changed) => this.#listListeners.add(changed),
    }
    return Object.assign((key: string) => this.#state(key, call), { list: () => list })
  }

  /** Starts to fold from the log's beginning. */
  restart(): void {
    this.#rebuilt = new Map()
  }

  /** Folds confirmed entries, in the log's order. */
  fold(entries: readonly Entry[]): void {
    const states = this.#rebuilt ?? this.#states
    if (!states) return
    for (const entry of entries) {
      const key = this.#keyOf(entry)
      if (key === undefined) continue
      if (!states.has(key)) this.#keys = undefined
      states.set(key, this.#step(states.has(key) ? states.get(key) : this.model.initial, entry))
      if (!this.#rebuilt) this.#touch(key)
    }
  }

  /** Shows what has been folded since `restart`. */
  complete(): void {
    if (!this.#rebuilt) return
    const before = this.#states
    this.#states = this.#rebuilt
    this.#rebuilt = undefined
    this.#keys = undefined
    this.#snapshots.clear()
    const keys = [before, this.#listeners, this.#states].flatMap((each) => [
      ...(each?.keys() ?? []),
    ])
    for (const key of keys) this.#touch(key)
    this.#listChanged = true
  }

  /** Lays a pending event over its key. */
  lay(event: DomainEvent): void {
    const key = this.#keyOf(event)
    if (key === undefined || this.#keysById.has(event.id)) return
    let overlay = this.#overlays.get(key)
    if (!overlay) {
      this.#overlays.set(key, (overlay = new Map()))
      this.#keys = undefined
    }
    overlay.set(event.id, event)
    this.#keysById.set(event.id, key)
    this.#touch(key)
  }

  /** Takes a pending event away: it has been folded, or never will be. */
  lift(id: EventId): void {
    const key = this.#keysById.get(id)
    if (key === undefined) return
    const overlay = this.#overlays.get(key)
    this.#keysById.delete(id)
    overlay?.delete(id)
    if (overlay?.size === 0) {
      this.#overlays.delete(key)
      this.#keys = undefined
    }
    this.#touch(key)
  }

  /** Tells the listeners of every key that changed since the last time. */
  notify(): void {
    const changed = this.#changed
    this.#changed = new Set()
    for (const key of changed) this.#listeners.get(key)?.notify()
    if (!this.#listChanged) return
    this.#listChanged = false
    this.#listListeners.notify()
  }

  /** The state of a key as a decision sees it: confirmed, and with all pending events but those in `except`. */
  stateFor(key: string, except: ReadonlySet<EventId>): unknown {
    const events = [...(this.#overlays.get(key)?.values() ?? [])].filter(
      ({ id }) => !except.has(id),
    )
    return events.reduce((state, event) => this.#step(state, event), this.confirmed(key))
  }

  /** The state of a key without what is pending. */
  confirmed(key: string): unknown {
    return this.#states?.has(key) ? this.#states.get(key) : this.model.initial
  }

  /** Is this what the model declares to take an event back? */
  isCompensation(event: DomainEvent, by: DomainEvent): boolean {
    const { topic, compensations } = this.model
    const compensation = topic.name === event.topic ? compensations[event.type] : undefined
    if (!compensation || by.stream !== event.stream) return false
    const drafts = this.#attempt(() => compensation(event, topic.stream(event.stream)), [])
    return [drafts].flat().some(({ type }) => type === by.type)
  }

  /** A fold or a command of this model has thrown. */
  degrade(error: unknown): void {
    this.#onDegraded()
    this.#onError(error)
  }

  #state(key: string, call: Call): LiveState<unknown> {
    let handle = this.#handles.get(key)
    if (!handle) {
      const loading: Snapshot<unknown> = { status: 'loading', key, pending: 0 }
      handle = {
        get: () => this.#snapshot(key).state,
        getSnapshot: () => this.#snapshot(key),
        getInitialSnapshot: () => loading,
        subscribe: (changed) => this.#subscribe(key, changed),
      }
      for (const name of Object.keys(this.model.commands as object)) {
        assert(!(name in handle), `a command cannot be called ${name}`)
        Object.assign(handle, {
          [name]: (input: unknown, options?: ExecuteOptions) => call(key, name, input, options),
        })
      }
      this.#handles.set(key, handle)
    }
    return handle
  }

  #subscribe(key: string, changed: () => void): Cancel {
    let listeners = this.#listeners.get(key)
    if (!listeners) this.#listeners.set(key, (listeners = new Listeners(this.#onError)))
    const stop = listeners.add(changed)
    return () => {
      stop()
      if (listeners.size === 0 && this.#listeners.get(key) === listeners) {
        this.#listeners.delete(key)
      }
    }
  }

  #snapshot(key: string): Snapshot<unknown> {
    let snapshot = this.#snapshots.get(key)
    if (!snapshot) this.#snapshots.set(key, (snapshot = this.#takeSnapshot(key)))
    return snapshot
  }

  #takeSnapshot(key: string): Snapshot<unknown> {
    const states = this.#states
    if (!states) return { status: 'loading', key, pending: 0 }
    const overlay = this.#overlays.get(key)
    if (!overlay && !states.has(key)) return { status: 'absent', key, pending: 0 }
    const confirmed = states.get(key)
    let state = states.has(key) ? confirmed : this.model.initial
    for (const event of overlay?.values() ?? []) state = this.#step(state, event)
    return { status: 'present', key, state, confirmed, pending: overlay?.size ?? 0 }
  }

  #takeList(): ListSnapshot {
    if (!this.#states) return loadingList
    this.#keys ??= [...new Set([...this.#states.keys(), ...this.#overlays.keys()])].sort(compare)
    const items = this.#keys
      .map((key) => this.#snapshot(key))
      .filter((each) => each.status === 'present')
    return { status: 'ready', items }
  }

  #touch(key: string): void {
    this.#changed.add(key)
    this.#snapshots.delete(key)
    this.#list = undefined
    this.#listChanged = true
  }

  #keyOf(event: DomainEvent): string | undefined {
    if (!Object.hasOwn(this.model.on, event.type)) return undefined
    return this.#attempt(() => this.model.key(event), undefined)
  }

  #step(state: unknown, event: DomainEvent): unknown {
    return this.#attempt(() => fold(this.model, state, event), state)
  }

  #attempt<Result>(run: () => Result, otherwise: Result): Result {
    try {
      return run()
    } catch (error) {
      this.degrade(error)
      return otherwise
    }
  }
}
