/**
 * The invariants, judged from what was seen at the ports. Nothing here calls production code or trusts
 * its answers: the model of the truth is what the gateway's disk has committed. A check fails at the
 * fact that breaks it, so that a trace ends where the trouble begins.
 */
import { type LogName, logKey } from '@tidemark/shared'
import { Answers } from './answers.ts'
import { Effects } from './effects.ts'
import type { Fact } from './history.ts'
import { Holdings } from './holdings.ts'
import { fail } from './invariants.ts'
import { idOf, type ReadEntry } from './lines.ts'
import { attemptsMax } from './options.ts'
import { inventoryLog, isHandled } from './topics.ts'
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

/** What became of an event in the end. */
export interface Outcome {
  readonly type: 'accepted' | 'refused' | 'superseded' | 'withdrawn'
  readonly position?: number
}

/** Judges the facts of one run as they come. */
export class Judge {
  readonly #truth = new Truth()
  readonly #effects = new Effects()
  /** Does the service keep the order of streams? Where the broker gives messages up, it cannot. */
  isOrdered = true
  readonly #answers = new Answers(this.#truth)
  readonly #holdings = new Holdings(this.#truth, this.#answers)

  /** Takes a fact in. Throws a `Violation` where it breaks an invariant. */
  see(fact: Fact): void {
    switch (fact.type) {
      case 'appended':
        return this.#truth.append(
          fact,
          (id) => this.#answers.conflictOf(id),
          this.#holdings.known(fact.device, fact.log),
        )
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
      case 'barred':
        return this.#truth.bar(fact.device)
      case 'restored':
        fact.logs.forEach((each) => this.#truth.restore(each))
        return this.#answers.restored()
      case 'answered':
        return this.#answers.answered(fact)
      case 'delivered':
        return this.#seeDelivered(fact)
      case 'applied':
        return this.#holdings.applied(fact)
      case 'rewound':
        return this.#holdings.rewound(fact)
      case 'device':
        return this.#holdings.held(fact)
      case 'published':
        return this.#seePublished(fact.log, fact.id)
      case 'relayed':
        return this.#seeRelayed(fact)
      case 'told':
        return this.#answers.told(fact)
      case 'settled':
        if (!this.#truth.isSafe(fact.id)) fail('I15', `${fact.id} was settled and is in no log.`)
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
    return this.#holdings.pending(device)
  }

  /** Everything that a device has ever appended. */
  appendedBy(device: string): readonly string[] {
    return this.#truth.appendedBy(device)
  }

  /** What a device has to say became of an event, once everything has come together; nothing where it need not know. */
  outcome(id: string): Outcome | undefined {
    const place = this.#truth.place(id)
    const { log, left, isResolved, isForgotten } = this.#truth.appended(id)
    // Of a log that it does not read, a device that lost power has nothing that would tell it.
    if (isForgotten && log !== logKey(inventoryLog)) return undefined
    if (place) return { type: 'accepted', position: place.position }
    if (left) return { type: left }
    if (isResolved || isForgotten) return undefined
    // Of what a restore has lost of a log that it does not read, it has not heard, and nobody has.
    if (log !== logKey(inventoryLog) && this.#truth.wasAccepted(id)) return undefined
    return { type: 'refused' }
  }

  /** The entries of a log that a device holds: where it has not heard of a restore yet, those that there were. */
  entriesOn(device: string, log: LogName): readonly ReadEntry[] {
    return this.#holdings.entries(device, log)
  }

  /** How far a device is in a log, with entries that the log has today. */
  position(device: string, log: LogName): number {
    return this.#holdings.position(device, log)
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

  /** The first event that a service has parked, and whose author no log has ever told of it. */
  untold(): string | undefined {
    return [...this.#effects.parked].find((id) => !this.#truth.wasSetAside(id))
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

  #seeReread(log: LogName, lines: readonly string[]): void {
    const known = this.#truth.log(log)
    for (const [index, line] of known.lines.entries()) {
      if (lines[index] === line) continue
      const id = known.entries[index]?.event.id ?? ''
      if (this.#answers.isAccepted(id)) fail('I1', `${id} is gone from the log.`)
      fail('I4', `${logKey(log)} has something else at ${index + 1}: ${lines[index] ?? 'nothing'}.`)
    }
    this.#truth.commit(log, lines.slice(known.lines.length))
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
