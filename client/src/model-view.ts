/**
 * A model as a tab shows it: confirmed states with the pending events laid over them. What a key shows changes
 * in one step when a pending event's entry arrives, so nothing flickers or counts twice.
 */
import {
  type AnyModel,
  assert,
  type Cancel,
  type DomainEvent,
  type Entry,
  type EventId,
  fold,
  type IndexValue,
} from '@tidemark/shared'
import { Builds } from './builds.ts'
import type { Folding } from './cells.ts'
import type { ExecuteOptions } from './execute.ts'
import { type ListQuery, type ListSource, ListView } from './lists.ts'
import { Listeners } from './live.ts'
import type { LiveState, ModelHandle, PresentState, Snapshot } from './models.ts'
import { Overlay } from './overlay.ts'
import type { StateRow, Want } from './store/store.ts'

/** Calls a command on a key. */
export type Call = (
  key: string,
  command: string,
  input: unknown,
  options: ExecuteOptions | undefined,
) => Promise<unknown>

/** What a view is made of. */
export interface ModelViewOptions {
  /** The model's name in this client. */
  readonly name: string
  readonly model: AnyModel
  /** How many keys there is room for in memory. */
  readonly keysMax: number
  /** Hears of a fold that throws; the event that it threw on leaves the state as it was. */
  readonly onError: (error: unknown) => void
  readonly onDegraded: () => void
}

/** How many lists are remembered that nobody listens to, and how many keys at all. */
const idleListsMax = 50
const keysKnownMax = 10_000

/** One model's states, and those who look at them. */
export class ModelView {
  readonly name: string
  readonly model: AnyModel
  readonly builds: Builds
  readonly #onError: (error: unknown) => void
  readonly #onDegraded: () => void
  #onWanted: () => void = () => undefined
  readonly #overlay = new Overlay()
  /** Pending again since the log was restored without them, while what is shown still has them. */
  readonly #stillShown = new Set<EventId>()

  readonly #handles = new Map<string, LiveState<unknown>>()
  readonly #snapshots = new Map<string, Snapshot<unknown>>()
  readonly #listeners = new Map<string, Listeners>()
  /** All that are kept up to date. */
  readonly #lists = new Set<ListView>()
  readonly #listOf = new Map<string, ListView>()
  /** Those that nobody listens to, the last used last. */
  readonly #idleLists = new Set<ListView>()
  readonly #source: ListSource
  /** The keys to notify of. */
  #changed = new Set<string>()
  #areListsChanged = false

  constructor({ name, model, keysMax, onError, onDegraded }: ModelViewOptions) {
    this.name = name
    this.model = model
    this.#onError = onError
    this.#onDegraded = onDegraded
    this.builds = new Builds({
      name,
      model,
      keysMax,
      folding: this.#toFolding(),
      onChanged: (key) => this.#touch(key),
      onSwapped: () => this.#swap(),
      onEvicted: (keys) => this.#forget(keys),
      isPinned: (key) => this.#isPinned(key),
    })
    this.#source = this.#toSource()
  }

  get topic(): string {
    return this.model.topic.name
  }

  /** What apps call. */
  handle(call: Call): ModelHandle<unknown> {
    return Object.assign((key: string) => this.#state(key, call), {
      list: (query: ListQuery = {}) => this.#list(query),
    })
  }

  /** Calls `heard` whenever states are to be read from the disk. */
  onWanted(heard: () => void): void {
    this.#onWanted = heard
  }

  /** Folds confirmed entries, in the log's order. */
  fold(entries: readonly Entry[]): void {
    this.builds.fold(entries)
  }

  /** Lays a pending event over its key. */
  lay(event: DomainEvent, isOfferedAgain = false): void {
    const key = this.#keyOf(event)
    if (key === undefined) return
    if (isOfferedAgain && this.builds.isRebuilding) this.#stillShown.add(event.id)
    if (!this.#overlay.has(key) && !this.builds.knows(key)) this.want(key)
    this.#overlay.lay(key, event)
    this.#touch(key)
  }

  /** Takes a pending event away: it has been folded, or never will be. */
  lift(id: EventId): void {
    const key = this.#overlay.lift(id)
    if (key !== undefined) this.#touch(key)
  }

  /** Tells the listeners of every key that changed since the last time. */
  notify(): void {
    const changed = this.#changed
    this.#changed = new Set()
    for (const key of changed) this.#listeners.get(key)?.notify()
    if (!this.#areListsChanged) return
    this.#areListsChanged = false
    for (const list of this.#lists) list.notify()
  }

  /** Asks for the state of a key, which is then there after the next load. */
  want(key: string): void {
    this.builds.shown?.want(key)
    this.#onWanted()
  }

  /** What is to be read from the disk. */
  wants(): readonly Want[] {
    const { shown } = this.builds
    const lists = shown ? [...this.#lists].map((list) => list.wants(shown)) : []
    return [...this.builds.wants(), ...lists.filter((want) => want !== undefined)]
  }

  /** Takes what was read, when memory is no older than the disk was. */
  take(want: Want, rows: readonly StateRow[] | undefined): void {
    this.builds.take(want, rows)
    if (rows) for (const list of this.#lists) list.take(want, rows)
    this.#areListsChanged = true
  }

  /** The state of a key as a decision sees it: confirmed, and with all pending events but those in `except`. */
  stateFor(key: string, except: ReadonlySet<EventId>): unknown {
    let state = this.confirmed(key)
    for (const event of this.#overlay.of(key).values()) {
      if (!except.has(event.id)) state = this.#step(state, event)
    }
    return state
  }

  /** The state of a key without what is pending, as far as memory has it. */
  confirmed(key: string): unknown {
    return this.builds.shown?.get(key)?.state ?? this.model.initial
  }

  /** The revision of the newest entry of a stream, as far as memory has it. */
  revision(stream: string): number {
    return this.builds.shown?.get(stream)?.revision ?? 0
  }

  /** Something of this model has thrown, or cannot be stored. */
  degrade(error: unknown): void {
    this.#onDegraded()
    this.#onError(error)
  }

  #state(key: string, call: Call): LiveState<unknown> {
    let handle = this.#handles.get(key)
    if (!handle) {
      const initial = loading(key)
      handle = {
        get: () => this.#snapshot(key).state,
        getSnapshot: () => this.#snapshot(key),
        getInitialSnapshot: () => initial,
        subscribe: (changed) => this.#subscribe(key, changed),
      }
      for (const name of Object.keys(this.model.commands as object)) {
        assert(!(name in handle), `a command cannot be called ${name}`)
        Object.assign(handle, {
          [name]: (input: unknown, options?: ExecuteOptions) => call(key, name, input, options),
        })
      }
      if (this.#handles.size >= keysKnownMax) this.#forgetKey()
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

  /** Makes room for another key. What is shown of one that is present may be in a list, and stays. */
  #forgetKey(): void {
    for (const key of this.#handles.keys()) {
      if (this.#listeners.has(key)) continue
      this.#handles.delete(key)
      const snapshot = this.#snapshots.get(key)
      if (snapshot && !isPresent(snapshot)) this.#snapshots.delete(key)
      return
    }
  }

  #snapshot(key: string): Snapshot<unknown> {
    let snapshot = this.#snapshots.get(key)
    if (!snapshot) this.#snapshots.set(key, (snapshot = this.#takeSnapshot(key)))
    return snapshot
  }

  #takeSnapshot(key: string): Snapshot<unknown> {
    const { shown, isOther, isRebuilding } = this.builds
    const cell = shown?.get(key)
    if (!cell) {
      this.want(key)
      return loading(key)
    }
    const confirmed = cell.state
    const overlay = this.#overlay.of(key)
    const pending = overlay.size
    if (confirmed === undefined && (isOther || pending === 0)) {
      return isRebuilding ? loading(key) : { status: 'absent', key, pending: 0 }
    }
    let state = confirmed === undefined ? this.model.initial : confirmed
    // A state of another version may have another shape, which these folds do not know.
    for (const event of isOther ? [] : overlay.values()) {
      if (!this.#stillShown.has(event.id)) state = this.#step(state, event)
    }
    return { status: isRebuilding ? 'rebuilding' : 'present', key, state, confirmed, pending }
  }

  #list(query: ListQuery): ListView {
    const { where = {}, orderBy, descending, limit } = query
    const conditions = Object.entries(where).sort()
    // JSON has no word for numbers that are not finite.
    const name = JSON.stringify([conditions, orderBy, descending, limit], (_name, value) =>
      typeof value === 'number' ? [`${value}`] : (value as unknown),
    )
    const list = this.#listOf.get(name) ?? new ListView(this.#source, name, query)
    this.#useList(list)
    return list
  }

  /** One that was dropped may still be held, and comes back when it is used. */
  #useList(list: ListView): void {
    if (!this.#lists.has(list)) {
      this.#lists.add(list)
      if (!this.#listOf.has(list.name)) this.#listOf.set(list.name, list)
      // It has not heard of what has changed meanwhile.
      list.forget()
    }
    const idle = this.#idleLists
    idle.delete(list)
    if (list.isIdle) idle.add(list)
    const [oldest] = idle
    if (!oldest || idle.size <= idleListsMax) return
    for (const lists of [idle, this.#lists]) lists.delete(oldest)
    if (this.#listOf.get(oldest.name) === oldest) this.#listOf.delete(oldest.name)
  }

  #toSource(): ListSource {
    return {
      indexNames: new Set(Object.keys(this.model.indexes)),
      shown: () => this.builds.shown,
      isRebuilding: () => this.builds.isRebuilding,
      unwritten: () => (this.builds.shown?.dirty ?? 0) + this.#overlay.size,
      keys: () => new Set([...(this.builds.shown?.keys() ?? []), ...this.#overlay.keys()]),
      present: (key) => {
        const snapshot = this.#snapshot(key)
        return isPresent(snapshot) ? snapshot : undefined
      },
      indexed: (state, index) => this.#indexOf(state, index),
      onWanted: () => this.#onWanted(),
      onUsed: (list) => this.#useList(list),
      onError: (error) => this.#onError(error),
    }
  }

  #isPinned(key: string): boolean {
    return (
      this.#overlay.has(key) ||
      this.#listeners.has(key) ||
      [...this.#lists].some((list) => list.isPinned(key))
    )
  }

  #touch(key: string): void {
    this.#changed.add(key)
    this.#snapshots.delete(key)
    for (const list of this.#lists) list.touch(key)
    this.#areListsChanged = true
  }

  /** Other states are shown, or more of them are in memory. */
  #swap(): void {
    if (!this.builds.isRebuilding) this.#stillShown.clear()
    this.#snapshots.clear()
    for (const key of [...this.#overlay.keys(), ...this.builds.held]) this.want(key)
    for (const key of this.#listeners.keys()) this.#changed.add(key)
    for (const list of this.#lists) list.forget()
    this.#areListsChanged = true
  }

  #forget(keys: readonly string[]): void {
    for (const key of keys) {
      this.#snapshots.delete(key)
      this.#handles.delete(key)
    }
    for (const list of this.#lists) list.forget()
  }

  #toFolding(): Folding {
    const { initial, isByStream } = this.model
    return {
      isByStream,
      initial,
      keyOf: (event) => this.#keyOf(event),
      step: (state, event) => this.#step(state, event),
      indexed: (state) => this.#indexed(state),
    }
  }

  #keyOf(event: DomainEvent): string | undefined {
    if (!Object.hasOwn(this.model.on, event.type)) return undefined
    return this.#attempt(() => this.model.key(event), undefined)
  }

  #step(state: unknown, event: DomainEvent): unknown {
    return this.#attempt(() => fold(this.model, state, event), state)
  }

  #indexed(state: unknown): Readonly<Record<string, IndexValue>> {
    const indexed: Record<string, IndexValue> = {}
    for (const name of Object.keys(this.model.indexes)) {
      const value = this.#indexOf(state, name)
      if (value !== undefined) indexed[name] = value
    }
    return indexed
  }

  #indexOf(state: unknown, name: string): IndexValue | undefined {
    const value = this.#attempt(() => this.model.indexes[name]?.(state), undefined)
    return typeof value === 'string' || Number.isFinite(value) ? value : undefined
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

const loading = (key: string): Snapshot<unknown> => ({ status: 'loading', key, pending: 0 })

const isPresent = (snapshot: Snapshot<unknown>): snapshot is PresentState<unknown> =>
  snapshot.status === 'present' || snapshot.status === 'rebuilding'
