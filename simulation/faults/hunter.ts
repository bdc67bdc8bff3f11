/** Says to each process in which gap it is to die, once it has lived for a moment. */
import type { Random } from '../random.ts'
import { readMarkers } from './evidence.ts'
import type { Kind } from './gaps.ts'
import { makePlan, type Targets } from './plan.ts'
import type { Slot } from './slots.ts'

/** Hunts until it rests. */
export interface Hunter {
  /** A new process lives in this place. */
  onBegin(slot: Slot): void
  /** Lets everybody live. */
  rest(): void
}

/** A process lives for so long at most before it is told where to die, in ms: in that time there is progress. */
const lifeMsMax: Readonly<Record<Kind, number>> = { gateway: 400, consumer: 1_600 }
/** A process that has not come by its gap within this time may die in any, in ms. */
const patienceMs = 3_000

/** Builds a hunter. */
export function createHunter(folder: string, random: Random, targets: Targets): Hunter {
  const hunts = new Map<Slot, NodeJS.Timeout>()
  let isResting = false
  const hunt = (slot: Slot, isPatient: boolean): void => {
    slot.arm(makePlan(random, slot.kind, targets, readMarkers(folder), isPatient))
    hunts.set(
      slot,
      setTimeout(() => hunt(slot, false), patienceMs),
    )
  }
  return {
    onBegin(slot) {
      clearTimeout(hunts.get(slot))
      if (isResting) return slot.arm({})
      const lifeMs = random.between(0, lifeMsMax[slot.kind])
      hunts.set(
        slot,
        setTimeout(() => hunt(slot, true), lifeMs),
      )
    },
    rest() {
      isResting = true
      for (const [slot, timer] of hunts) {
        clearTimeout(timer)
        slot.arm({})
      }
    },
  }
}
