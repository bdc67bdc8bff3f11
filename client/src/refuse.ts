/** What the device keeps of a refused batch: each event with the reason, both sides, and what rested on it. */
import { assert, type Denial, type EventId, type System } from '@tidemark/shared'
import type { ModelView } from './model-view.ts'
import type { PendingBatch } from './outbox.ts'
import type { Replica } from './replica.ts'
import { type AnyRefused, isOfferedAgain, type Refusal, type Sides } from './store/store.ts'

/** What refusing needs. */
export interface RefusePorts {
  readonly replica: Replica
  readonly views: readonly ModelView[]
  readonly system: System
}

/** Why a batch was refused, and for which of its events. */
export interface Reason {
  readonly id: EventId
  readonly refusal: Refusal<Denial>
}

/** What became of each event of a refused batch: one was the reason, the others went with it. */
export function refuseBatch(
  ports: RefusePorts,
  row: PendingBatch,
  reason: Reason,
): readonly AnyRefused[] {
  const { topic, scope, decision, events } = row
  const refusal = isOfferedAgain(row) ? lost(reason) : reason.refusal
  const others: Refusal = { code: 'BATCH_REFUSED', details: { by: reason.id } }
  const sides = sidesOf(ports, row, reason)
  const resting = ports.replica.outbox.restingOn(events.map(({ id }) => id))
  const dependents = resting.flatMap((each) => each.events.map(({ id }) => id))
  return events.map(({ id }, at) => {
    const line = row.lines[at]
    // A pending batch has one for each event.
    assert(line !== undefined)
    return {
      topic,
      scope,
      id,
      line,
      refusal: id === reason.id ? refusal : others,
      refusedAt: ports.system.now(),
      decision,
      sides,
      ...(dependents.length > 0 && { dependents }),
    }
  })
}

/** It was accepted once: that it no longer fits is the restore's doing. */
const lost = ({ refusal }: Reason): Refusal => ({
  code: 'LOST_IN_RESTORE',
  details: { code: refusal.code },
})

/** The two sides, where the batch says what it was decided on. */
function sidesOf(
  { views }: RefusePorts,
  row: PendingBatch,
  { refusal }: Reason,
): Sides | undefined {
  const { topic, expectedRevision, decision, events } = row
  const stream = events[0]?.stream
  if (expectedRevision === undefined || stream === undefined) return undefined
  const view =
    views.find(({ name }) => name === decision?.model) ??
    views.find(({ model }) => model.isByStream && model.topic.name === topic)
  // Without a model nobody here counts revisions, but the gateway may have said it.
  const { actual = expectedRevision } = (refusal.details ?? {}) as { readonly actual?: number }
  return {
    expectedRevision,
    revision: view?.revision(stream) ?? actual,
    state: storable(view?.confirmed(stream)),
  }
}

/** A state is whatever a fold returns. What no disk takes is left out, so that it keeps nothing else from it. */
function storable(state: unknown): unknown {
  try {
    return state === undefined ? undefined : JSON.parse(JSON.stringify(state))
  } catch {
    return undefined
  }
}
