/**
 * The invariants, judged from what was seen at the ports. Nothing here calls production code or trusts
 * its answers: the model of the truth is what the gateway's disk has committed. A check fails at the
 * fact that breaks it, so that a trace ends where the trouble begins.
 */
import { type LogName, logKey } from '@tidemark/shared'
import type { Answer, DeviceLog, Fact } from './history.ts'
import { idOf, type ReadEntry, type ReadEvent, readEntry, readEvent } from './lines.ts'

/** The invariants that are judged. */
export const invariants = {
  I1: 'No acknowledged event is lost.',
  I2: 'Nothing is in a log that nobody appended, and nothing with other bytes or another author.',
  I3: 'A reader gets all of a log, in order, without a gap and nothing twice.',
  I4: 'There is one order: everybody who sees a position sees the same event there.',
  I5: 'The events of one device and stream stand in the order in which they were appended.',
  I6: 'The revisions of a stream are 1, 2, 3, … without a hole.',
  I8: 'The same id has the same answer for ever, and stands in the log once.',
  I9: 'What a service answers to an event is in the log once.',
  I10: 'What the app was told is saved is on the device, or in the log, or refused.',
  I13: 'A batch stands in the log whole and side by side, or not at all.',
  I14: 'No event vanishes: pending, accepted or refused, and refused only by the gateway.',
  I15: 'A message is settled only when its event is in the log.',
  I16: 'What is accepted is published, at least once and each stream in order.',
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

const fail = (invariant: Invariant, what: string): never => {
  throw new Violation(invariant, what)
}

interface Appended {
  readonly device: string
  readonly author: string
  readonly log: string
  readonly line: string
  readonly stream: string
  /** Its place among everything appended on its device. */
  readonly order: number
  readonly batch: readonly string[]
  isPromised: boolean
  isForgotten: boolean
}

interface Known {
  readonly entries: ReadEntry[]
  readonly lines: string[]
  readonly revisions: Map<string, number>
  /** By device and stream: the order of the newest event. */
  readonly orders: Map<string, number>
  readonly published: Set<string>
  readonly publishedRevision: Map<string, number>
}

interface Device {
  /** How far it is in each log. */
  readonly positions: Map<string, number>
  pending: ReadonlySet<string>
  refused: ReadonlySet<string>
}

/** Judges the facts of one run as they come. */
export class Judge {
  readonly #appended = new Map<string, Appended>()
  readonly #byDevice = new Map<string, string[]>()
  readonly #replied = new Map<string, string>()
  readonly #answers = new Map<string, Answer>()
  readonly #repliesTo = new Map<string, string>()
  readonly #places = new Map<string, { readonly log: string; readonly position: number }>()
  readonly #logs = new Map<string, Known>()
  readonly #devices = new Map<string, Device>()
  #count = 0

  /** Takes a fact in. Throws a `Violation` where it breaks an invariant. */
  see(fact: Fact): void {
    switch (fact.type) {
      case 'appended':
        return this.#seeAppended(fact)
      case 'promised':
        return fact.events.forEach(({ id, data }) => this.#seePromised(id, data))
      case 'forgotten':
        return fact.ids.forEach((id) => void (this.#known(id).isForgotten = true))
      case 'replied':
        return void this.#replied.set(idOf(fact.line), fact.line)
      case 'committed':
        return this.#seeCommitted(fact.log, fact.lines)
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
        if (!this.#places.has(fact.id)) fail('I15', `${fact.id} was settled and is in no log.`)
    }
  }

  /** The ids that a log holds, in order. */
  ids(log: LogName): readonly string[] {
    return this.#log(log).entries.map(({ event }) => event.id)
  }

  /** The entries that a log holds, in order. */
  entries(log: LogName): readonly ReadEntry[] {
    return this.#log(log).entries
  }

  /** What a device holds as pending. */
  pending(device: string): readonly string[] {
    return [...this.#device(device).pending]
  }

  /** Everything that a device has ever appended. */
  appendedBy(device: string): readonly string[] {
    return this.#byDevice.get(device) ?? []
  }

  /** How far a device is in a log. */
  position(device: string, log: LogName): number {
    return this.#device(device).positions.get(logKey(log)) ?? 0
  }

  /** The client's events that the broker has not got, beyond those of parked streams. */
  unpublished(log: LogName): readonly string[] {
    const { entries, published } = this.#log(log)
    return entries
      .filter(({ source, event }) => source === 'client' && !published.has(event.id))
      .map(({ event }) => event.id)
  }

  /** What services have answered and no log holds. */
  unheard(): readonly string[] {
    return [...this.#replied.keys()].filter((id) => !this.#places.has(id))
  }

  #log(log: LogName): Known {
    const key = logKey(log)
    const known = this.#logs.get(key) ?? {
      entries: [],
      lines: [],
      revisions: new Map<string, number>(),
      orders: new Map<string, number>(),
      published: new Set<string>(),
      publishedRevision: new Map<string, number>(),
    }
    this.#logs.set(key, known)
    return known
  }

  #device(device: string): Device {
    const known = this.#devices.get(device) ?? {
      positions: new Map<string, number>(),
      pending: new Set<string>(),
      refused: new Set<string>(),
    }
    this.#devices.set(device, known)
    return known
  }

  #known(id: string): Appended {
    return this.#appended.get(id) ?? fail('I2', `Nobody appended ${id}.`)
  }

  #seeAppended({ device, author, log, lines }: Extract<Fact, { type: 'appended' }>): void {
    const batch = lines.map(idOf)
    for (const line of lines) {
      const { id, stream } = readEvent(line)
      if (this.#appended.has(id)) fail('I8', `${id} was appended twice.`)
      this.#appended.set(id, {
        device,
        author,
        log: logKey(log),
        line,
        stream,
        order: ++this.#count,
        batch,
        isPromised: false,
        isForgotten: false,
      })
    }
    const all = this.#byDevice.get(device) ?? []
    all.push(...batch)
    this.#byDevice.set(device, all)
  }

  #seePromised(id: string, data: unknown): void {
    const appended = this.#appended.get(id)
    if (!appended) return fail('I10', `${id} was called saved, and no transaction holds it.`)
    if (JSON.stringify(readEvent(appended.line).data) !== JSON.stringify(data)) {
      fail('I2', `${id} is not what the app appended: ${appended.line}.`)
    }
    appended.isPromised = true
  }

  #seeCommitted(log: LogName, lines: readonly string[]): void {
    const known = this.#log(log)
    for (const line of lines) {
      const entry = readEntry(line)
      if (entry.position !== known.entries.length + 1) {
        fail('I3', `${logKey(log)} goes from ${known.entries.length} to ${entry.position}.`)
      }
      const twice = this.#places.get(entry.event.id)
      if (twice) fail('I8', `${entry.event.id} is at ${twice.position} and ${entry.position}.`)
      const before = known.entries.at(-1)
      if (before && before.receivedAt > entry.receivedAt) {
        fail('I4', `receivedAt goes back at ${entry.position}.`)
      }
      this.#checkOrigin(log, entry)
      this.#checkOrder(known, entry)
      this.#checkReply(entry)
      known.entries.push(entry)
      known.lines.push(line)
      this.#places.set(entry.event.id, { log: logKey(log), position: entry.position })
    }
    this.#checkBatches(lines)
  }

  #checkOrigin(log: LogName, { event, claim, author, source }: ReadEntry): void {
    const appended = this.#appended.get(event.id)
    const line = appended?.line ?? this.#replied.get(event.id)
    if (line === undefined) return fail('I2', `Nobody appended ${event.id}.`)
    if (!appended) return this.#checkReplied(readEvent(line), { event, source })
    if (line !== claim) fail('I2', `${event.id} has other bytes: ${claim} instead of ${line}.`)
    if (appended.author !== author) fail('I2', `${event.id} is not by ${author}.`)
    if (appended.log !== logKey(log)) fail('I2', `${event.id} is of ${appended.log}.`)
    if (source !== 'client') fail('I2', `${event.id} came in by the ${source}.`)
  }

  #checkReplied(replied: ReadEvent, { event, source }: Pick<ReadEntry, 'event' | 'source'>): void {
    const pick = ({ stream, type, causationId, data }: ReadEvent) =>
      JSON.stringify([stream, type, causationId, data])
    if (source !== 'broker') fail('I2', `${event.id} is no client’s.`)
    if (pick(replied) !== pick(event)) fail('I2', `${event.id} is not what its service answered.`)
  }

  #checkOrder(known: Known, { event, revision }: ReadEntry): void {
    const { id, stream } = event
    const newest = known.revisions.get(stream) ?? 0
    if (revision !== newest + 1) fail('I6', `${stream} goes from ${newest} to ${revision}.`)
    known.revisions.set(stream, revision)
    const appended = this.#appended.get(id)
    if (!appended) return
    const key = `${appended.device} ${stream}`
    const before = known.orders.get(key) ?? 0
    if (before > appended.order) fail('I5', `${id} of ${key} comes after one appended later.`)
    known.orders.set(key, appended.order)
  }

  #checkReply({ event }: ReadEntry): void {
    const { id, causationId } = event
    if (!causationId || !this.#replied.has(id)) return
    const other = this.#repliesTo.get(causationId)
    if (other) fail('I9', `${causationId} was answered with ${other} and ${id}.`)
    this.#repliesTo.set(causationId, id)
  }

  #checkBatches(lines: readonly string[]): void {
    for (const line of lines) {
      const id = idOf(line)
      const batch = this.#appended.get(id)?.batch ?? []
      const first = this.#places.get(batch[0] ?? '')
      for (const [index, member] of batch.entries()) {
        const place = this.#places.get(member)
        if (!first || place?.position !== first.position + index) {
          fail('I13', `${member} does not stand beside ${batch[0]}.`)
        }
      }
    }
  }

  #seeReread(log: LogName, lines: readonly string[]): void {
    const known = this.#log(log)
    for (const [index, line] of known.lines.entries()) {
      if (lines[index] === line) continue
      const id = known.entries[index]?.event.id ?? ''
      if (this.#answers.get(id)?.type === 'accepted') fail('I1', `${id} is gone from the log.`)
      fail('I4', `${logKey(log)} has something else at ${index + 1}: ${lines[index] ?? 'nothing'}.`)
    }
    this.#seeCommitted(log, lines.slice(known.lines.length))
  }

  #seeAnswered(log: LogName, id: string, answer: Answer): void {
    const before = this.#answers.get(id)
    if (before && JSON.stringify(before) !== JSON.stringify(answer)) {
      fail('I8', `${id}: first ${JSON.stringify(before)}, then ${JSON.stringify(answer)}.`)
    }
    this.#answers.set(id, answer)
    const place = this.#places.get(id)
    if (answer.type === 'refused') {
      if (place) fail('I8', `${id} is refused and at ${place.position}.`)
      return
    }
    const entry = this.#log(log).entries[answer.position - 1]
    if (entry?.event.id !== id) {
      fail('I1', `${id} was acknowledged at ${answer.position}, where ${entry?.event.id} is.`)
    }
    if (entry?.revision !== answer.revision) fail('I8', `${id} has revision ${entry?.revision}.`)
  }

  /** What the app learns is what the gateway said: an accepted event’s own place, or a refusal there was. */
  #seeTold(id: string, answer: Extract<Fact, { type: 'told' }>['answer']): void {
    const place = this.#places.get(id)
    if (answer.type === 'accepted' && place?.position !== answer.position) {
      fail(
        'I8',
        `The app is told that ${id} is at ${answer.position}, and it is at ${place?.position}.`,
      )
    }
    const batch = this.#appended.get(id)?.batch ?? []
    const isRefused = batch.some((each) => this.#answers.get(each)?.type === 'refused')
    if (answer.type === 'refused' && !isRefused) {
      fail('I8', `The app is told that ${id} is refused, and no gateway has said so.`)
    }
  }

  #seeDelivered({ log, after, upTo, lines }: Extract<Fact, { type: 'delivered' }>): void {
    const known = this.#log(log)
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
  }

  #checkHeld(
    device: string,
    log: LogName,
    ids: readonly string[],
    after: number,
    upTo: number,
  ): void {
    const { entries } = this.#log(log)
    const truth = entries.slice(after, upTo).map(({ event }) => event.id)
    if (truth.length === upTo - after && truth.join() === ids.join()) return
    const at = ids.findIndex((id, index) => id !== truth[index])
    const place = this.#places.get(ids[at] ?? '')
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
    known.refused = new Set(fact.refused)
    if (known.pending.size !== fact.pending.length) fail('I14', `${device} has one pending twice.`)
    for (const held of logs) this.#seeHeld(device, held)
    for (const id of fact.refused) {
      if (this.#answers.get(id)?.type !== 'refused') {
        fail('I14', `${device} calls ${id} refused, and no gateway has said so.`)
      }
    }
    for (const id of this.#byDevice.get(device) ?? []) this.#checkKept(device, known, id)
  }

  #seeHeld(device: string, { log, position, ids }: DeviceLog): void {
    this.#checkHeld(device, log, ids, 0, position)
    this.#device(device).positions.set(logKey(log), position)
  }

  /** The law of conservation: an event is pending, or accepted, or refused, and exactly one of them. */
  #checkKept(device: string, { pending, refused, positions }: Device, id: string): void {
    const { log, isForgotten, isPromised } = this.#known(id)
    const place = this.#places.get(id)
    const isApplied = place !== undefined && (positions.get(place.log) ?? 0) >= place.position
    const isReader = positions.has(log)
    if (pending.has(id)) {
      if (refused.has(id)) fail('I14', `${id} is pending and refused on ${device}.`)
      if (isApplied) fail('I9', `${id} is pending and applied on ${device}: it shows twice.`)
      return
    }
    if (refused.has(id) || isForgotten) return
    if (place ? isReader && !isApplied : true) {
      const invariant = place && isPromised ? 'I10' : 'I14'
      fail(invariant, `${id} is neither pending nor applied nor refused on ${device}.`)
    }
  }

  #seePublished(log: LogName, id: string): void {
    const { published, publishedRevision } = this.#log(log)
    const place = this.#places.get(id)
    if (!place) return fail('I16', `${id} was published and is in no log.`)
    if (published.has(id)) return
    published.add(id)
    const entry = this.#log(log).entries[place.position - 1]
    if (!entry) return
    if (entry.source !== 'client') fail('I16', `${id} came from the broker and went back to it.`)
    const { stream } = entry.event
    const before = publishedRevision.get(stream) ?? 0
    if (before > entry.revision) fail('I16', `${id} of ${stream} was overtaken on the broker.`)
    publishedRevision.set(stream, entry.revision)
  }

  #seeRelayed({ log, upTo, parked }: Extract<Fact, { type: 'relayed' }>): void {
    const { entries, published } = this.#log(log)
    for (const { event, source } of entries.slice(0, upTo)) {
      if (source !== 'client' || published.has(event.id) || parked.includes(event.stream)) continue
      fail('I16', `The relay is past ${event.id}, which no broker has.`)
    }
  }
}
