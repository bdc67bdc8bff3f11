/**
 * Lists of a model's states. Where all states are in memory they are arranged there; where they are not,
 * the disk answers with those that come first, and what memory knows better is arranged among them.
 */
import { type Cancel, type IndexValue, TidemarkError } from '@tidemark/shared'
import type { Cells } from './cells.ts'
import { type Live, Listeners } from './live.ts'
import type { PresentState } from './models.ts'
import { compareValues, isWithin, type Range } from './order.ts'
import type { StateRange, StateRow, Want } from './store/store.ts'

/** A value, or a range with both ends included. In one whose end comes before its beginning there is nothing. */
export type Condition = IndexValue | Range

/**
 * Which states a list has, and in which order. A state without a value in an index that is named here is
 * not in the list.
 */
export interface ListQuery<Index extends string = string> {
  /** Conditions on indexes of the model, all of which hold. */
  readonly where?: { readonly [Name in Index]?: Condition }
  /** An index of the model; the keys unless said otherwise. What is equal there is in the order of the keys. */
  readonly orderBy?: Index
  readonly descending?: boolean
  /** How many states at most: a whole number from 0 on, or `Infinity`. */
  readonly limit?: number
}

/** States of a model, in order. Those that did not change are the same objects as before. */
export type LiveList<State> = Live<{
  /** `rebuilding`: what is shown is of another version of the model, until this one has been folded. */
  readonly status: 'loading' | 'ready' | 'rebuilding'
  readonly items: readonly PresentState<State>[]
}>

type ListSnapshot = ReturnType<LiveList<unknown>['getSnapshot']>

/** What a list needs of its model. */
export interface ListSource {
  readonly indexNames: ReadonlySet<string>
  /** Nothing before the disk has been read. */
  shown(): Cells | undefined
  isRebuilding(): boolean
  /** How many keys may be somewhere else than the disk says. */
  unwritten(): number
  /** All keys in memory. */
  keys(): ReadonlySet<string>
  present(key: string): PresentState<unknown> | undefined
  indexed(state: unknown, index: string): IndexValue | undefined
  onWanted(): void
  /** A list is read or listened to, or is not listened to any more. */
  onUsed(list: ListView): void
  onError(error: unknown): void
}

/** What the disk has answered. */
interface Base {
  readonly keys: ReadonlySet<string>
  /** There is more behind this one. */
  readonly horizon: Placed | undefined
}

interface Placed {
  readonly key: string
  readonly value: IndexValue
}

interface Found {
  readonly place: Placed
  readonly item: PresentState<unknown>
}

const loading: ListSnapshot = { status: 'loading', items: [] }

/** More than the limit, so that a few that leave the list are followed by others at once. */
const spare = 64

/** One query's list. */
export class ListView implements LiveList<unknown> {
  /** Its query, as text. */
  readonly name: string
  readonly #source: ListSource
  readonly #query: ListQuery
  readonly #listeners: Listeners
  #snapshot: ListSnapshot | undefined
  #isStale = true
  /** All that may be in the list, in its order, as it was before these keys changed. */
  #found: readonly Found[] | undefined
  readonly #touched = new Set<string>()
  #base: Base | undefined
  #isWanting = false
  #want: Want | undefined

  /** `name` is the query as text. Throws `QUERY_INVALID`. */
  constructor(source: ListSource, name: string, query: ListQuery) {
    if (!isValid(source.indexNames, query))
      throw new TidemarkError('QUERY_INVALID', { query: name })
    this.name = name
    this.#source = source
    this.#query = query
    this.#listeners = new Listeners((error) => source.onError(error))
  }

  /** Does nobody listen? */
  get isIdle(): boolean {
    return this.#listeners.size === 0
  }

  getSnapshot(): ListSnapshot {
    if (this.isIdle) this.#source.onUsed(this)
    if (this.#isStale || !this.#snapshot) {
      const next = this.#arrange()
      if (!this.#snapshot || !isSame(this.#snapshot, next)) this.#snapshot = next
      this.#isStale = false
    }
    return this.#snapshot
  }

  getInitialSnapshot(): ListSnapshot {
    return loading
  }

  subscribe(changed: () => void): Cancel {
    const stop = this.#listeners.add(changed)
    this.#source.onUsed(this)
    return () => {
      stop()
      this.#source.onUsed(this)
    }
  }

  /** Is the state of this key to stay in memory? */
  isPinned(key: string): boolean {
    return !this.isIdle && this.#base?.keys.has(key) === true
  }

  /** A state has changed. */
  touch(key: string): void {
    this.#isStale = true
    if (this.#found) this.#touched.add(key)
  }

  notify(): void {
    this.#listeners.notify()
  }

  /** Keys have left memory, or other states are shown: what the disk has answered may lack what they have become. */
  forget(): void {
    this.#base = undefined
    this.#found = undefined
    this.#isStale = true
    this.#isWanting = false
    if (!this.isIdle) this.#ask()
  }

  /** What is to be read, or nothing. */
  wants(shown: Cells): Want | undefined {
    if (!this.#isWanting || shown.isWhole) return undefined
    this.#want = { build: shown.build, range: this.#range() }
    return this.#want
  }

  /** Takes what was read, where it was this list that wanted it. */
  take(want: Want, rows: readonly StateRow[]): void {
    if (want !== this.#want || !('range' in want)) return
    const last = rows.length < want.range.rowsMax ? undefined : rows.at(-1)
    this.#base = {
      keys: new Set(rows.map(({ key }) => key)),
      horizon: last && this.#placeRow(last),
    }
    this.#want = undefined
    this.#isWanting = false
    this.#isStale = true
  }

  #arrange(): ListSnapshot {
    const shown = this.#source.shown()
    if (!shown || (!shown.isWhole && !this.#base)) {
      this.#ask()
      return loading
    }
    const status = this.#source.isRebuilding() ? 'rebuilding' : 'ready'
    this.#found = this.#find(shown)
    this.#touched.clear()
    const listed = this.#found.slice(0, this.#query.limit)
    if (!shown.isWhole) this.#lookBehind(listed.at(-1)?.place, listed.length)
    return { status, items: listed.map(({ item }) => item) }
  }

  /** What did not change stays where it is: only the others are looked at, and sorting has little to do. */
  #find(shown: Cells): readonly Found[] {
    const keys = this.#found ? this.#touched : this.#allKeys(shown)
    const found = this.#found?.filter(({ item }) => !this.#touched.has(item.key)) ?? []
    for (const key of keys) {
      const item = this.#source.present(key)
      const place = item && this.#place(item)
      if (place) found.push({ place, item })
    }
    return found.sort((a, b) => this.#compare(a.place, b.place))
  }

  #allKeys(shown: Cells): Iterable<string> {
    const known = this.#source.keys()
    if (shown.isWhole) return known
    // What came while nobody asked for its key belongs to the list as well: to look at it is to ask for it.
    return new Set([...(this.#base?.keys ?? []), ...known, ...shown.unread()])
  }

  /** Where the list reaches beyond what the disk has answered, there may be others before its end. */
  #lookBehind(last: Placed | undefined, length: number): void {
    const horizon = this.#base?.horizon
    if (!horizon) return
    const isFull = length === this.#query.limit
    if (!isFull || (last && this.#compare(last, horizon) > 0)) this.#ask()
  }

  #ask(): void {
    if (this.#isWanting) return
    this.#isWanting = true
    this.#source.onWanted()
  }

  #place({ key, state }: PresentState<unknown>): Placed | undefined {
    const { where = {}, orderBy } = this.#query
    for (const [name, condition] of Object.entries(where)) {
      const value = this.#source.indexed(state, name)
      if (value === undefined || !isWithin(value, toRange(condition))) return undefined
    }
    const value = orderBy === undefined ? key : this.#source.indexed(state, orderBy)
    return value === undefined ? undefined : { key, value }
  }

  #placeRow({ key, indexed }: StateRow): Placed {
    const { orderBy } = this.#query
    return { key, value: (orderBy === undefined ? key : indexed[orderBy]) ?? key }
  }

  #compare(a: Placed, b: Placed): number {
    const order = compareValues(a.value, b.value) || compareValues(a.key, b.key)
    return this.#query.descending ? -order : order
  }

  /** What the disk is asked for: no more than the list can have, where one index can say what that is. */
  #range(): StateRange {
    const { where = {}, orderBy, descending, limit = Infinity } = this.#query
    const [first, ...others] = Object.entries(where)
    const rowsMax = limit + this.#source.unwritten() + spare
    if (!first) return { index: orderBy, descending, rowsMax }
    const [name, condition] = first
    const range = toRange(condition)
    const isOneValue = range.from !== undefined && range.from === range.to
    const isInOrder = orderBy === name || (orderBy === undefined && isOneValue)
    const isAll = others.length > 0 || !isInOrder
    return { index: name, ...range, descending, rowsMax: isAll ? Infinity : rowsMax }
  }
}

/** Can it be answered? A disk that cannot answer a list would not tell of anything else either. */
function isValid(known: ReadonlySet<string>, query: ListQuery): boolean {
  const { where = {}, orderBy, limit = 0 } = query
  return (
    (orderBy === undefined || known.has(orderBy)) &&
    limit >= 0 &&
    limit === Math.floor(limit) &&
    Object.entries(where).every(([name, condition]) => {
      const { from, to } = toRange(condition)
      return known.has(name) && isComparable(from) && isComparable(to)
    })
  )
}

const isComparable = (value: unknown): boolean =>
  value === undefined || typeof value === 'string' || value === Number(value)

function toRange(condition: Condition | undefined): Range {
  return typeof condition === 'object' ? condition : { from: condition, to: condition }
}

const isSame = (a: ListSnapshot, b: ListSnapshot): boolean =>
  a.status === b.status &&
  a.items.length === b.items.length &&
  a.items.every((item, at) => item === b.items[at])
