/** What devices hold, judged by the law of conservation: what was appended is in one place, on every device. */
import { type LogName, logKey } from '@tidemark/shared'
import type { Answers } from './answers.ts'
import type { DeviceLog, Fact } from './history.ts'
import { fail } from './invariants.ts'
import type { Truth } from './truth.ts'

type FactOf<Type extends Fact['type']> = Extract<Fact, { type: Type }>
type Listed = FactOf<'device'>['refused']

interface Device {
  /** How far it is in each log. */
  readonly positions: Map<string, number>
  pending: ReadonlySet<string>
  refused: ReadonlySet<string>
  /** Its own events that the entries on it say a service has set aside. */
  readonly letters: Set<string>
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

  /** How far a device is in a log. */
  position(device: string, log: LogName): number {
    return this.#device(device).positions.get(logKey(log)) ?? 0
  }

  /** A device has moved its cursor. */
  applied(fact: FactOf<'applied'>): void {
    const { device, log, after, upTo, ids } = fact
    const { positions } = this.#device(device)
    const position = positions.get(logKey(log)) ?? 0
    if (after !== position)
      fail('I3', `${device} applies after ${after} and stands at ${position}.`)
    this.#checkHeld(device, log, ids, after, upTo)
    positions.set(logKey(log), upTo)
    this.#owe(device, log, after, upTo)
  }

  /** What a service has set aside enters its author's list with the entry that says so. */
  #owe(device: string, log: LogName, after: number, upTo: number): void {
    const own = new Set(this.#truth.appendedBy(device))
    for (const { event } of this.#truth.log(log).entries.slice(after, upTo)) {
      const { type, causationId: id = '' } = event
      if (type === 'tidemark.DeadLettered' && own.has(id)) this.#device(device).letters.add(id)
    }
  }

  #checkHeld(
    device: string,
    log: LogName,
    ids: readonly string[],
    after: number,
    upTo: number,
  ): void {
    const { entries } = this.#truth.log(log)
    const truth = entries.slice(after, upTo).map(({ event }) => event.id)
    if (truth.length === upTo - after && truth.join() === ids.join()) return
    const at = ids.findIndex((id, index) => id !== truth[index])
    const place = this.#truth.place(ids[at] ?? '')
    const isKnownElsewhere = at >= 0 && place !== undefined && place.log !== logKey(log)
    fail(
      isKnownElsewhere ? 'I4' : 'I3',
      `${device} holds ${ids.length} entries of ${logKey(log)} for ${after}…${upTo}, ` +
        `and the log ${truth.length}; they differ at ${at < 0 ? 'the end' : after + at + 1}.`,
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
    this.#checkHeld(device, log, ids, 0, position)
    const known = this.#device(device)
    known.positions.set(logKey(log), position)
    known.letters.clear()
    this.#owe(device, log, 0, position)
  }

  /** The law of conservation: an event is in one place, and there is no other way out of the outbox. */
  #checkKept(device: string, { pending, refused, positions }: Device, id: string): void {
    const { log, isForgotten, isPromised, left, isResolved } = this.#truth.appended(id)
    const place = this.#truth.place(id)
    const isApplied = place !== undefined && (positions.get(place.log) ?? 0) >= place.position
    const isReader = positions.has(log)
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
    if (refused.has(id) || isForgotten || (isResolved && !place)) return
    if (place ? isReader && !isApplied : true) {
      const invariant = place && isPromised ? 'I10' : 'I14'
      fail(invariant, `${id} is neither pending nor applied nor refused on ${device}.`)
    }
  }

  #device(device: string): Device {
    const known = this.#devices.get(device) ?? {
      positions: new Map<string, number>(),
      pending: new Set<string>(),
      refused: new Set<string>(),
      letters: new Set<string>(),
    }
    this.#devices.set(device, known)
    return known
  }
}
