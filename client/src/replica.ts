/**
 * What a tab holds in memory of the database: the outbox, the refused events, how far each log is, and
 * the models folded from them. It changes only after the disk did, in the same order, and tells
 * everybody once for each change as a whole.
 */
import {
  assert,
  type Cursor,
  type Denial,
  type Entry,
  type EventId,
  type FrameOf,
  logKey,
  type LogName,
  parseClaim,
  parseEntry,
  type Position,
} from '@tidemark/shared'
import type { Outcome, Settled } from './append.ts'
import { type Cell, createCell } from './live.ts'
import type { ModelView } from './model-view.ts'
import { compareValues } from './order.ts'
import { Outbox, type PendingBatch } from './outbox.ts'
import { Outcomes, toAccepted } from './outcomes.ts'
import type { StatusCell } from './status.ts'
import type {
  AnyRefused,
  Checkpoint,
  Fate,
  Loaded,
  LoadedLog,
  OutboxRow,
  Seen,
  Settlement,
  Want,
} from './store/store.ts'

interface LogState extends LogName {
  /** Nothing before the disk has been asked, where no states of a model say what has been folded. */
  position: Position | undefined
  cursor: Cursor | undefined
  rewinds: number
  /** Memory is as far as the disk was when it was last asked. */
  isRead: boolean
}

/** An event that has left the outbox, and it is not known here why. */
export interface Gone extends LogName {
  readonly id: EventId
}

/** A model that is being folded anew, and how far its log is. */
export interface Building {
  readonly view: ModelView
  readonly log: LogName
  readonly from: Position
  readonly upTo: Position
}

/** What a replica is made of. */
export interface ReplicaOptions {
  /** The logs that are read. */
  readonly logs: readonly LogName[]
  readonly models: readonly ModelView[]
  readonly user: string
  readonly status: StatusCell
  readonly onError: (error: unknown) => void
}

const start = 0 as Position

type AnyOutcome = Outcome<Denial>

/** How far a log has been brought to the broker. */
export type PublishedLog = Pick<FrameOf<'published'>, 'upTo' | 'parked'>

/** A tab's memory of the database. */
export class Replica {
  readonly refused: Cell<readonly AnyRefused[]>
  readonly outbox: Outbox
  readonly #models: readonly ModelView[]
  readonly #user: string
  readonly #status: StatusCell
  readonly #logs = new Map<string, LogState>()
  readonly #outcomes = new Outcomes()
  /** What this tab is writing now: an entry may come back from another tab before our own write has answered. */
  readonly #writing = new Set<EventId>()
  /** Written here before the disk had been read: their entries may be among those that are in the states already. */
  readonly #early = new Set<EventId>()
  /** Every row up to here has been seen, of whichever tab. */
  #seq = 0
  /** From where rows are to be looked for that are offered again, which come before all others. */
  #lookFrom: number | undefined = 0
  /** Rows of other tabs wait behind one that this tab is writing. */
  #isHeldBack = false
  /** Entries were taken back, and not everything has been loaded since. */
  #isRewound = false
  /** The newest fate that has been seen. */
  #fate: number | undefined
  #isLoaded = false
  #isStarted = false
  /** The last load has left something. */
  #isMore = false
  /** The states that were asked for last. */
  #asked: readonly { readonly view: ModelView; readonly want: Want }[] = []
  readonly #published = new Map<string, PublishedLog>()
  #onFolded: () => void = () => undefined
  #onRows: () => void = () => undefined
  #onStates: () => void = () => undefined

  constructor({ logs, models, user, status, onError }: ReplicaOptions) {
    this.#models = models
    this.outbox = new Outbox(models)
    this.#user = user
    this.#status = status
    this.refused = createCell<readonly AnyRefused[]>([], onError)
    for (const { topic, scope } of logs) {
      const log = {
        topic,
        scope,
        position: undefined,
        cursor: undefined,
        rewinds: 0,
        isRead: false,
      }
      this.#logs.set(logKey(log), log)
    }
  }

  /** Has the disk been asked how far the models are? */
  get isStarted(): boolean {
    return this.#isStarted
  }

  /** Takes up the models where the disk has them: what is in their states is not read again. */
  start(checkpoints: readonly Checkpoint[]): void {
    this.#isStarted = true
    for (const log of this.#logs.values()) {
      const begun = this.#modelsOf(log).flatMap((model) => model.builds.start(checkpoints) ?? [])
      log.rewinds = Math.max(0, ...begun.map(({ rewinds }) => rewinds))
      const positions = begun.filter(({ rewinds }) => rewinds === log.rewinds)
      log.position = positions
        .map(({ position }) => position)
        .reduce<Position | undefined>((a, b) => (a === undefined || b < a ? b : a), undefined)
    }
  }

  /** Calls `heard` whenever states may have to be folded or written. */
  onStates(heard: () => void): void {
    this.#onStates = heard
  }

  /** Calls `heard` whenever states are to be read from the disk. */
  onWanted(heard: () => void): void {
    for (const model of this.#models) model.onWanted(heard)
  }

  /** A model that is being folded anew, where its log has been read. */
  building(): Building | undefined {
    for (const view of this.#models) {
      const log = [...this.#logs.values()].find(({ topic }) => topic === view.topic)
      const from = view.builds.building
      if (from === undefined || !log?.isRead || log.position === undefined) continue
      return { view, log, from, upTo: log.position }
    }
    return undefined
  }

  /** Entries from the disk for a model that is being folded anew; it is shown when it has come as far as its log. */
  build({ view, upTo }: Building, entries: readonly Entry[]): void {
    view.builds.build(entries)
    if (view.builds.building === upTo) view.builds.complete()
    this.#publish()
    this.#onFolded()
  }

  /** Calls `heard` whenever there may be more to submit. */
  onRows(heard: () => void): void {
    this.#onRows = heard
  }

  /** Calls `heard` whenever confirmed states may have come nearer to what the gateway has. */
  onFolded(heard: () => void): void {
    this.#onFolded = heard
  }

  /** Has the whole disk been read once? Nothing is decided before. */
  get isLoaded(): boolean {
    return this.#isLoaded
  }

  /** The gateway has brought a log to the broker this far. */
  published(log: LogName, published: PublishedLog): void {
    this.#published.set(logKey(log), published)
  }

  publishedOf(log: LogName): PublishedLog | undefined {
    return this.#published.get(logKey(log))
  }

  /** What `Store.load` may leave out. */
  seen(): Seen {
    const suspects = this.#isRewound ? this.outbox.seqs() : this.outbox.quiet()
    const pending = [...suspects].sort((a, b) => a - b)
    const seq = this.#lookFrom ?? this.#seq
    // What was written before the first load may have met its fate already.
    const isEarly = this.outbox.events + this.#writing.size > 0
    const fate = this.#fate ?? (isEarly ? 0 : undefined)
    this.#asked = this.#isMore ? [] : this.#wants()
    const wants = this.#asked.map(({ want }) => want)
    return { seq, pending, logs: [...this.#logs.values()], fate, wants }
  }

  #wants(): readonly { readonly view: ModelView; readonly want: Want }[] {
    return this.#models.flatMap((view) => view.wants().map((want) => ({ view, want })))
  }

  /** Is this a log that is read here? */
  reads(log: LogName): boolean {
    return this.#logs.has(logKey(log))
  }

  /** Where a log stands. */
  cursor(log: LogName): Cursor | undefined {
    return this.#logs.get(logKey(log))?.cursor
  }

  isPending(id: EventId): boolean {
    return this.outbox.seqOf(id) !== undefined || this.#writing.has(id)
  }

  isRefused(id: EventId): boolean {
    return this.refused.getSnapshot().some((each) => each.id === id && isFinal(each))
  }

  /**
   * What may be submitted and has not been taken, in the order it was appended. What this tab has written
   * behind another tab's rows that it has not seen yet waits until it has.
   */
  takeRows(): readonly PendingBatch[] {
    return this.outbox.take(this.#seq)
  }

  /** Before a write: these events are on their way to the disk. Resolves with what becomes of them, one day. */
  writing(ids: readonly EventId[]): Promise<Settled> {
    for (const id of ids) this.#writing.add(id)
    if (!this.#isLoaded) for (const id of ids) this.#early.add(id)
    return this.#outcomes.wait(ids)
  }

  /** After a write that failed. */
  failed(ids: readonly EventId[]): void {
    for (const id of ids) this.#writing.delete(id)
    this.#outcomes.forget(ids)
  }

  /**
   * After a write that is durable. Answers `false` where the disk knows more: rows of other tabs came
   * between, or rows that may have settled already without an entry to tell.
   */
  appended(rows: readonly PendingBatch[]): boolean {
    for (const row of rows) {
      // What has settled meanwhile was taken out of `writing` by its entry or its refusal.
      const written = row.events.filter((event) => this.#writing.delete(event.id))
      if (written.length > 0) this.outbox.add(row, this.#isQuiet(row))
    }
    const last = rows.at(-1)?.seq ?? 0
    if (rows[0]?.seq === this.#seq + 1) this.#seq = last
    this.#publish()
    this.#onRows()
    const isHeldBack = this.#isHeldBack
    this.#isHeldBack = false
    return !isHeldBack && last <= this.#seq && !rows.some((row) => this.#mayLeave(row))
  }

  /** The gateway's verdict, before what it means is on the disk. */
  answered(id: EventId, outcome: AnyOutcome): void {
    this.#outcomes.tell(id, outcome)
  }

  /** The rows that these entries settle. */
  settledBy(entries: readonly Entry[]): readonly number[] {
    const seqs = new Set<number>()
    for (const { id } of entries) {
      const seq = this.outbox.seqOf(id)
      if (seq !== undefined) seqs.add(seq)
    }
    return [...seqs]
  }

  /** Entries that are on the disk now, with their cursor. */
  applied(log: LogName, entries: readonly Entry[], cursor: Cursor): void {
    const state = this.#logOf(log)
    state.position = cursor.position
    state.cursor = cursor
    this.#fold(log, entries)
    this.#publish()
    this.#onFolded()
  }

  /** Rows that left the outbox otherwise. */
  settle({ seqs, refused, accepted }: Settlement): void {
    for (const seq of seqs) this.#remove(seq)
    if (refused.length > 0) this.#list(refused)
    for (const each of refused) if (isFinal(each)) this.#refuse(each)
    for (const each of accepted) this.#done(each.id, toAccepted(each))
    this.#publish()
  }

  #list(refused: readonly AnyRefused[]): void {
    // Two consumers may have set the same event aside.
    const byId = new Map(this.refused.getSnapshot().map((each) => [each.id, each]))
    for (const each of refused) byId.set(each.id, each)
    this.refused.set(asHeard([...byId.values()]))
  }

  /** Refused events that the app has done with. */
  discarded(ids: readonly EventId[]): void {
    this.refused.set(this.refused.getSnapshot().filter((each) => !ids.includes(each.id)))
    this.#publish()
  }

  /**
   * What the disk has beyond `seen`. Answers whether there is more to load, and which events have left
   * the outbox without an entry or a refusal that says why.
   */
  load({ logs, rows, moreRows, left, refused, fates, states }: Loaded): {
    more: boolean
    gone: readonly Gone[]
  } {
    let more = false
    this.#lookFrom = undefined
    // First, because the entries of what took their place may come with them.
    for (const fate of fates.rows) this.#meet(fate)
    this.#fate = fates.upTo
    for (const loaded of logs) more = this.#loadLog(loaded) || more
    this.#loadRows(rows)
    if (moreRows && !this.#isHeldBack) {
      this.#lookFrom ??= rows.at(-1)?.seq
      more = true
    }
    const listed = asHeard(refused)
    if (writeRefusals(listed) !== writeRefusals(this.refused.getSnapshot())) {
      for (const each of listed.filter(isFinal)) {
        this.#removeEvent(each.id)
        this.#refuse(each)
      }
      this.refused.set(listed)
    }
    // An entry that says why a row has left may be in what is still to be loaded.
    const gone = more ? [] : left.flatMap((seq) => this.#lose(seq))
    if (!more) this.#takeStates(states)
    this.#isRewound = this.#isRewound && more
    this.#isMore = more
    const isWanting = this.#wants().length > 0
    this.#isLoaded ||= !more && !isWanting
    this.#publish()
    this.#onRows()
    this.#onFolded()
    return { more: more || isWanting, gone }
  }

  /** States of the same moment as everything else that was loaded. */
  #takeStates(states: Loaded['states']): void {
    for (const [at, { view, want }] of this.#asked.entries()) view.take(want, states[at])
    for (const { topic, position } of this.#logs.values()) {
      for (const model of this.#models) {
        // Where there is nothing to fold, nobody needs to wait for it.
        if (model.topic === topic && model.builds.building === position) model.builds.complete()
      }
    }
  }

  /** A row of a log that is read leaves with its entry, unless this tab has not seen that. */
  #mayLeave(row: PendingBatch): boolean {
    return this.#isRewound || this.outbox.quiet().has(row.seq)
  }

  /** May it settle without this tab seeing its entry? Of logs that are not read, and early ones. */
  #isQuiet(row: PendingBatch): boolean {
    return !this.reads(row) || row.events.some(({ id }) => this.#early.has(id))
  }

  #loadLog(loaded: LoadedLog): boolean {
    const state = this.#logOf(loaded)
    const { rewinds, cursor } = loaded
    const isFirst = state.position === undefined
    if (!isFirst && rewinds !== state.rewinds) {
      // What was folded may hold entries that were taken back. Those that came instead are read from the
      // beginning, because somebody may wait for them; at the start nobody does.
      const position = this.#isLoaded ? start : undefined
      Object.assign(state, { rewinds, position, cursor: undefined, isRead: false })
      if (this.#isLoaded) for (const model of this.#modelsOf(state)) model.builds.begin(rewinds)
      this.#isRewound = this.#isLoaded
      this.#lookFrom = 0
      return true
    }
    for (const model of this.#modelsOf(state)) model.builds.begin(rewinds)
    const entries = loaded.lines.map((line) => parseEntry(loaded, line))
    if (isFirst) Object.assign(state, { rewinds, position: cursor?.position ?? start })
    else state.position = entries.at(-1)?.position ?? state.position
    state.isRead = !loaded.more
    if (state.isRead) state.cursor = cursor
    this.#fold(loaded, entries)
    return loaded.more
  }

  #logOf(log: LogName): LogState {
    const state = this.#logs.get(logKey(log))
    // Only logs that are read are loaded and applied.
    assert(state)
    return state
  }

  #modelsOf({ topic }: LogName): readonly ModelView[] {
    return this.#models.filter((model) => model.topic === topic)
  }

  #fold(log: LogName, entries: readonly Entry[]): void {
    for (const model of this.#models) if (model.topic === log.topic) model.fold(entries)
    for (const entry of entries) {
      this.#removeEvent(entry.id)
      this.#done(entry.id, toAccepted(entry))
    }
  }

  #done(id: EventId, outcome: AnyOutcome): void {
    this.#writing.delete(id)
    this.answered(id, outcome)
  }

  #refuse({ id, refusal }: AnyRefused): void {
    this.#done(id, { type: 'refused', refusal })
  }

  /** A row that left without a verdict. Whoever waits for it waits for what took its place. */
  #meet({ type, ids, by, refusal }: Fate): void {
    const [first] = ids
    if (first === undefined) return
    this.#removeEvent(first)
    if (refusal) return this.#done(first, { type: 'refused', refusal })
    for (const id of ids) this.#writing.delete(id)
    if (type === 'superseded') this.#outcomes.supersede(ids, by)
    else this.#outcomes.withdraw(ids)
  }

  #read(row: OutboxRow): PendingBatch {
    const { topic, scope } = row
    const events = row.lines.map((line) => {
      return { topic, scope, author: this.#user, ...parseClaim(line) }
    })
    return { ...row, events }
  }

  #lose(seq: number): readonly Gone[] {
    const row = this.#remove(seq)
    return row?.events.map(({ id }) => ({ topic: row.topic, scope: row.scope, id })) ?? []
  }

  #remove(seq: number): PendingBatch | undefined {
    const row = this.outbox.remove(seq)
    for (const { id } of row?.events ?? []) this.#early.delete(id)
    return row
  }

  /** The row of an event leaves: its entry has come, or another row has it now. */
  #removeEvent(id: EventId): void {
    const seq = this.outbox.seqOf(id)
    if (seq !== undefined) this.#remove(seq)
  }

  #loadRows(rows: readonly OutboxRow[]): void {
    const loaded = rows.filter((row) => !this.outbox.has(row.seq)).map((row) => this.#read(row))
    // Nothing overtakes what this tab is writing: it is shown when its append has resolved, and not before.
    const at = loaded.findIndex((row) => row.events.some(({ id }) => this.#writing.has(id)))
    const added = at < 0 ? loaded : loaded.slice(0, at)
    if (at >= 0) this.#isHeldBack = true
    const end = at < 0 ? rows.at(-1)?.seq : (loaded[at]?.seq ?? 1) - 1
    this.#seq = Math.max(this.#seq, end ?? 0)
    for (const { events } of added) for (const { id } of events) this.#removeEvent(id)
    this.outbox.insert(added, (row) => this.#isQuiet(row))
  }

  #publish(): void {
    this.#status.patch({
      pending: this.outbox.events,
      oldestPendingAt: this.outbox.oldest?.events[0]?.occurredAt,
      refused: this.refused.getSnapshot().length,
    })
    for (const { topic, position } of this.#logs.values()) {
      this.#status.patchLog(topic, { position: position ?? start })
    }
    for (const model of this.#models) model.notify()
    this.#onStates()
  }
}

/** What a consumer has set aside was accepted before. */
const isFinal = ({ refusal }: AnyRefused): boolean => refusal.code !== 'DEAD_LETTERED'

/** In the order in which the device heard of them, which no store keeps. */
const asHeard = (refused: readonly AnyRefused[]): readonly AnyRefused[] =>
  [...refused].sort((a, b) => a.refusedAt - b.refusedAt || compareValues(a.id, b.id))

/** All that can change: another consumer may set aside what is listed already. */
const writeRefusals = (refused: readonly AnyRefused[]): string =>
  JSON.stringify(refused.map(({ id, refusal, refusedAt }) => [id, refusal, refusedAt]))
