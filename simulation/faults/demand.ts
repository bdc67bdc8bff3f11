/** How the checks of this folder say that something is wrong, in the words of the invariants. */
import { type Invariant, invariants } from '../invariants.ts'

/** What only these checks look at. */
const others = {
  I9: 'Each event has its effect once, and its answer is in the log once.',
  I15: 'Published = processed + parked + dead letters + in flight.',
  I16: 'What is accepted is published, and has its effects in the order of its stream.',
  I17: 'A saga that turned ends with each completed step compensated once, in reverse, or needs a person.',
  I19: 'Nobody writes under an older lease after somebody has written under a newer one.',
} as const

/** An invariant that did not hold. */
export class Broken extends Error {}

/** Throws where something that has to be true is not. */
export function demand(
  isTrue: boolean,
  invariant: Invariant | keyof typeof others,
  what: string,
): void {
  if (isTrue) return
  const sentence =
    invariant in others ? others[invariant as 'I17'] : invariants[invariant as Invariant]
  throw new Broken(`${invariant} ${sentence} ${what}`)
}
