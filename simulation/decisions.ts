/**
 * What commands decide, judged from what the disks have committed: each command ends once, what was
 * decided is accepted only on what it was decided on, and what commands guard holds in the log.
 */
import { fail } from './invariants.ts'
import type { ReadEntry, ReadEvent } from './lines.ts'
import { type Amount, shelfPrefix } from './topics.ts'

/** What a batch says it was decided on. */
export interface Ground {
  readonly after?: string | undefined
  readonly expectedRevision?: number | undefined
}

/** The model of all commands. */
export class Decisions {
  /** By command: how it was answered. */
  readonly #denied = new Map<string, boolean>()
  /** By command: the batch of it that is in the log, by its first event. */
  readonly #accepted = new Map<string, string>()
  /** By command: every batch that it was decided to be. */
  readonly #attempts = new Map<string, Set<string>>()
  readonly #levels = new Map<string, number>()

  /** The app was told what became of its call. */
  decide(command: string, isDenied: boolean): void {
    this.#denied.set(command, isDenied)
    if (isDenied && this.#attempts.has(command)) {
      fail('I21', `${command} was denied, and the outbox holds what it decided.`)
    }
  }

  /** An outbox holds this decision. `conflictOf` says where the gateway was when it refused an earlier one. */
  attempt(
    event: ReadEvent,
    batch: readonly string[],
    { expectedRevision = 0 }: Ground,
    conflictOf: (id: string) => number | undefined,
  ): void {
    const [first] = batch
    const command = commandOf(event)
    if (command === undefined || first === undefined) return
    if (this.#denied.get(command)) fail('I21', `${command} was denied, and is in an outbox.`)
    const attempts = this.#attempts.get(command) ?? new Set<string>()
    for (const before of attempts) {
      const actual = conflictOf(before) ?? 0
      if (expectedRevision >= actual) continue
      fail('I7', `${command} is decided again on ${expectedRevision}, where ${actual} was known.`)
    }
    this.#attempts.set(command, attempts.add(first))
  }

  /** How often the command of this event was decided; a fact is not, and cannot be again. */
  count(event: ReadEvent): number {
    const command = commandOf(event)
    return command === undefined ? Infinity : (this.#attempts.get(command)?.size ?? 0)
  }

  /** A log holds this. `batch` is what it was appended with. */
  commit(
    entry: ReadEntry,
    batch: readonly string[],
    ground: Ground,
    { isAccepted, isOfToday }: Held,
  ): void {
    const { event, revision } = entry
    const { after, expectedRevision } = ground
    this.#checkOnce(event, batch)
    this.#checkLevel(event, isOfToday)
    if (event.id !== batch[0]) return
    if (after !== undefined && !isAccepted(after)) {
      fail('I7', `${event.id} is accepted, and ${after}, which it rests on, is not.`)
    }
    if (expectedRevision !== undefined && revision !== expectedRevision + 1) {
      fail('I7', `${event.id} was decided on ${expectedRevision} and has become ${revision}.`)
    }
  }

  /** A log that was restored holds this again: it was decided long ago, and comes back as a fact. */
  comeBack(event: ReadEvent, batch: readonly string[]): void {
    this.#checkOnce(event, batch)
    this.#move(event, 1)
  }

  /** A log was restored without this. */
  takeBack(event: ReadEvent): void {
    const command = commandOf(event)
    if (command !== undefined) this.#accepted.delete(command)
    this.#move(event, -1)
  }

  /** A command may be decided many times, and is accepted as one of them. */
  #checkOnce(event: ReadEvent, [first = event.id]: readonly string[]): void {
    const command = commandOf(event)
    if (command === undefined) return
    const before = this.#accepted.get(command)
    if (before !== undefined && before !== first) {
      fail('I21', `${command} is accepted as ${before} and as ${first}.`)
    }
    this.#accepted.set(command, first)
  }

  /** All who write to a shelf decide on its level, so nobody takes more than there is. */
  #checkLevel(event: ReadEvent, isOfToday: boolean): void {
    const { stream, type, id } = event
    const level = this.#move(event, 1)
    // What comes back after a restore may leave less than nothing until the rest of it is there. And what was
    // decided before it may meet the revision that it expects, where others have come in the place of what was lost.
    if (level < 0 && type === 'Taken' && isOfToday)
      fail('I22', `${id} leaves ${stream} at ${level}.`)
  }

  /** The level of a shelf, after what an event does to it was done or undone. */
  #move({ stream, type, data }: ReadEvent, sign: 1 | -1): number {
    if (!stream.startsWith(shelfPrefix)) return 0
    const { quantity } = data as Amount
    const change = type === 'Stocked' ? quantity : type === 'Taken' ? -quantity : 0
    const level = (this.#levels.get(stream) ?? 0) + change * sign
    this.#levels.set(stream, level)
    return level
  }
}

/** What is known of a log when it takes a decision. */
interface Held {
  readonly isAccepted: (id: string) => boolean
  /** It was decided on entries of the log as it is, and not as it was until a restore. */
  readonly isOfToday: boolean
}

/** Commands are known by the correlation that the app gives them. */
export const commandPrefix = 'command-'

/** What answers a refused command belongs to its conversation, and has it as its cause. */
const commandOf = ({ correlationId, causationId }: ReadEvent): string | undefined =>
  correlationId?.startsWith(commandPrefix) && causationId === undefined ? correlationId : undefined
