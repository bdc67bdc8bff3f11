/**
 * Everything that waits for a person, in one view: streams that the relay has parked, what consumers have set
 * aside in their databases, and the dead letters of the broker. Each keeps its own law about redriving; here
 * they have one name, one list, and one rule: who acts says who they are and why, and it is written down.
 */
import { isTidemarkError, type System } from '@tidemark/shared'

/** Where a dead letter lies. */
export type Where = 'relay' | 'consumer' | 'result' | 'saga' | 'broker'

/** Something that waits for a person. */
export interface DeadLetter {
  /** Its name in commands and URLs: segments with slashes between them, each encoded as in a URL. */
  readonly ref: string
  readonly where: Where
  readonly topic?: string | undefined
  /** `scope/stream`. */
  readonly key?: string | undefined
  /** The consumer or the subscription that could not process it. */
  readonly consumer?: string | undefined
  /** The id of the event, where it is known. */
  readonly event?: string | undefined
  /** Why: the app's code, or one from the table of errors, or the broker's reason. */
  readonly code: string
  readonly reason: string
  readonly attempts?: number | undefined
  /** How many events wait: it, and those behind it. */
  readonly events?: number | undefined
  /** Since when, in ms since 1970. */
  readonly since?: number | undefined
  /** What a person has asked for already and is not done yet. */
  readonly asked?: 'redrive' | 'discard' | undefined
}

/** A dead letter with what it says. */
export interface DeadLetterDetails extends DeadLetter {
  /** The events that wait, oldest first, as their authors wrote them; at most `eventsShown`. */
  readonly lines: readonly string[]
  /** What the message said about itself, where it still is one. */
  readonly attributes?: Readonly<Record<string, unknown>> | undefined
}

/** How many events of one dead letter are shown. */
export const eventsShown = 20

/** Who acts, and why. */
export interface Act {
  readonly by: string
  readonly note: string
}

/** What became of an act. `gone`: it is not there any more, or something was asked for already. */
export type ActResult = 'done' | 'asked' | 'gone' | 'impossible'

/** A place that dead letters lie in. */
export interface DeadLetterSource {
  /** Its name in a ref: the first segments, and whose they are. */
  readonly name: string
  /** Oldest first, at most `max`. */
  list(max: number): Promise<readonly DeadLetter[]>
  /** `rest` are the segments of the ref behind the source's name. */
  show(rest: readonly string[]): Promise<DeadLetterDetails | undefined>
  /** Lets it pass again. `asked`: it will be done by whoever has the right to. */
  redrive(rest: readonly string[], act: Act): Promise<ActResult>
  /** Gives it up for good. */
  discard(rest: readonly string[], act: Act): Promise<ActResult>
}

/** What a list shows. */
export interface DeadLetterList {
  readonly items: readonly DeadLetter[]
  /** Sources that could not be read, with the reason: the list is not whole. */
  readonly unread: readonly { readonly source: string; readonly reason: string }[]
  /** Sources that have more than was asked for. */
  readonly more: readonly string[]
}

/** The one view. */
export interface DeadLetters {
  /** At most `max` of each source; of one source only, where it is named. */
  list(max: number, source?: string): Promise<DeadLetterList>
  show(ref: string): Promise<DeadLetterDetails | undefined>
  redrive(ref: string, act: Act): Promise<ActResult>
  discard(ref: string, act: Act): Promise<ActResult>
}

/** The ref of something in a source. */
export const toRef = (source: string, ...rest: readonly (string | number)[]): string =>
  [source, ...rest.map((part) => encodeURIComponent(part))].join('/')

/** How long one source may take to list what it has, in ms: one that is down must not hide the others. */
const listMsMax = 10_000

/** Builds the view over these sources. */
export function createDeadLetters(
  sources: readonly DeadLetterSource[],
  system: System,
): DeadLetters {
  const find = (ref: string): { source: DeadLetterSource; rest: readonly string[] } | undefined => {
    const source = sources.find(({ name }) => ref.startsWith(`${name}/`))
    const rest = source && toParts(ref.slice(source.name.length + 1))
    return source && rest && { source, rest }
  }
  return {
    async list(max, only) {
      const asked = sources.filter(({ name }) => only === undefined || isWithin(name, only))
      const answers = await Promise.all(asked.map((source) => readSource(source, max, system)))
      return {
        items: answers.flatMap(({ items }) => items.slice(0, max)),
        unread: answers.flatMap(({ source, reason }) =>
          reason === undefined ? [] : [{ source, reason }],
        ),
        more: answers.flatMap(({ source, items }) => (items.length > max ? [source] : [])),
      }
    },
    async show(ref) {
      const found = find(ref)
      return found && (await found.source.show(found.rest))
    },
    async redrive(ref, act) {
      const found = find(ref)
      return found ? await found.source.redrive(found.rest, act) : 'gone'
    },
    async discard(ref, act) {
      const found = find(ref)
      return found ? await found.source.discard(found.rest, act) : 'gone'
    },
  }
}

/** `consumer` names all sources that are called `consumer/…`. */
const isWithin = (name: string, wanted: string): boolean =>
  name === wanted || name.startsWith(`${wanted}/`)

function toParts(path: string): readonly string[] | undefined {
  try {
    return path.split('/').map(decodeURIComponent)
  } catch {
    return undefined
  }
}

interface Answer {
  readonly source: string
  readonly items: readonly DeadLetter[]
  readonly reason?: string
}

/** What a source has; one more than asked for shows that there are more. */
function readSource(source: DeadLetterSource, max: number, system: System): Promise<Answer> {
  return new Promise((resolve) => {
    const fail = (reason: string): void => resolve({ source: source.name, items: [], reason })
    const cancel = system.after(listMsMax, () => fail(`no answer within ${listMsMax} ms`))
    source
      .list(max + 1)
      .then(
        (items) => resolve({ source: source.name, items }),
        (error: unknown) => fail(sayWhy(error)),
      )
      .finally(cancel)
  })
}

/** An error as a sentence for people: its code and what it says. */
export const sayWhy = (error: unknown): string =>
  isTidemarkError(error) || error instanceof Error ? error.message : String(error)
