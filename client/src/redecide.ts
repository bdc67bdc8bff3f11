/**
 * Commands whose ground has moved are decided again: only after the gateway has said so, and once this
 * device has what the gateway had. The old events are superseded; what a command denies now is refused.
 */
import { type Denial, type EventId, TidemarkError } from '@tidemark/shared'
import { type DecidePorts, decideOn } from './execute.ts'
import type { Follow } from './follow.ts'
import { persist, type PersistPorts } from './persist.ts'
import type { Prepared, Ties } from './prepare.ts'
import { refuseBatch, type Reason } from './refuse.ts'
import type { PendingBatch } from './replica.ts'
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

/** The batches of one link that wait to be decided again. */
export class Redecide {
  readonly #ports: RedecidePorts
  readonly #session: Session
  /** By `seq`, in its order. */
  #doubtful: Doubtful[] = []
  #isWorking = false

  constructor(ports: RedecidePorts, session: Session) {
    this.#ports = ports
    this.#session = session
  }

  /** Does an event wait here? What rests on it does so as well. */
  has(id: EventId): boolean {
    return this.#doubtful.some(({ row }) => row.events.some((event) => event.id === id))
  }

  /** Takes a batch that a command decided on. */
  add(doubtful: Doubtful): void {
    this.#doubtful.push(doubtful)
    this.#doubtful.sort((a, b) => a.row.seq - b.row.seq)
    this.pump()
  }

  /** Decides on what has caught up. */
  pump(): void {
    if (!this.#isWorking && this.#next()) void this.#work()
  }

  async #work(): Promise<void> {
    this.#isWorking = true
    const { turns, follow } = this.#ports
    const { signal } = this.#session
    try {
      for (let next = this.#next(); next && !signal.aborted; next = this.#next()) {
        const doubtful = next
        await persist(this.#ports, signal, () => turns(() => this.#decide(doubtful)))
        await persist(this.#ports, signal, () => follow.catchUp())
        this.#doubtful = this.#doubtful.filter((each) => each !== doubtful)
      }
    } catch (error) {
      this.#session.fail(error)
    }
    this.#isWorking = false
  }

  /** The first batch of a stream that has come as far as the gateway was. */
  #next(): Doubtful | undefined {
    const { views } = this.#ports.deciding
    const waiting = new Set<string>()
    return this.#doubtful.find(({ row, revision }) => {
      const stream = row.events[0]?.stream ?? ''
      const key = `${row.topic}/${stream}`
      const view = views.find(({ name }) => name === row.decision?.model)
      // What an app does not have any more is not waited for.
      const isThere = !view || (view.builds.knows(stream) && view.revision(stream) >= revision)
      const isReady = !waiting.has(key) && isThere
      waiting.add(key)
      return isReady
    })
  }

  async #decide(doubtful: Doubtful): Promise<void> {
    const { store, replica, deciding, onWritten } = this.#ports
    const { row } = doubtful
    if (!replica.has(row.seq)) return
    const decided = this.#decideAgain(doubtful)
    if ('refusal' in decided) {
      const refused = refuseBatch(deciding, row, decided)
      return settle(this.#ports, { seqs: [row.seq], refused, accepted: [] })
    }
    const { topic, scope, events } = row
    const ids = events.map(({ id }) => id)
    const by = decided.events.map(({ id }) => id)
    await store.replace(row.seq, { type: 'superseded', topic, scope, ids, by }, decided.batch)
    onWritten()
  }

  #decideAgain({ row, refusal }: Doubtful): Prepared | Reason {
    const [first] = row.events
    const { decision } = row
    if (!first || !decision) throw new TidemarkError('BAD_EVENT', { reason: 'no command' })
    const attempt = decision.attempt + 1
    if (attempt >= attemptsMax) return { id: first.id, refusal }
    const doubted = this.#doubtful.flatMap((each) => each.row.events)
    const resting = this.#ports.replica.restingOn(doubted.map(({ id }) => id))
    const except = new Set([...doubted, ...resting.flatMap(({ events }) => events)].map(toId))
    const decided = this.#attempt({ ...decision, attempt }, tiesOf(first), except)
    return 'batch' in decided ? decided : { id: first.id, refusal: decided }
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

const toId = ({ id }: { readonly id: EventId }): EventId => id

/** What the events of an attempt say of where they belong, the next says too. */
const tiesOf = ({ causationId, correlationId, traceparent }: Ties): Ties => ({
  ...(causationId !== undefined && { causationId }),
  ...(correlationId !== undefined && { correlationId }),
  ...(traceparent !== undefined && { traceparent }),
})
