/**
 * Commands whose ground has moved are decided again: only after the gateway has said so, and once this
 * device has what the gateway had. The old events are superseded; what a command denies now is refused.
 */
import {
  type Cancel,
  type Denial,
  type DomainEvent,
  type EventId,
  TidemarkError,
} from '@tidemark/shared'
import { type DecidePorts, decideOn } from './execute.ts'
import type { Follow } from './follow.ts'
import type { ModelView } from './model-view.ts'
import { persist, type PersistPorts } from './persist.ts'
import type { Prepared, Ties } from './prepare.ts'
import { refuseBatch, type Reason } from './refuse.ts'
import type { PendingBatch } from './outbox.ts'
import type { Session } from './session.ts'
import { settle, type SettlePorts } from './settle.ts'
import type { Decision, Refusal } from './store/store.ts'
import type { Turns } from './turns.ts'

/** What deciding again needs. */
export interface RedecidePorts extends PersistPorts, SettlePorts {
  readonly turns: Turns
  readonly follow: Follow
  readonly deciding: DecidePorts
}

/** A batch that will not pass as it is, and why. */
export interface Doubtful {
  readonly row: PendingBatch
  readonly refusal: Refusal
  /** The stream's revision at the gateway, where it said so. */
  readonly revision: number
}

/** A stream on which others are that quick is left to a person after this many decisions. */
const attemptsMax = 10
/** So many streams are decided on before memory is brought up to the disk. */
const streamsMax = 64

/** The batches of one link that wait to be decided again. */
export class Redecide {
  readonly #ports: RedecidePorts
  readonly #session: Session
  /** By stream, each in the order of the outbox. */
  readonly #doubtful = new Map<string, Doubtful[]>()
  readonly #ids = new Set<EventId>()
  /** Their states stay in memory until they have been decided on. */
  readonly #held = new Map<PendingBatch, Cancel>()
  readonly #onDecided: () => void
  #isWorking = false

  /** `onDecided` hears whenever events have been superseded or refused: what rests on them need not wait. */
  constructor(ports: RedecidePorts, session: Session, onDecided: () => void) {
    this.#ports = ports
    this.#session = session
    this.#onDecided = onDecided
    session.signal.addEventListener('abort', () => {
      for (const row of this.#held.keys()) this.#release(row)
    })
  }

  /** How many events wait here. */
  get size(): number {
    return this.#ids.size
  }

  /** Does an event wait here? What rests on it does so as well. */
  has(id: EventId): boolean {
    return this.#ids.has(id)
  }

  /** Takes a batch that a command decided on. */
  add(doubtful: Doubtful): void {
    const { row } = doubtful
    const waiting = this.#doubtful.get(streamOf(row)) ?? []
    this.#doubtful.set(streamOf(row), waiting)
    const isLast = (waiting.at(-1)?.row.seq ?? 0) < row.seq
    waiting.push(doubtful)
    if (!isLast) waiting.sort((a, b) => a.row.seq - b.row.seq)
    for (const { id } of row.events) this.#ids.add(id)
    this.#hold(row)
    if (!this.#isWorking && waiting[0] && this.#isReady(waiting[0])) void this.#work()
  }

  /** Decides on what has caught up. */
  pump(): void {
    if (!this.#isWorking && this.#next().length > 0) void this.#work()
  }

  async #work(): Promise<void> {
    this.#isWorking = true
    const { turns, follow } = this.#ports
    const { signal } = this.#session
    try {
      for (let next = this.#next(); next.length > 0 && !signal.aborted; next = this.#next()) {
        let isReplaced = false
        for (const each of next) {
          const decide = () => turns(() => this.#decide(each))
          isReplaced = (await persist(this.#ports, signal, decide)) || isReplaced
        }
        if (isReplaced) await persist(this.#ports, signal, () => follow.catchUp())
        for (const { row } of next) this.#remove(row)
        this.#onDecided()
      }
    } catch (error) {
      this.#session.fail(error)
    }
    this.#isWorking = false
  }

  /** The first batches of streams that have come as far as the gateway was. */
  #next(): readonly Doubtful[] {
    const next: Doubtful[] = []
    for (const [first] of this.#doubtful.values()) {
      if (first && this.#isReady(first)) next.push(first)
      if (next.length === streamsMax) break
    }
    return next
  }

  /** Nobody else may have asked for the state: a model need not fold what its commands decide. */
  #hold(row: PendingBatch): void {
    const stream = row.events[0]?.stream ?? ''
    const view = this.#viewOf(row)
    if (!view) return
    this.#held.set(row, view.builds.hold(stream))
    if (!view.builds.knows(stream)) view.want(stream)
  }

  #release(row: PendingBatch): void {
    this.#held.get(row)?.()
    this.#held.delete(row)
  }

  #viewOf({ decision }: PendingBatch): ModelView | undefined {
    return this.#ports.deciding.views.find(({ name }) => name === decision?.model)
  }

  #isReady({ row, revision }: Doubtful): boolean {
    const stream = row.events[0]?.stream ?? ''
    const view = this.#viewOf(row)
    // What an app does not have any more is not waited for.
    return !view || (view.builds.knows(stream) && view.revision(stream) >= revision)
  }

  #remove(row: PendingBatch): void {
    const waiting = this.#doubtful.get(streamOf(row)) ?? []
    const left = waiting.filter((each) => each.row !== row)
    if (left.length > 0) this.#doubtful.set(streamOf(row), left)
    else this.#doubtful.delete(streamOf(row))
    for (const { id } of row.events) this.#ids.delete(id)
    this.#release(row)
  }

  /** Answers whether other events have taken the place of a batch on the disk, which memory has yet to hear. */
  async #decide(doubtful: Doubtful): Promise<boolean> {
    const { store, replica, deciding, onWritten } = this.#ports
    const { row } = doubtful
    if (!replica.outbox.has(row.seq)) return false
    const decided = this.#decideAgain(doubtful)
    if ('refusal' in decided) {
      const refused = refuseBatch(deciding, row, decided)
      await settle(this.#ports, { seqs: [row.seq], refused, accepted: [] })
      return false
    }
    const { topic, scope, events } = row
    const ids = events.map(({ id }) => id)
    const by = decided.events.map(({ id }) => id)
    await store.replace(row.seq, { type: 'superseded', topic, scope, ids, by }, decided.batch)
    onWritten()
    return true
  }

  #decideAgain({ row, refusal }: Doubtful): Prepared | Reason {
    const [first] = row.events
    const { decision } = row
    if (!first || !decision) throw new TidemarkError('BAD_EVENT', { reason: 'no command' })
    const attempt = decision.attempt + 1
    if (attempt >= attemptsMax) return { id: first.id, refusal }
    // Where the events of an attempt belong, those of the next do too.
    const decided = this.#attempt({ ...decision, attempt }, first, this.#doubted(first))
    return 'batch' in decided ? decided : { id: first.id, refusal: decided }
  }

  /** The pending events of a stream that wait here themselves, or rest on one that does. */
  #doubted(stream: DomainEvent): ReadonlySet<EventId> {
    const { replica } = this.#ports
    const [doubted, others] = [new Set<EventId>(), new Set<EventId>()]
    for (const id of replica.outbox.pendingOn(stream, doubted)) {
      let at: EventId | undefined = id
      while (at !== undefined && !others.has(at) && !doubted.has(at) && !this.#ids.has(at)) {
        at = replica.outbox.batchOf(at)?.after
      }
      const isDoubted = at !== undefined && !others.has(at)
      ;(isDoubted ? doubted : others).add(id)
    }
    return doubted
  }

  /** What cannot be decided any more is refused with the reason. */
  #attempt(
    decision: Decision,
    ties: Ties,
    except: ReadonlySet<EventId>,
  ): Prepared | Denial | Refusal {
    try {
      return decideOn(this.#ports.deciding, decision, ties, except)
    } catch (error) {
      if (!(error instanceof TidemarkError)) throw error
      return { code: error.code, details: error.details } as Refusal
    }
  }
}

const streamOf = ({ topic, events }: PendingBatch): string => `${topic}/${events[0]?.stream ?? ''}`
