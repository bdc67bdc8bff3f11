/**
 * A model on this device: confirmed states, the pending events laid over them. What a key shows changes in
 * one step when a pending event's entry arrives, so nothing flickers or counts twice.
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
  type Position,
} from '@tidemark/shared'
import { Cells, type Folding } from './cells.ts'
import type { ExecuteOptions } from './execute.ts'
import { type ListQuery, type ListSource, ListView } from './lists.ts'
import { Listeners } from './live.ts'
import { compareValues } from './order.ts'
import type { LiveState, ModelHandle, PresentState, Snapshot } from './models.ts'
import type { Checkpoint, StateRow, Want } from './store/store.ts'

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

/** One model's states, and those who look at them. */
export class ModelView {
  readonly name: string
  readonly model: AnyModel
  readonly #keysMax: number
  readonly #onError: (error: unknown) => void
  readonly #onDegraded: () => void
  /** Which builds are of this very code. */
  readonly #code: string
  #onWanted: () => void = () => undefined
  /** What the disk had at the start. */
  #checkpoints: readonly Checkpoint[] = []
  /** What is shown; nothing before the disk has been read. */
  #shown: Cells | undefined
  /** What is shown was folded by other code. */
  #isOther = false
  /** What is being folded anew, while what is shown stays as it is. */
  #next: Cells | undefined
  /** Pending events by key, in the order they were appended. */
  readonly #overlays = new Map<string, Map<EventId, DomainEvent>>()
  readonly #keysById = new Map<EventId, string>()
  #overlayShape = 0

  readonly #handles = new Map<string, LiveState<unknown>>()
  readonly #snapshots = new Map<string, Snapshot<unknown>>()
  readonly #listeners = new Map<string, Listeners>()
  readonly #held = new Map<string, number>()
  readonly #lists = new Map<string, ListView>()
  readonly #source: ListSource
  /** All keys in memory, in order, until one comes or goes. */
  #keys: { readonly shape: string; readonly sorted: readonly string[] } | undefined
  /** The keys to notify of. */
  #changed = new Set<string>()
  #areListsChanged = false

  constructor({ name, model, keysMax, onError, onDegraded }: ModelViewOptions) {
    this.name = name
    this.model = model
    this.#keysMax = keysMax
    this.#onError = onError
    this.#onDegraded = onDegraded
    this.#code = `${name}@${model.version}${fingerprint(model)}`
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

  /**
   * Takes up what the disk has of this model. Answers with the position that its states are at and how often
   * the log had been rewound then, or with nothing where it has to be folded anew.
   */
  start(
    all: readonly Checkpoint[],
  ): { readonly position: Position; readonly rewinds: number } | undefined {
    this.#checkpoints = all.filter(({ model }) => model === this.name)
    const complete = this.#checkpoints.filter(({ isComplete }) => isComplete)
    const own = complete.findLast(({ build }) => build.startsWith(`${this.#code}~`))
    const last = own ?? complete.at(-1)
    this.#shown = last && this.#cellsOf(last, true)
    this.#isOther = own === undefined
    return own && { position: own.position, rewinds: Number(own.build.split('~').at(-1)) }
  }

  /** The log has been rewound this often: what was folded before the last time is folded anew. */
  begin(rewinds: number): void {
    const build = `${this.#code}~${rewinds}`
    if ((this.#next ?? this.#shown)?.build === build) return
    const found = this.#checkpoints.find((each) => each.build === build)
    const fresh = { build, model: this.name, position: 0 as Position, isComplete: false }
    this.#next = this.#cellsOf(found ?? fresh, found !== undefined)
    this.#touchAll()
  }

  /** How far is what is being folded anew? Nothing where nothing is. */
  get building(): Position | undefined {
    return this.#next?.position
  }

  /** Folds entries for what is being folded anew. */
  build(entries: readonly Entry[]): void {
    this.#next?.fold(entries, () => undefined)
  }

  /** Shows what has been folded anew. */
  complete(): void {
    assert(this.#next, 'something is being folded anew')
    this.#shown = this.#next
    this.#next = undefined
    this.#isOther = false
    this.#checkpoints = []
    for (const key of [...this.#overlays.keys(), ...this.#held.keys()]) this.#shown.want(key)
    for (const list of this.#lists.values()) list.evicted()
    this.#touchAll()
  }

  /** Folds confirmed entries, in the log's order. */
  fold(entries: readonly Entry[]): void {
    if (!this.#next) this.#shown?.fold(entries, (key) => this.#touch(key))
  }

  /** What is to be read from the disk. */
  wants(): readonly Want[] {
    const shown = this.#shown
    const lists = shown ? [...this.#lists.values()].map((list) => list.wants(shown)) : []
    return [shown?.wants(), this.#next?.wants(), ...lists].filter((want) => want !== undefined)
  }

  /** Takes what was read, when memory is no older than the disk was. */
  take(want: Want, rows: readonly StateRow[]): void {
    if (want.build === this.#next?.build) this.#next.take(want, rows)
    const shown = this.#shown
    if (want.build !== shown?.build) return
    // Before, so that what is read now can be looked at once.
    this.#evict(shown)
    const wasWhole = shown.isWhole
    for (const key of shown.take(want, rows)) this.#touch(key)
    if (shown.isWhole && !wasWhole) this.#touchAll()
    for (const list of this.#lists.values()) list.take(want, rows)
    this.#areListsChanged = true
  }

  /** Asks for everything that has to be known before it can be written. */
  wantDirty(): void {
    this.#written?.wantDirty()
  }

  /** Has something changed that is not on the disk? */
  get isDirty(): boolean {
    return this.#written?.isDirty(this.#next === undefined) ?? false
  }

  /** There is more in memory than there is room for, because it has not been written. */
  get isFull(): boolean {
    return (this.#written?.dirty ?? 0) > this.#keysMax
  }

  /** What is to be written, or nothing. */
  toWrite() {
    const cells = this.#written
    const found = cells?.toWrite(this.#next === undefined)
    if (!cells || !found) return undefined
    const { position, after, isComplete, rows } = found
    const to: Checkpoint = { build: cells.build, model: this.name, position, isComplete }
    return { to, after, rows }
  }

  /** The disk has answered what was written with where it is; nothing where the build is gone. */
  written(to: Checkpoint, position: Position | undefined): void {
    const cells = this.#written
    if (cells?.build !== to.build) return
    if (position === undefined) {
      // Other tabs with other code have taken its place.
      this.#next = this.#cellsOf({ ...to, position: 0 as Position, isComplete: false }, false)
      return this.#touchAll()
    }
    cells.written(position, to.isComplete)
    this.#evict(cells)
  }

  /** Lays a pending event over its key. */
  lay(event: DomainEvent): void {
    const key = this.#keyOf(event)
    if (key === undefined || this.#keysById.has(event.id)) return
    let overlay = this.#overlays.get(key)
    if (!overlay) {
      this.#overlays.set(key, (overlay = new Map()))
      this.#overlayShape += 1
      if (!this.knows(key)) this.want(key)
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
      this.#overlayShape += 1
    }
    this.#touch(key)
  }

  /** Tells the listeners of every key that changed since the last time. */
  notify(): void {
    const changed = this.#changed
    this.#changed = new Set()
    for (const key of changed) this.#listeners.get(key)?.notify()
    if (!this.#areListsChanged) return
    this.#areListsChanged = false
    for (const list of this.#lists.values()) list.notify()
  }

  /** Is the state of this key in memory, and is it this model's? */
  knows(key: string): boolean {
    return !this.#next && this.#shown?.get(key) !== undefined
  }

  /** Asks for the state of a key, which is then there after the next load. */
  want(key: string): void {
    this.#shown?.want(key)
    this.#onWanted()
  }

  /** Keeps the state of a key in memory once it is there. */
  hold(key: string): Cancel {
    this.#held.set(key, (this.#held.get(key) ?? 0) + 1)
    return () => {
      const held = (this.#held.get(key) ?? 1) - 1
      if (held > 0) this.#held.set(key, held)
      else this.#held.delete(key)
    }
  }

  /** The state of a key as a decision sees it: confirmed, and with all pending events but those in `except`. */
  stateFor(key: string, except: ReadonlySet<EventId>): unknown {
    const events = [...(this.#overlays.get(key)?.values() ?? [])].filter(
      ({ id }) => !except.has(id),
    )
    return events.reduce((state, event) => this.#step(state, event), this.confirmed(key))
  }

  /** The state of a key without what is pending, as far as memory has it. */
  confirmed(key: string): unknown {
    return this.#shown?.get(key)?.state ?? this.model.initial
  }

  /** The revision of the newest entry of a stream, as far as memory has it. */
  revision(stream: string): number {
    return this.#shown?.get(stream)?.revision ?? 0
  }

  /** Is this what the model declares to take an event back? */
  isCompensation(event: DomainEvent, by: DomainEvent): boolean {
    const { topic, compensations } = this.model
    const compensation = topic.name === event.topic ? compensations[event.type] : undefined
    if (!compensation || by.stream !== event.stream) return false
    const drafts = this.#attempt(() => compensation(event, topic.stream(event.stream)), [])
    return [drafts].flat().some(({ type }) => type === by.type)
  }

  /** Something of this model has thrown, or cannot be stored. */
  degrade(error: unknown): void {
    this.#onDegraded()
    this.#onError(error)
  }

  /** What is written behind: what is shown stays as it is while the next is folded. */
  get #written(): Cells | undefined {
    return this.#next ?? (this.#isOther ? undefined : this.#shown)
  }

  #cellsOf(checkpoint: Checkpoint, isWritten: boolean): Cells {
    const folding: Folding = {
      isByStream: this.model.isByStream,
      initial: this.model.initial,
      keyOf: (event) => this.#keyOf(event),
      step: (state, event) => this.#step(state, event),
      indexed: (state) => this.#indexed(state),
    }
    return new Cells({ checkpoint, isWritten, folding, keysMax: this.#keysMax })
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
      this.#handles.set(key, handle)
    }
    return handle
  }

  #list(query: ListQuery): ListView {
    const { where = {}, orderBy, descending, limit } = query
    const conditions = Object.entries(where).sort(([a], [b]) => compareValues(a, b))
    const name = JSON.stringify([conditions, orderBy, descending, limit])
    let list = this.#lists.get(name)
    if (!list) this.#lists.set(name, (list = new ListView(this.#source, query)))
    return list
  }

  #toSource(): ListSource {
    return {
      indexNames: new Set(Object.keys(this.model.indexes)),
      shown: () => this.#shown,
      isRebuilding: () => this.#next !== undefined,
      unwritten: () => (this.#shown?.dirty ?? 0) + this.#overlays.size,
      keys: () => this.#sortedKeys(),
      present: (key) => {
        const snapshot = this.#snapshot(key)
        return isPresent(snapshot) ? snapshot : undefined
      },
      indexed: (state, index) => this.#indexOf(state, index),
      onWanted: () => this.#onWanted(),
      onError: (error) => this.#onError(error),
    }
  }

  #sortedKeys(): readonly string[] {
    const shape = `${this.#shown?.build}/${this.#shown?.shape}/${this.#overlayShape}`
    if (this.#keys?.shape !== shape) {
      const keys = new Set([...(this.#shown?.keys() ?? []), ...this.#overlays.keys()])
      this.#keys = { shape, sorted: [...keys].sort(compareValues) }
    }
    return this.#keys.sorted
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
    if (!snapshot) {
      snapshot = this.#takeSnapshot(key)
      this.#snapshots.set(key, snapshot)
    }
    return snapshot
  }

  #takeSnapshot(key: string): Snapshot<unknown> {
    const cell = this.#shown?.get(key)
    if (!cell) {
      this.want(key)
      return loading(key)
    }
    const overlay = this.#isOther ? undefined : this.#overlays.get(key)
    const pending = this.#overlays.get(key)?.size ?? 0
    const status = this.#next ? 'rebuilding' : 'present'
    const confirmed = cell.state
    if (confirmed === undefined && !overlay) {
      return this.#next ? loading(key) : { status: 'absent', key, pending: 0 }
    }
    let state = confirmed === undefined ? this.model.initial : confirmed
    for (const event of overlay?.values() ?? []) state = this.#step(state, event)
    return { status, key, state, confirmed, pending }
  }

  #evict(cells: Cells): void {
    const gone = cells.evict((key) => this.#isPinned(key))
    if (cells !== this.#shown || gone.length === 0) return
    for (const key of gone) {
      this.#snapshots.delete(key)
      this.#handles.delete(key)
    }
    for (const list of this.#lists.values()) list.evicted()
  }

  #isPinned(key: string): boolean {
    return (
      this.#overlays.has(key) ||
      this.#listeners.has(key) ||
      this.#held.has(key) ||
      [...this.#lists.values()].some((list) => list.isPinned(key))
    )
  }

  #touch(key: string): void {
    this.#changed.add(key)
    this.#snapshots.delete(key)
    for (const list of this.#lists.values()) list.touch()
    this.#areListsChanged = true
  }

  #touchAll(): void {
    this.#snapshots.clear()
    for (const key of this.#listeners.keys()) this.#changed.add(key)
    for (const list of this.#lists.values()) list.touch()
    this.#areListsChanged = true
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

/**
 * While an app is being developed, a fold that was edited is other code, whether its version was raised or
 * not. In production only the version counts: what a minifier makes of a fold differs with every build.
 */
function fingerprint({ initial, key, on, indexes }: AnyModel): string {
  if (isProduction()) return ''
  const parts = [initial, String(key), ...[on, indexes].map(sourceOf)]
  let hash = 0
  for (const char of JSON.stringify(parts)) hash = (Math.imul(hash, 31) + char.charCodeAt(0)) | 0
  return `#${(hash >>> 0).toString(36)}`
}

const sourceOf = (functions: object): readonly string[] =>
  Object.entries(functions).map(([name, each]) => `${name}: ${String(each)}`)

/** Bundlers put the answer here; where there is none, nobody has built for production. */
function isProduction(): boolean {
  try {
    return process.env.NODE_ENV === 'production'
  } catch {
    return false
  }
}
