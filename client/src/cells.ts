/**
 * The confirmed states of one build in memory: those that somebody looks at, those that have changed since
 * they were last written, and as many of the others as there is room for. What is not here is on the disk.
 */
import type { DomainEvent, Entry, IndexValue, Position } from '@tidemark/shared'
import type { Checkpoint, StateRow, Want } from './store/store.ts'

/** The state of one key. */
interface Cell {
  /** Nothing where no entry has made one. */
  readonly state: unknown
  readonly revision: number
  /** Of the newest entry in it. */
  readonly position: number
  /** What is to be folded once what the disk has is known; until then the rest of the cell says nothing. */
  readonly tail?: Entry[]
}

/** How a model folds. Nothing of it throws. */
export interface Folding {
  readonly isByStream: boolean
  readonly initial: unknown
  /** The key of an event that the model folds. */
  readonly keyOf: (event: DomainEvent) => string | undefined
  /** The state after an event. */
  readonly step: (state: unknown, event: DomainEvent) => unknown
  /** What a state is found by. */
  readonly indexed: (state: unknown) => Readonly<Record<string, IndexValue>>
}

/** What cells are made of. */
export interface CellsOptions {
  /** Where they begin. */
  readonly checkpoint: Checkpoint
  /** The disk has them as far as that. */
  readonly isWritten: boolean
  readonly folding: Folding
  /** How many keys there is room for. */
  readonly keysMax: number
}

/** What `toWrite` answers with. */
interface Written {
  readonly position: Position
  readonly after: Position | undefined
  readonly isComplete: boolean
  readonly rows: readonly StateRow[]
}

/** Where there is no more room, as much is made at once as keeps it from happening all the time. */
const evictTo = 0.9

const none: Cell = { state: undefined, revision: 0, position: 0 }

/** The states of one build. */
export class Cells {
  readonly build: string
  readonly #folding: Folding
  readonly #keysMax: number
  readonly #cells = new Map<string, Cell>()
  /** What has changed since it was written. */
  readonly #dirty = new Set<string>()
  readonly #wanted = new Set<string>()
  #position: Position
  /** How far the disk is; nothing where it has not heard of this build. */
  #written: Position | undefined
  #isWrittenComplete: boolean
  /** A key that is not here has no state. */
  #isWhole: boolean
  /** Everything has been asked for, and there was too much of it. */
  #isPart = false

  constructor({ checkpoint, isWritten, folding, keysMax }: CellsOptions) {
    this.build = checkpoint.build
    this.#folding = folding
    this.#keysMax = keysMax
    this.#position = checkpoint.position
    this.#written = isWritten ? checkpoint.position : undefined
    this.#isWrittenComplete = isWritten && checkpoint.isComplete
    this.#isWhole = !isWritten
  }

  /** Every entry up to here is folded. */
  get position(): Position {
    return this.#position
  }

  get isWhole(): boolean {
    return this.#isWhole
  }

  /** How many keys have changed since they were written. */
  get dirty(): number {
    return this.#dirty.size
  }

  /** The keys in memory whose state is known. */
  *keys(): Iterable<string> {
    for (const [key, cell] of this.#cells) if (!cell.tail) yield key
  }

  /** The keys of which only the newest entries are here: their states are still to be read. */
  *unread(): Iterable<string> {
    for (const [key, cell] of this.#cells) if (cell.tail) yield key
  }

  /** Folds entries, in the log's order. Calls `onChanged` with each key that they touch. */
  fold(entries: readonly Entry[], onChanged: (key: string) => void): void {
    for (const entry of entries) {
      if (entry.position <= this.#position) continue
      this.#position = entry.position
      const key = this.#folding.isByStream ? entry.stream : this.#folding.keyOf(entry)
      if (key === undefined) continue
      const cell = this.#cells.get(key)
      if (cell?.tail) cell.tail.push(entry)
      else if (cell) this.#cells.set(key, this.#next(cell, entry))
      else
        this.#cells.set(key, this.#isWhole ? this.#next(none, entry) : { ...none, tail: [entry] })
      this.#dirty.add(key)
      onChanged(key)
    }
  }

  /** A state, or nothing where it is still to be read. What is not there is a state too: one without a value. */
  get(key: string): Pick<Cell, 'state' | 'revision'> | undefined {
    const cell = this.#cells.get(key)
    if (cell?.tail) return undefined
    if (cell && !this.#isWhole) {
      // The newest last: what has not been looked at for longest goes first.
      this.#cells.delete(key)
      this.#cells.set(key, cell)
    }
    return cell ?? (this.#isWhole ? none : undefined)
  }

  /** Asks for a state that is not here. */
  want(key: string): void {
    this.#wanted.add(key)
  }

  /** Asks for all states that have to be written and are not here. */
  wantDirty(): void {
    for (const key of this.#dirty) if (this.#cells.get(key)?.tail) this.#wanted.add(key)
  }

  /** What is to be read, or nothing: everything if it fits, else what was asked for. */
  wants(): Want | undefined {
    const { build } = this
    if (this.#isWhole) return undefined
    if (!this.#isPart) return { build, range: { rowsMax: this.#keysMax + 1 } }
    return this.#wanted.size > 0 ? { build, keys: [...this.#wanted] } : undefined
  }

  /** Takes what was read of a `want`, of a moment that is not before this one. Answers with the keys that it tells of. */
  take(want: Want, rows: readonly StateRow[]): readonly string[] {
    // What was asked for before everything was here says nothing new.
    if (this.#isWhole) return []
    const isAll = 'range' in want && want.range.index === undefined && !this.#isPart
    if (isAll && rows.length >= want.range.rowsMax) {
      this.#isPart = true
      return []
    }
    const told = new Set(rows.map(({ key }) => key))
    for (const row of rows) this.#meet(row.key, row)
    if ('keys' in want) {
      for (const key of want.keys) {
        if (!told.has(key)) this.#meet(key, none)
        this.#wanted.delete(key)
        told.add(key)
      }
    }
    if (isAll) {
      this.#isWhole = true
      for (const [key, cell] of this.#cells) if (cell.tail) this.#meet(key, none)
      for (const key of this.#wanted) told.add(key)
      this.#wanted.clear()
    }
    return [...told]
  }

  /** Takes a state as the disk has it, and folds what has come since. */
  #meet(key: string, { state, revision, position }: Omit<Cell, 'tail'>): void {
    const cell = this.#cells.get(key)
    if (cell && !cell.tail) return
    let met: Cell = { state, revision, position }
    for (const entry of cell?.tail ?? []) {
      if (entry.position > position) met = this.#next(met, entry)
    }
    this.#cells.set(key, met)
  }

  #next({ state, revision }: Cell, entry: Entry): Cell {
    const { isByStream, initial, keyOf, step } = this.#folding
    const isFolded = keyOf(entry) !== undefined
    return {
      state: isFolded ? step(state === undefined ? initial : state, entry) : state,
      revision: isByStream ? entry.revision : revision,
      position: entry.position,
    }
  }

  /** Is the disk behind? */
  isDirty(isComplete: boolean): boolean {
    if (this.#position !== (this.#written ?? 0)) return true
    return this.#written !== undefined && isComplete && !this.#isWrittenComplete
  }

  /** What is to be written, or nothing. All that has changed has to be known: see `wantDirty`. */
  toWrite(isComplete: boolean): Written | undefined {
    if (!this.isDirty(isComplete)) return undefined
    const rows: StateRow[] = []
    for (const key of this.#dirty) {
      const cell = this.#cells.get(key)
      if (!cell || cell.tail) return undefined
      const { state, revision, position } = cell
      const indexed = state === undefined ? {} : this.#folding.indexed(state)
      rows.push({ key, state, revision, position: position as Position, indexed })
    }
    return { position: this.#position, after: this.#written, isComplete, rows }
  }

  /** The disk is there now, by this tab or by another one. */
  written(position: Position, isComplete: boolean): void {
    this.#written = position
    this.#isWrittenComplete = isComplete
    for (const key of this.#dirty) {
      if ((this.#cells.get(key)?.position ?? 0) <= position) this.#dirty.delete(key)
    }
  }

  /** Lets go of what there is no room for, but of nothing that only memory has. Answers with the keys that went. */
  evict(isPinned: (key: string) => boolean): readonly string[] {
    const gone: string[] = []
    if (this.#cells.size <= this.#keysMax) return gone
    for (const key of this.#cells.keys()) {
      if (this.#cells.size - gone.length <= this.#keysMax * evictTo) break
      if (!this.#dirty.has(key) && !isPinned(key)) gone.push(key)
    }
    if (gone.length === 0) return gone
    for (const key of gone) this.#cells.delete(key)
    this.#isWhole = false
    this.#isPart = true
    return gone
  }
}
