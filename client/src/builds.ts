/**
 * The confirmed states of a model over its versions. A build is one folding: by one version of the model, of
 * a log that was rewound so often. One is shown; where it is not this version's, the next is folded behind it.
 */
import { type AnyModel, assert, type Cancel, type Entry, type Position } from '@tidemark/shared'
import { Cells, type Folding } from './cells.ts'
import type { Checkpoint, StateRow, Store, Want } from './store/store.ts'

/** What builds are made of. */
export interface BuildsOptions {
  /** The model's name in this client. */
  readonly name: string
  readonly model: AnyModel
  readonly folding: Folding
  /** How many keys there is room for in memory. */
  readonly keysMax: number
  /** The state of a key may be another one. */
  readonly onChanged: (key: string) => void
  /** Any state may be another one. */
  readonly onSwapped: () => void
  /** The states of keys have left memory. */
  readonly onEvicted: (keys: readonly string[]) => void
  /** Keys that stay in memory, because somebody looks at them. */
  readonly isPinned: (key: string) => boolean
}

/** Where the states of a model are taken up. */
interface Begun {
  readonly position: Position
  /** How often the log had been rewound then. */
  readonly rewinds: number
}

/** The builds of one model. */
export class Builds {
  readonly #options: BuildsOptions
  /** Which builds are of this very code. */
  readonly #code: string
  /** What the disk had at the start. */
  #checkpoints: readonly Checkpoint[] = []
  /** What is shown; nothing before the disk has been read. */
  #shown: Cells | undefined
  /** What is shown was folded by other code. */
  #isOther = false
  /** What is being folded anew, while what is shown stays as it is. */
  #next: Cells | undefined
  /** Keys that are kept in memory, by how many. */
  readonly #held = new Map<string, number>()

  constructor(options: BuildsOptions) {
    this.#options = options
    this.#code = `${options.name}@${options.model.version}${fingerprint(options.model)}`
  }

  get shown(): Cells | undefined {
    return this.#shown
  }

  get isOther(): boolean {
    return this.#isOther
  }

  get isRebuilding(): boolean {
    return this.#next !== undefined
  }

  /** Takes up what the disk has. Answers with nothing where the model has to be folded anew. */
  start(all: readonly Checkpoint[]): Begun | undefined {
    this.#checkpoints = all.filter(({ model }) => model === this.#options.name)
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
    this.#next = this.#cellsOf(found ?? this.#fresh(build), found !== undefined)
    this.#options.onSwapped()
  }

  /** Folds confirmed entries, in the log's order. What is shown while another is built stays as it is. */
  fold(entries: readonly Entry[]): void {
    if (!this.#next) this.#shown?.fold(entries, this.#options.onChanged)
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
    assert(this.#next)
    this.#shown = this.#next
    this.#next = undefined
    this.#isOther = false
    this.#checkpoints = []
    this.#options.onSwapped()
  }

  /** Is the state of this key in memory, and is it this version's? */
  knows(key: string): boolean {
    return !this.#next && this.#shown?.get(key) !== undefined
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

  /** The keys that are kept. */
  get held(): Iterable<string> {
    return this.#held.keys()
  }

  /** What is to be read from the disk. */
  wants(): readonly Want[] {
    return [this.#shown?.wants(), this.#next?.wants()].filter((want) => want !== undefined)
  }

  /** Takes what was read, when memory is no older than the disk was. */
  take(want: Want, rows: readonly StateRow[] | undefined): void {
    if (!rows) return this.#lose(want.build)
    if (want.build === this.#next?.build) this.#next.take(want, rows)
    const shown = this.#shown
    if (want.build !== shown?.build) return
    // Before, so that what is read now can be looked at once.
    this.#evict(shown)
    const wasWhole = shown.isWhole
    for (const key of shown.take(want, rows)) this.#options.onChanged(key)
    if (shown.isWhole && !wasWhole) this.#options.onSwapped()
  }

  /** Is there something that the disk does not have? */
  get isDirty(): boolean {
    return this.#written?.isDirty(!this.#next) ?? false
  }

  /** There is more in memory than there is room for, because it has not been written. */
  get isFull(): boolean {
    return (this.#written?.dirty ?? 0) > this.#options.keysMax
  }

  /** Asks for everything that has to be known before it can be written. */
  wantDirty(): void {
    this.#written?.wantDirty()
  }

  /** What is to be written, or nothing. */
  toWrite(): Parameters<Store['writeStates']> | undefined {
    const cells = this.#written
    const found = cells?.toWrite(!this.#next)
    if (!cells || !found) return undefined
    const { position, after, isComplete, rows } = found
    const to = { build: cells.build, model: this.#options.name, position, isComplete }
    return [to, after, rows]
  }

  /** The disk has answered what was written with where it is; nothing where the build is gone. */
  written(to: Checkpoint, position: Position | undefined): void {
    const cells = this.#written
    if (cells?.build !== to.build) return
    if (position === undefined) return this.#lose(to.build)
    cells.written(position, to.isComplete)
    this.#evict(cells)
  }

  /** A build is not on the disk any more: tabs with other code have taken its place. */
  #lose(build: string): void {
    // What memory does not have whole cannot be shown any more.
    if (this.#shown?.build === build && !this.#shown.isWhole) this.#shown = undefined
    if (build.startsWith(`${this.#code}~`)) this.#next = this.#cellsOf(this.#fresh(build), false)
    this.#options.onSwapped()
  }

  /** What is written behind. States of other code are left as they are. */
  get #written(): Cells | undefined {
    return this.#next ?? (this.#isOther ? undefined : this.#shown)
  }

  #evict(cells: Cells): void {
    const { isPinned, onEvicted } = this.#options
    const gone = cells.evict((key) => this.#held.has(key) || isPinned(key))
    if (cells === this.#shown && gone.length > 0) onEvicted(gone)
  }

  #fresh(build: string): Checkpoint {
    return { build, model: this.#options.name, position: 0 as Position, isComplete: false }
  }

  #cellsOf(checkpoint: Checkpoint, isWritten: boolean): Cells {
    const { folding, keysMax } = this.#options
    return new Cells({ checkpoint, isWritten, folding, keysMax })
  }
}

declare const process: { readonly env: Readonly<Record<string, string | undefined>> }

/**
 * While an app is being developed, a fold that was edited is other code, whether its version was raised or
 * not. In production only the version counts: what a minifier makes of a fold differs with every build.
 */
function fingerprint({ initial, key, on, indexes }: AnyModel): string {
  try {
    // Bundlers put the answer here, and leave out the rest. A page without one counts as production.
    if (process.env.NODE_ENV === 'production') return ''
    const parts = [initial, String(key), ...[on, indexes].map(sourceOf)]
    let hash = 0
    for (const char of JSON.stringify(parts)) hash = (Math.imul(hash, 31) + char.charCodeAt(0)) | 0
    return `#${(hash >>> 0).toString(36)}`
  } catch {
    return ''
  }
}

const sourceOf = (functions: object): readonly string[] =>
  Object.entries(functions).map(([name, each]) => `${name}: ${String(each)}`)
