/** Who waits in this tab for what becomes of events, until it is known. */
import type { Denial, EventId } from '@tidemark/shared'
import type { Outcome, Settled } from './append.ts'

type AnyOutcome = Outcome<Denial>

/** It was accepted, and where. */
export type AcceptedOutcome = Extract<Outcome, { readonly type: 'accepted' }>

/** What is told of an event by its entry, or by what else says where it was accepted. */
export const toAccepted = ({
  position,
  revision,
}: Omit<AcceptedOutcome, 'type'>): AcceptedOutcome => ({ type: 'accepted', position, revision })

/** Who waits for what becomes of a batch. */
interface Waiter {
  readonly ids: readonly EventId[]
  readonly outcomes: AnyOutcome[]
  readonly resolve: (settled: Settled) => void
}

/** What is waited for in a tab. */
export class Outcomes {
  readonly #waiting = new Map<EventId, Waiter>()

  /** Resolves with what becomes of a batch, one day. */
  wait(ids: readonly EventId[]): Promise<Settled> {
    return new Promise((resolve) => this.#add({ ids, outcomes: [], resolve }))
  }

  /** Nothing becomes of these. */
  forget(ids: readonly EventId[]): void {
    for (const id of ids) this.#waiting.delete(id)
  }

  /** What became of an event. Whoever waits is told when it is known of all events of the batch. */
  tell(id: EventId, outcome: AnyOutcome): void {
    const waiter = this.#waiting.get(id)
    if (!waiter) return
    const { ids, outcomes, resolve } = waiter
    this.#waiting.delete(id)
    outcomes.push(outcome)
    if (outcomes.length === ids.length) resolve({ ...(outcomes.find(isReason) ?? outcome), ids })
  }

  /** Others took the place of these events: whoever waits, waits for those. */
  supersede(ids: readonly EventId[], by: readonly EventId[]): void {
    const waiter = this.#take(ids)
    if (waiter) this.#add({ ids: by, outcomes: [], resolve: waiter.resolve })
  }

  /** The app has taken these events back. */
  withdraw(ids: readonly EventId[]): void {
    this.#take(ids)?.resolve({ type: 'withdrawn', ids })
  }

  #add(waiter: Waiter): void {
    for (const id of waiter.ids) this.#waiting.set(id, waiter)
  }

  #take(ids: readonly EventId[]): Waiter | undefined {
    const waiter = ids[0] === undefined ? undefined : this.#waiting.get(ids[0])
    this.forget(ids)
    return waiter
  }
}

/** Of a batch: what became of its first event where it was accepted, else of the event that was the reason. */
const isReason = (outcome: AnyOutcome): boolean =>
  outcome.type !== 'refused' || outcome.refusal.code !== 'BATCH_REFUSED'
