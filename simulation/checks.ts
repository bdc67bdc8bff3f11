/**
 * The invariants, judged from what was seen at the ports. Nothing here calls production code or trusts
 * its answers: the model of the truth is what the gateway's disk has committed. A check fails at the
 * fact that breaks it, so that a trace ends where the trouble begins.
 */
import { type LogName, logKey } from '@tidemark/shared'
import { Effects } from './effects.ts'
import type { Answer, DeviceLog, Fact } from './history.ts'
import { fail } from './invariants.ts'
import { idOf, type ReadEntry } from './lines.ts'
import { attemptsMax } from './options.ts'
import { isHandled } from './topics.ts'
import { Truth } from './truth.ts'

type ServiceFact = Extract<
  Fact,
  {
    type:
      | 'handed'
      | 'tried'
      | 'effect'
      | 'parked'
      | 'redriven'
      | 'claimed'
      | 'called'
      | 'moved'
      | 'ended'
  }
>

interface Device {
  /** How far it is in each log. */
  readonly positions: Map<string, number>
  pending: ReadonlySet<string>
  refused: ReadonlySet<string>
  /** Its own events that the entries on it say a service has set aside. */
  readonly letters: Set<string>
}

/** Judges the facts of one run as they come. */
export class Judge {
  readonly #truth = new Truth()
  readonly #effects = new Effects()
  /** Does the service keep the order of streams? Where the broker gives messages up, it cannot. */
  isOrdered = true
  readonly #answers = new Map<string, Answer>()
  readonly #devices = new Map<string, Device>()

  /** Takes a fact in. Throws a `Violation` where it breaks an invariant. */
  see(fact: Fact): void {
    switch (fact.type) {
      case 'appended':
        return this.#truth.append(fact, (id) => this.#conflictOf(id))
      case 'promised':
        return fact.events.forEach(({ id, data }) => this.#truth.promise(id, data))
      case 'left':
        return this.#truth.leave(fact)
      case 'resolved':
        return fact.ids.forEach((id) => void (this.#truth.appended(id).isResolved = true))
      case 'decided':
        return this.#truth.decide(fact)
      case 'forgotten':
        fact.ids.forEach((id) => void (this.#truth.appended(id).isForgotten = true))
        return fact.unresolved.forEach((id) => void (this.#truth.appended(id).isResolved = false))
      case 'replied':
        return this.#truth.reply(fact.line)
      case 'committed':
        return this.#truth.commit(fact.log, fact.lines)
      case 'reread':
        return this.#seeReread(fact.log, fact.lines)
      case 'answered':
        return this.#seeAnswered(fact.log, fact.id, fact.answer)
      case 'delivered':
        return this.#seeDelivered(fact)
      case 'applied':
        return this.#seeApplied(fact)
      case 'device':
        return this.#seeDevice(fact)
      case 'published':
        return this.#seePublished(fact.log, fact.id)
      case 'relayed':
        return this.#seeRelayed(fact)
      case 'told':
        return this.#seeTold(fact.id, fact.answer)
      case 'settled':
        if (!this.#truth.place(fact.id)) fail('I15', `${fact.id} was settled and is in no log.`)
        return
      default:
        return this.#seeService(fact)
    }
  }

  /** The ids that a log holds, in order. */
  ids(log: LogName): readonly string[] {
    return this.#truth.log(log).entries.map(({ event }) => event.id)
  }

  /** The entries that a log holds, in order. */
  entries(log: LogName): readonly ReadEntry[] {
    return this.#truth.log(log).entries
  }

  /** What a device holds as pending. */
  pending(device: string): readonly string[] {
    return [...this.#device(device).pending]
  }

  /** Everything that a device has ever appended. */
  appendedBy(device: string): readonly string[] {
    return this.#truth.appendedBy(device)
  }

  /** How far a device is in a log. */
  position(device: string, log: LogName): number {
    return this.#device(device).positions.get(logKey(log)) ?? 0
  }

  /** The client's events that the broker has not got, beyond those of parked streams. */
  unpublished(log: LogName): readonly string[] {
    const { entries, published } = this.#truth.log(log)
    return entries
      .filter(({ source, event }) => source === 'client' && !published.has(event.id))
      .map(({ event }) => event.id)
  }

  /** What services have answered and no log holds. */
  unheard(): readonly string[] {
    return this.#truth.unheard()
  }

  /** The first event of a log that a service should have dealt with, and that has neither its effect nor waits in `elsewhere`. */
  undone(log: LogName, elsewhere: (id: string) => boolean): string | undefined {
    return this.#truth
      .log(log)
      .entries.find(
        ({ event: { id, type } }) => isHandled(type) && !this.#effects.has(id) && !elsewhere(id),
      )?.event.id
  }

  /** The first event that a service has parked, and whose author no log tells of it. */
  untold(log: LogName): string | undefined {
    const letters = this.#truth
      .log(log)
      .entries.filter(({ event }) => event.type === 'tidemark.DeadLettered')
    const told = new Set(letters.map(({ event }) => event.causationId))
    return [...this.#effects.parked].find((id) => !told.has(id))
  }

  #seeService(fact: ServiceFact): void {
    const effects = this.#effects
    switch (fact.type) {
      case 'handed':
        return effects.handed(fact)
      case 'tried':
        return effects.tried(fact, attemptsMax)
      case 'effect':
        return effects.effect(fact, this.isOrdered)
      case 'parked':
        return effects.park(fact)
      case 'redriven':
        return effects.redriven(fact)
      case 'claimed':
        return effects.claimed(fact)
      case 'called':
        return effects.called(fact)
      case 'moved':
        return effects.moved(fact)
      case 'ended':
        return effects.ended(fact)
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

  #seeReread(log: LogName, lines: readonly string[]): void {
    const known = this.#truth.log(log)
    for (const [index, line] of known.lines.entries()) {
      if (lines[index] === line) continue
      const id = known.entries[index]?.event.id ?? ''
      if (this.#answers.get(id)?.type === 'accepted') fail('I1', `${id} is gone from the log.`)
      fail('I4', `${logKey(log)} has something else at ${index + 1}: ${lines[index] ?? 'nothing'}.`)
    }
    this.#truth.commit(log, lines.slice(known.lines.length))
  }

  #seeAnswered(log: LogName, id: string, answer: Answer): void {
    const before = this.#answers.get(id)
    if (before && JSON.stringify(before) !== JSON.stringify(answer)) {
      fail('I8', `${id}: first ${JSON.stringify(before)}, then ${JSON.stringify(answer)}.`)
    }
    this.#answers.set(id, answer)
    const place = this.#truth.place(id)
    if (answer.type === 'refused') {
      if (place) fail('I8', `${id} is refused and at ${place.position}.`)
      return
    }
    const entry = this.#truth.log(log).entries[answer.position - 1]
    if (entry?.event.id !== id) {
      fail('I1', `${id} was acknowledged at ${answer.position}, where ${entry?.event.id} is.`)
    }
    if (entry?.revision !== answer.revision) fail('I8', `${id} has revision ${entry?.revision}.`)
  }

  /** What the app learns is what the gateway said: an accepted event’s own place, or a refusal there was. */
  #seeTold(id: string, answer: Extract<Fact, { type: 'told' }>['answer']): void {
    const place = this.#truth.place(id)
    if (answer.type === 'accepted' && place?.position !== answer.position) {
      fail(
        'I8',
        `The app is told that ${id} is at ${answer.position}, and it is at ${place?.position}.`,
      )
    }
    const { batch, left } = this.#truth.appended(id)
    if (answer.type === 'refused' && !batch.some((each) => this.#mayBeRefused(each))) {
      fail('I8', `The app is told that ${id} is refused, and no gateway has said so.`)
    }
    if (answer.type === 'withdrawn' && left !== 'withdrawn') {
      fail('I21', `The app is told that ${id} is withdrawn, and it is ${left ?? 'not'}.`)
    }
  }

  #conflictOf(id: string): number | undefined {
    const answer = this.#answers.get(id)
    return answer?.type === 'refused' ? answer.actual : undefined
  }

  /** Refused is what the gateway has refused, and what rests on an event that never comes. */
  #mayBeRefused(id: string): boolean {
    if (this.#answers.get(id)?.type === 'refused') return true
    const { after } = this.#truth.appended(id).ground
    return after !== undefined && this.#isGone(after)
  }

  #isGone(id: string): boolean {
    const { left, isResolved } = this.#truth.appended(id)
    return left !== undefined || isResolved || this.#mayBeRefused(id)
  }

  #seeDelivered({ log, after, upTo, lines }: Extract<Fact, { type: 'delivered' }>): void {
    const known = this.#truth.log(log)
    if (lines.length !== upTo - after) fail('I3', `${lines.length} entries for ${after}…${upTo}.`)
    for (const [index, line] of lines.entries()) {
      if (known.lines[after + index] === line) continue
      const invariant = idOf(known.lines[after + index] ?? '') === idOf(line) ? 'I4' : 'I3'
      fail(invariant, `${logKey(log)} does not have this at ${after + index + 1}: ${line}`)
    }
  }

  #seeApplied(fact: Extract<Fact, { type: 'applied' }>): void {
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

  #seeDevice(fact: Extract<Fact, { type: 'device' }>): void {
    const { device, logs } = fact
    const known = this.#device(device)
    known.pending = new Set(fact.pending)
    // An event that a service has parked is on its author's list too, and in the log all the same.
    const refused = fact.refused.filter(({ code }) => code !== 'DEAD_LETTERED')
    known.refused = new Set(refused.map(({ id }) => id))
    for (const { id } of fact.refused) {
      if (!this.#truth.appended(id).isResolved) continue
      fail('I14', `${id} is refused on ${device}, where the app has dealt with it.`)
    }
    if (known.pending.size !== fact.pending.length) fail('I14', `${device} has one pending twice.`)
    for (const held of logs) this.#seeHeld(device, held)
    const listed = new Set(fact.refused.map(({ id }) => id))
    for (const id of known.letters) {
      if (listed.has(id) || this.#truth.appended(id).isResolved) continue
      fail('I14', `A service has set ${id} aside, and ${device} does not list it.`)
    }
    for (const id of known.refused) {
      if (!this.#mayBeRefused(id)) {
        fail('I14', `${device} calls ${id} refused, and no gateway has said so.`)
      }
    }
    for (const id of this.#truth.appendedBy(device)) this.#checkKept(device, known, id)
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

  #seePublished(log: LogName, id: string): void {
    const { published, publishedRevision } = this.#truth.log(log)
    const place = this.#truth.place(id)
    if (!place) return fail('I16', `${id} was published and is in no log.`)
    if (published.has(id)) return
    published.add(id)
    const entry = this.#truth.log(log).entries[place.position - 1]
    if (!entry) return
    if (entry.source !== 'client') fail('I16', `${id} came from the broker and went back to it.`)
    const { stream } = entry.event
    const before = publishedRevision.get(stream) ?? 0
    if (before > entry.revision) fail('I16', `${id} of ${stream} was overtaken on the broker.`)
    publishedRevision.set(stream, entry.revision)
  }

  #seeRelayed({ log, term = 0, upTo, parked }: Extract<Fact, { type: 'relayed' }>): void {
    const known = this.#truth.log(log)
    const { entries, published, relayed } = known
    if (term < relayed.term) {
      fail('I19', `A relay saves under term ${term}, and there was ${relayed.term}.`)
    }
    if (upTo < relayed.upTo) fail('I16', `The relay goes back from ${relayed.upTo} to ${upTo}.`)
    known.relayed = { term, upTo }
    for (const { event, source } of entries.slice(0, upTo)) {
      if (source !== 'client' || published.has(event.id) || parked.includes(event.stream)) continue
      fail('I16', `The relay is past ${event.id}, which no broker has.`)
    }
  }
}
