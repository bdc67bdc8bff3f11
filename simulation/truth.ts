/**
 * The model of the truth: what was appended, and what the gateway's disk holds since. What enters a log
 * is checked as it enters: where it comes from, its place, its order, and that it is whole.
 */
import { type LogName, logKey } from '@tidemark/shared'
import { Decisions, type Ground } from './decisions.ts'
import type { Fact, RestoredLog } from './history.ts'
import { fail } from './invariants.ts'
import { createKnown, type Known } from './known.ts'
import { idOf, type ReadEntry, type ReadEvent, readEntry, readEvent } from './lines.ts'

/** An event as its author appended it. */
export interface Appended {
  readonly device: string
  readonly author: string
  readonly log: string
  readonly line: string
  readonly stream: string
  /** Its place among everything appended on its device. */
  readonly order: number
  readonly batch: readonly string[]
  readonly ground: Ground
  /** The log that its device saw then. */
  readonly seen: Known
  isPromised: boolean
  isForgotten: boolean
  /** How it left the outbox without a verdict. */
  left?: 'superseded' | 'withdrawn'
  /** The app has dealt with its refusal. */
  isResolved: boolean
}

/** Where an event stands. */
export interface Place {
  readonly log: string
  readonly position: number
}

/** What was appended, and what is in the logs. */
export class Truth {
  readonly #appended = new Map<string, Appended>()
  readonly #byDevice = new Map<string, string[]>()
  readonly #replied = new Map<string, string>()
  readonly #repliesTo = new Map<string, string>()
  readonly #places = new Map<string, Place>()
  /** Where events stood that a log was restored without, once or more often. */
  readonly #lost = new Map<string, Set<number>>()
  /** The events of which a log has once said that a service has set them aside. */
  readonly #letters = new Set<string>()
  /** The devices that were not allowed to read for a while. */
  readonly #barred = new Set<string>()
  readonly #logs = new Map<string, Known>()
  readonly #decisions = new Decisions()
  #count = 0

  /** An event that a device has appended. Nobody's is `I2`. */
  appended(id: string): Appended {
    return this.#appended.get(id) ?? fail('I2', `Nobody appended ${id}.`)
  }

  /** The events that were appended together with this one. */
  batchOf(id: string): readonly string[] {
    return this.#appended.get(id)?.batch ?? []
  }

  /** Everything that a device has ever appended. */
  appendedBy(device: string): readonly string[] {
    return this.#byDevice.get(device) ?? []
  }

  /** Where an event stands, once it stands anywhere. */
  place(id: string): Place | undefined {
    return this.#places.get(id)
  }

  /** Did it stand there, in a log that was restored without it since? */
  wasAt(id: string, position: number): boolean {
    return this.#lost.get(id)?.has(position) ?? false
  }

  /** Is it in a log, or has it been until that was restored? */
  wasAccepted(id: string): boolean {
    return this.#places.has(id) || this.#lost.has(id)
  }

  /** Is it where it needs no message any more? What a device has appended and a restore has lost, that device says again. */
  isSafe(id: string): boolean {
    return this.#places.has(id) || (this.#lost.has(id) && this.#appended.has(id))
  }

  /** Has a log ever said that a service has set this aside? */
  wasSetAside(id: string): boolean {
    return this.#letters.has(id)
  }

  /** What services have answered and no log has ever held. What a restore has lost, nobody says again. */
  unheard(): readonly string[] {
    return [...this.#replied.keys()].filter((id) => !this.wasAccepted(id))
  }

  /** A service is going to publish this. */
  reply(line: string): void {
    this.#replied.set(idOf(line), line)
  }

  /** All that is known of a log. */
  log(log: LogName): Known {
    const key = logKey(log)
    const known = this.#logs.get(key) ?? createKnown([])
    this.#logs.set(key, known)
    return known
  }

  /** A device may not read: what it is offered again later comes behind what it submits meanwhile. */
  bar(device: string): void {
    this.#barred.add(device)
  }

  /** A log is a copy now of what it was. What was published of it beyond what the copy knows is published anew. */
  restore({ log, lines, relayed }: RestoredLog): void {
    const before = this.log(log)
    const strange = lines.findIndex((line, at) => line !== before.lines[at])
    if (strange >= 0) fail('I4', `${logKey(log)} is no copy at ${strange + 1}: ${lines[strange]}.`)
    const known = createKnown([...before.past, before])
    this.#logs.set(logKey(log), known)
    for (const [at, line] of lines.entries()) this.#put(known, before.entries[at]!, line)
    for (const { source, event, revision } of known.entries.slice(0, relayed)) {
      if (source !== 'client' || !before.published.has(event.id)) continue
      known.published.add(event.id)
      known.publishedRevision.set(event.stream, revision)
    }
    known.relayed = { term: 0, upTo: relayed }
    for (const { event, position } of before.entries.slice(lines.length)) {
      this.#lost.set(event.id, (this.#lost.get(event.id) ?? new Set()).add(position))
      this.#places.delete(event.id)
      this.#repliesTo.delete(questionOf(event))
      this.#decisions.takeBack(event)
    }
  }

  /** An outbox holds these now. */
  append(
    fact: Extract<Fact, { type: 'appended' }>,
    conflictOf: (id: string) => number | undefined,
    seen: Known,
  ): void {
    const { device, author, log, lines, after, expectedRevision } = fact
    const batch = lines.map(idOf)
    const ground = { after, expectedRevision }
    if (lines[0]) this.#decisions.attempt(readEvent(lines[0]), batch, ground, conflictOf)
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
        ground,
        seen,
        isPromised: false,
        isForgotten: false,
        isResolved: false,
      })
    }
    const all = this.#byDevice.get(device) ?? []
    all.push(...batch)
    this.#byDevice.set(device, all)
  }

  /** An outbox does not hold these any more, and nobody has judged them. */
  leave({ ids, how }: Extract<Fact, { type: 'left' }>): void {
    for (const id of ids) {
      const place = this.#places.get(id)
      if (place) fail('I21', `${id} is ${how}, and at ${place.position}.`)
      this.appended(id).left = how
    }
  }

  /** The app was told what became of a command. */
  decide({ command, isDenied }: Extract<Fact, { type: 'decided' }>): void {
    this.#decisions.decide(command, isDenied)
  }

  /** How often the command was decided that this event is of; of a fact, as often as can be. */
  decisionsOn(id: string): number {
    return this.#decisions.count(readEvent(this.appended(id).line))
  }

  /** The app was told that this is saved. */
  promise(id: string, data: unknown): void {
    const appended = this.#appended.get(id)
    if (!appended) return fail('I10', `${id} was called saved, and no transaction holds it.`)
    // What a command decides on is its own.
    if (
      data !== undefined &&
      JSON.stringify(readEvent(appended.line).data) !== JSON.stringify(data)
    ) {
      fail('I2', `${id} is not what the app appended: ${appended.line}.`)
    }
    appended.isPromised = true
  }

  /** A log holds these now. */
  commit(log: LogName, lines: readonly string[]): void {
    const known = this.log(log)
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
      this.#checkDecided(known, entry)
      this.#checkReply(entry)
      this.#put(known, entry, line)
      if (entry.event.type === 'tidemark.DeadLettered') {
        this.#letters.add(entry.event.causationId ?? '')
      }
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

  #put(known: Known, entry: ReadEntry, line: string): void {
    const { event, position, revision } = entry
    known.entries.push(entry)
    known.lines.push(line)
    known.positions.set(event.id, position)
    known.revisions.set(event.stream, revision)
    const appended = this.#appended.get(event.id)
    if (appended) known.orders.set(`${appended.device} ${event.stream}`, appended.order)
  }

  #checkOrder(known: Known, { event, revision }: ReadEntry): void {
    const { id, stream } = event
    const newest = known.revisions.get(stream) ?? 0
    if (revision !== newest + 1) fail('I6', `${stream} goes from ${newest} to ${revision}.`)
    const appended = this.#appended.get(id)
    if (!appended || (this.#lost.has(id) && this.#barred.has(appended.device))) return
    // What was decided on a log that was, and would have been decided again, may expect this very revision.
    if (appended.ground.expectedRevision !== undefined && appended.seen !== known) return
    const key = `${appended.device} ${stream}`
    const before = known.orders.get(key) ?? 0
    if (before > appended.order) fail('I5', `${id} of ${key} comes after one appended later.`)
  }

  #checkDecided(known: Known, entry: ReadEntry): void {
    const appended = this.#appended.get(entry.event.id)
    if (!appended) return
    const { left, batch, ground } = appended
    if (left) fail('I21', `${entry.event.id} is ${left}, and in the log.`)
    if (this.#lost.has(entry.event.id)) return this.#decisions.comeBack(entry.event, batch)
    this.#decisions.commit(entry, batch, ground, {
      isAccepted: (id) => this.#places.has(id),
      isOfToday: appended.seen === known,
    })
  }

  #checkReply({ event }: ReadEntry): void {
    const { id, causationId } = event
    if (!causationId || !this.#replied.has(id)) return
    const question = questionOf(event)
    const other = this.#repliesTo.get(question)
    if (other) fail('I9', `${causationId} was answered with ${other} and ${id}.`)
    this.#repliesTo.set(question, id)
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
}

const questionOf = ({ causationId, type }: ReadEvent): string => `${causationId} ${type}`
