/** What devices hold, judged by the law of conservation: what was appended is in one place, on every device. */
import { type LogName, logKey } from '@tidemark/shared'
import type { Answers } from './answers.ts'
import type { DeviceLog, Fact } from './history.ts'
import { fail } from './invariants.ts'
import { isPrefix, type Known } from './known.ts'
import type { ReadEntry } from './lines.ts'
import type { Truth } from './truth.ts'

type FactOf<Type extends Fact['type']> = Extract<Fact, { type: Type }>
type Listed = FactOf<'device'>['refused']

/** How far a device is in a log, and which it is: the one that there is, or one that was until a restore. */
interface Standing {
  readonly known: Known
  readonly position: number
}

interface Device {
  /** By log. */
  readonly standings: Map<string, Standing>
  pending: ReadonlySet<string>
  refused: ReadonlySet<string>
  /** Its own events that the entries on it say a service has set aside. */
  readonly letters: Set<string>
  /** Those of which it reads that anew, after a restore. */
  readonly reread: Set<string>
}

/** A command is given up after this many decisions that came too late. */
const decisionsMax = 10

/** All devices. */
export class Holdings {
  readonly #truth: Truth
  readonly #answers: Answers
  readonly #devices = new Map<string, Device>()

  constructor(truth: Truth, answers: Answers) {
    this.#truth = truth
    this.#answers = answers
  }

  /** What a device holds as pending. */
  pending(device: string): readonly string[] {
    return [...this.#device(device).pending]
  }

  /** How far a device is in a log, with entries that the log has today. */
  position(device: string, log: LogName): number {
    const { known, position } = this.#standing(device, log)
    return isPrefix(known, position, this.#truth.log(log)) ? position : 0
  }

  /** The log that a device holds entries of: the one that there is, or one that was until a restore. */
  known(device: string, log: LogName): Known {
    return this.#standing(device, log).known
  }

  /** The entries of a log that a device holds. */
  entries(device: string, log: LogName): readonly ReadEntry[] {
    const { known, position } = this.#standing(device, log)
    return known.entries.slice(0, position)
  }

  /** A device has moved its cursor. */
  applied(fact: FactOf<'applied'>): void {
    const { device, log, after, upTo, ids } = fact
    const { standings } = this.#device(device)
    const { known: before, position } = this.#standing(device, log)
    if (after !== position)
      fail('I3', `${device} applies after ${after} and stands at ${position}.`)
    if (ids.length !== upTo - after) {
      fail('I3', `${device} applies ${ids.length} entries for ${after}…${upTo}.`)
    }
    const isCommon = (known: Known) => isPrefix(before, position, known)
    const known = this.#findHeld(device, log, ids, after, isCommon)
    standings.set(logKey(log), { known, position: upTo })
    this.#owe(device, known, after, upTo)
    this.#relist(device, known.entries.slice(after, upTo))
  }

  /** What the app has dealt with meanwhile is on the list again. */
  #relist(device: string, entries: readonly ReadEntry[]): void {
    const { reread } = this.#device(device)
    for (const { event } of entries) {
      const { type, causationId: id = '' } = event
      const isAgain = type === 'tidemark.DeadLettered' && reread.delete(id)
      if (isAgain) this.#truth.appended(id).isResolved = false
    }
  }

  /** A device has taken entries back. */
  rewound({ device, log, upTo }: FactOf<'rewound'>): void {
    const { known, position } = this.#standing(device, log)
    if (upTo > position) fail('I3', `${device} goes back to ${upTo} and stands at ${position}.`)
    const { standings, letters, reread } = this.#device(device)
    standings.set(logKey(log), { known, position: upTo })
    // What says that a service has set something aside is read anew, also where the app has dealt with that.
    for (const { event } of known.entries.slice(upTo, position)) {
      const { type, causationId: id = '' } = event
      if (type !== 'tidemark.DeadLettered' || !this.#isOwn(device, id)) continue
      letters.delete(id)
      reread.add(id)
      this.#truth.appended(id).isResolved = false
    }
  }

  #isOwn(device: string, id: string): boolean {
    return this.#truth.appendedBy(device).includes(id)
  }

  #standing(device: string, log: LogName): Standing {
    const found = this.#device(device).standings.get(logKey(log))
    return found ?? { known: this.#truth.log(log), position: 0 }
  }

  /** What a service has set aside enters its author's list with the entry that says so. */
  #owe(device: string, { entries }: Known, after: number, upTo: number): void {
    for (const { event } of entries.slice(after, upTo)) {
      const { type, causationId: id = '' } = event
      const isOwed = type === 'tidemark.DeadLettered' && this.#isOwn(device, id)
      if (isOwed) this.#device(device).letters.add(id)
    }
  }

  /** The log that has these entries after a position: the one there is, or one that there was. */
  #findHeld(
    device: string,
    log: LogName,
    ids: readonly string[],
    after: number,
    mayBe: (known: Known) => boolean,
  ): Known {
    const current = this.#truth.log(log)
    const all = [current, ...current.past.toReversed()]
    const held = all.find(
      (known) => ids.every((id, at) => known.positions.get(id) === after + at + 1) && mayBe(known),
    )
    if (held) return held
    const truth = current.entries.slice(after).map(({ event }) => event.id)
    const at = ids.findIndex((id, index) => id !== truth[index])
    const place = this.#truth.place(ids[at] ?? '')
    const isKnownElsewhere = at >= 0 && place !== undefined && place.log !== logKey(log)
    return fail(
      isKnownElsewhere ? 'I4' : 'I3',
      `${device} holds ${ids.length} entries of ${logKey(log)} after ${after}, and the log ${truth.length}; ` +
        `they differ at ${at < 0 ? 'the end, or before' : after + at + 1}.`,
    )
  }

  /** A device's disk was looked at. */
  held(fact: FactOf<'device'>): void {
    const { device, logs } = fact
    const known = this.#device(device)
    known.pending = new Set(fact.pending)
    // An event that a service has parked is on its author's list too, and in the log all the same.
    const refused = fact.refused.filter(({ code }) => code !== 'DEAD_LETTERED')
    known.refused = new Set(refused.map(({ id }) => id))
    if (known.pending.size !== fact.pending.length) fail('I14', `${device} has one pending twice.`)
    for (const held of logs) this.#seeHeld(device, held)
    this.#checkListed(device, known, fact.refused)
    for (const id of this.#truth.appendedBy(device)) this.#checkKept(device, known, id)
  }

  /** The list of refused events: all that it should have, and nothing that has no reason. */
  #checkListed(device: string, { letters, refused }: Device, list: Listed): void {
    const listed = new Set(list.map(({ id }) => id))
    for (const id of letters) {
      if (listed.has(id) || this.#truth.appended(id).isResolved) continue
      fail('I14', `A service has set ${id} aside, and ${device} does not list it.`)
    }
    for (const id of refused) {
      if (this.#answers.mayBeRefused(id)) continue
      fail('I14', `${device} calls ${id} refused, and no gateway has said so.`)
    }
    for (const { id, code } of list) {
      if (this.#truth.appended(id).isResolved) {
        fail('I14', `${id} is refused on ${device}, where the app has dealt with it.`)
      }
      const decisions = code === 'REVISION_CONFLICT' ? this.#truth.decisionsOn(id) : decisionsMax
      if (decisions < decisionsMax) fail('I21', `${id} is given up after ${decisions} decisions.`)
    }
  }

  #seeHeld(device: string, { log, position, ids }: DeviceLog): void {
    if (ids.length !== position) {
      fail(
        'I3',
        `${device} holds ${ids.length} entries of ${logKey(log)} and stands at ${position}.`,
      )
    }
    const { standings, letters } = this.#device(device)
    const known = this.#findHeld(device, log, ids, 0, () => true)
    standings.set(logKey(log), { known, position })
    letters.clear()
    this.#owe(device, known, 0, position)
  }

  /** The law of conservation: an event is in one place, and there is no other way out of the outbox. */
  #checkKept(device: string, { pending, refused, standings }: Device, id: string): void {
    const { log, isForgotten, isPromised, left, isResolved } = this.#truth.appended(id)
    const standing = standings.get(log)
    const isApplied = (standing?.known.positions.get(id) ?? Infinity) <= (standing?.position ?? 0)
    const wasAccepted = this.#truth.wasAccepted(id)
    if (left) {
      const also = pending.has(id) ? 'pending' : refused.has(id) ? 'refused' : undefined
      if (also) fail('I14', `${id} is ${left} and ${also} on ${device}.`)
      return
    }
    if (pending.has(id)) {
      if (refused.has(id)) fail('I14', `${id} is pending and refused on ${device}.`)
      if (isApplied) fail('I9', `${id} is pending and applied on ${device}: it shows twice.`)
      return
    }
    // What was lost in a restore may have been refused since, and that been dealt with.
    const isDone = isResolved && !this.#truth.place(id) && this.#answers.mayBeRefused(id)
    if (refused.has(id) || isForgotten || isDone) return
    if (wasAccepted ? standing && !isApplied : true) {
      const invariant = wasAccepted && isPromised ? 'I10' : 'I14'
      fail(invariant, `${id} is neither pending nor applied nor refused on ${device}.`)
    }
  }

  #device(device: string): Device {
    const known = this.#devices.get(device) ?? {
      standings: new Map<string, Standing>(),
      pending: new Set<string>(),
      refused: new Set<string>(),
      letters: new Set<string>(),
      reread: new Set<string>(),
    }
    this.#devices.set(device, known)
    return known
  }
}
