/** What has to hold, by the names that bugs are caught under, and the error that says what did not. */

/** The invariants that are judged. */
export const invariants = {
  I1: 'No acknowledged event is lost.',
  I2: 'Nothing is in a log that nobody appended, and nothing with other bytes or another author.',
  I3: 'A reader gets all of a log, in order, without a gap and nothing twice.',
  I4: 'There is one order: everybody who sees a position sees the same event there.',
  I5: 'The events of one device and stream stand in the order in which they were appended.',
  I6: 'The revisions of a stream are 1, 2, 3, … without a hole.',
  I7: 'What was decided is accepted only at the revision and behind the event that it was decided on.',
  I8: 'The same id has the same answer for ever, and stands in the log once.',
  I9: 'What a service does for an event happens once, and what it answers is in the log once.',
  I10: 'What the app was told is saved is on the device, or in the log, or refused.',
  I13: 'A batch stands in the log whole and side by side, or not at all.',
  I14: 'No event vanishes: it is pending, accepted, refused, superseded or withdrawn, and one of them.',
  I15: 'A message is settled only when its event is safe; what fails is parked after its attempts, told and redrivable.',
  I16: 'What is accepted is published, at least once, and each stream in order up to its effects.',
  I17: 'A saga that turns back compensates each completed step once, in reverse order, and no other.',
  I19: 'Nothing is done under a lower term once there was a higher one.',
  I20: 'What a model shows is what the log and the pending events fold to, in every tab.',
  I21: 'A command ends once: accepted as one of its decisions, denied, refused or withdrawn.',
  I22: 'What commands guard holds in the log.',
  I23: 'The refused events that a tab shows are those of its device, with the same reasons.',
  L1: 'After all faults have healed, every pending event gets its answer.',
  L2: 'After all faults have healed, every reader reaches the head.',
  L3: 'A linked client with something to send makes progress.',
  L4: 'An append on an idle link is on its way within a second.',
  L5: 'After all faults have healed, everything accepted is with the broker, and what it holds is in the log.',
  X1: 'Nothing throws that nobody catches.',
  X2: 'The same seed gives the same history.',
} as const

/** An invariant's name. */
export type Invariant = keyof typeof invariants

/** An invariant that did not hold. */
export class Violation extends Error {
  override readonly name = 'Violation'
  readonly invariant: Invariant

  constructor(invariant: Invariant, what: string) {
    super(`${invariant} ${invariants[invariant]} ${what}`)
    this.invariant = invariant
  }
}

/** Ends a run. */
export const fail = (invariant: Invariant, what: string): never => {
  throw new Violation(invariant, what)
}
