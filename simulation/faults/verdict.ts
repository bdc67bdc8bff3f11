/**
 * The invariants, judged from the evidence of a run after everything has healed. What the log, the devices
 * and the broker say is judged by the simulation's own checks; here is what only services and leases break.
 */
import { type LogName, logKey } from '@tidemark/shared'
import { Judge } from '../checks.ts'
import { type Invariant, invariants, Violation } from '../invariants.ts'
import { idOf, readEntry } from '../lines.ts'
import type { Seen } from './broker.ts'
import type { DeviceVerdict } from './device.ts'
import { type BooksEvidence, type LogEvidence, logOf } from './evidence.ts'
import { handledTypes } from './orders.ts'
import { stepNames } from './order-saga.ts'

/** What only these checks look at. */
const others = {
  I9: 'Each event has its effect once, and its answer is in the log once.',
  I15: 'Published = processed + parked + dead letters + in flight.',
  I16: 'What is accepted is published, and has its effects in the order of its stream.',
  I17: 'A saga that turned ends with each completed step compensated once, in reverse, or needs a person.',
  I19: 'Nobody writes under an older lease after somebody has written under a newer one.',
} as const

/** Everything that is known at the end of a run. */
export interface Evidence {
  readonly appended: readonly {
    readonly device: string
    readonly log: LogName
    readonly lines: readonly string[]
  }[]
  readonly verdicts: readonly {
    readonly log: LogName
    readonly id: string
    readonly verdict: DeviceVerdict
  }[]
  readonly logs: readonly LogEvidence[]
  readonly books: BooksEvidence
  readonly seen: readonly Seen[]
  readonly calls: readonly {
    readonly cause: string
    readonly step: string
    readonly half: string
    readonly key: string
  }[]
  readonly terms: readonly {
    readonly scope: string
    readonly term: number
    readonly cursor: number
  }[]
  /** Ids of the messages that lie at the broker, by subscription. */
  readonly dead: { readonly gateway: readonly string[]; readonly books: readonly string[] }
  readonly inFlight: { readonly gateway: readonly string[]; readonly books: readonly string[] }
}

/** What is wrong, one sentence for each check that failed. */
export function judge(
  evidence: Evidence,
  checks: readonly ((evidence: Evidence) => void)[] = allChecks,
): readonly string[] {
  return checks.flatMap((check) => {
    try {
      check(evidence)
      return []
    } catch (error) {
      if (error instanceof Violation || error instanceof Broken) return [error.message]
      throw error
    }
  })
}

class Broken extends Error {}

function demand(isTrue: boolean, invariant: Invariant | keyof typeof others, what: string): void {
  if (isTrue) return
  const sentence =
    invariant in others ? others[invariant as 'I17'] : invariants[invariant as Invariant]
  throw new Broken(`${invariant} ${sentence} ${what}`)
}

/** Devices, verdicts, the log and the broker, by the checks that the simulation has. */
function judgeTruth({ appended, verdicts, logs, seen }: Evidence): void {
  const judge = new Judge()
  for (const { device, log, lines } of appended) {
    judge.see({ type: 'appended', device, author: device, log, lines })
  }
  for (const message of seen) {
    const line = repliedLine(message)
    if (line !== undefined) judge.see({ type: 'replied', service: 'books', line })
  }
  for (const { log, lines } of logs) judge.see({ type: 'committed', log, lines })
  for (const { log, id, verdict } of verdicts) {
    const answer =
      'code' in verdict
        ? ({ type: 'refused', ...verdict } as const)
        : ({ type: 'accepted', ...verdict } as const)
    judge.see({ type: 'answered', log, id, answer })
  }
  for (const message of seen) {
    const log = logOf(message)
    if (log) judge.see({ type: 'published', log, id: message.id })
  }
  for (const { log, cursor } of logs) judge.see({ type: 'relayed', log, upTo: cursor, parked: [] })
  const answered = new Set(verdicts.map(({ id }) => id))
  const lost = appended.flatMap(({ lines }) => lines.map(idOf)).filter((id) => !answered.has(id))
  demand(lost.length === 0, 'L1', `${lost.length} have none, such as ${lost[0]}.`)
  const unpublished = logs.flatMap(({ log }) => judge.unpublished(log))
  demand(unpublished.length === 0, 'L5', `${unpublished.length} are not with the broker.`)
  const unheard = judge.unheard()
  demand(unheard.length === 0, 'L5', `${unheard.length} answers are in no log.`)
}

/** What a service published, as a line that the checks read; nothing for other messages. */
function repliedLine(message: Seen): string | undefined {
  const { id, attributes, body } = message
  if (logOf(message) || id.startsWith('malformed')) return undefined
  const { subject: stream, type, causationid: causationId } = attributes
  return JSON.stringify({ id, stream, type, causationId, data: JSON.parse(body) })
}

const entriesOf = (logs: readonly LogEvidence[]) =>
  logs.flatMap(({ log, lines }) => lines.map((line) => ({ log, ...readEntry(line) })))

const isHandled = ({ attributes }: Seen): boolean =>
  handledTypes.includes(String(attributes['type']))

function doubles(ids: readonly string[]): readonly string[] {
  const seen = new Set<string>()
  return ids.filter((id) => seen.size === seen.add(id).size)
}

/** Each event that is in the log has its effect once, and nothing else has any. */
function judgeEffects({ logs, books }: Evidence): void {
  const twice = doubles(books.effects)
  demand(
    twice.length === 0,
    'I9',
    `${twice.length} events had their effect more than once, such as ${twice[0]}.`,
  )
  const wanted = new Set(
    entriesOf(logs)
      .filter(({ event }) => handledTypes.includes(event.type))
      .map(({ event }) => event.id),
  )
  const missing = [...wanted].filter((id) => !new Set(books.effects).has(id))
  const effects = new Set(books.effects)
  demand(
    missing.length === 0,
    'I9',
    `${missing.length} events had no effect, such as ${missing[0]}.`,
  )
  demand(effects.size === wanted.size, 'I9', `${effects.size} effects of ${wanted.size} events.`)
}

/** Each answer that was committed with an effect is in the log once, and no other answer is. */
function judgeAnswers({ logs, books }: Evidence): void {
  const heard = entriesOf(logs).filter(({ source }) => source === 'broker')
  const ids = heard.map(({ event }) => event.id)
  const twice = [...doubles(ids), ...doubles(books.answers.map(({ cause }) => cause))]
  demand(twice.length === 0, 'I9', `${twice.length} answers came twice, such as ${twice[0]}.`)
  const given = new Set(books.answers.map(({ id }) => id))
  const inLog = new Set(ids)
  const missing = [...given].filter((id) => !inLog.has(id))
  demand(
    missing.length === 0,
    'I9',
    `${missing.length} answers are not in the log, such as ${missing[0]}.`,
  )
  const odd = heard.filter(
    ({ event }) => !given.has(event.id) && event.type !== 'tidemark.DeadLettered',
  )
  demand(
    odd.length === 0,
    'I9',
    `${odd.length} answers were never given, such as ${odd[0]?.event.id}.`,
  )
}

/** Published = processed + parked + dead letters + in flight, each event in exactly one of them. */
export function judgeBalance({ seen, books, dead, inFlight }: Evidence): void {
  const processed = new Set(books.processed)
  const parked = new Set(books.parked)
  const published = new Set(seen.filter(isHandled).map(({ id }) => id))
  const elsewhere = new Set([...dead.books, ...inFlight.books])
  const both = [...parked].filter((id) => processed.has(id))
  demand(both.length === 0, 'I15', `${both.length} are processed and parked, such as ${both[0]}.`)
  const gone = [...published].filter(
    (id) => !processed.has(id) && !parked.has(id) && !elsewhere.has(id),
  )
  demand(
    gone.length === 0,
    'I15',
    `${gone.length} of ${published.size} published events are nowhere, such as ${gone[0]}.`,
  )
  const odd = [...processed, ...parked].filter((id) => !published.has(id))
  demand(
    odd.length === 0,
    'I15',
    `${odd.length} were handled and never published, such as ${odd[0]}.`,
  )
  const malformed = seen.filter(({ id }) => id.startsWith('malformed')).length
  for (const [name, ids] of Object.entries(dead)) {
    const found = ids.filter((id) => id.startsWith('malformed')).length
    const waiting = inFlight[name as 'books'].filter((id) => id.startsWith('malformed')).length
    demand(
      found + waiting === malformed,
      'I15',
      `${found} of ${malformed} malformed messages are dead letters of ${name}.`,
    )
  }
}

/** The first effects of a stream come in the order of its events. */
function judgeOrder({ logs, books }: Evidence): void {
  const places = new Map(
    entriesOf(logs).map(({ log, event, revision }) => [
      event.id,
      { stream: `${logKey(log)}/${event.stream}`, revision },
    ]),
  )
  const reached = new Map<string, number>()
  for (const id of new Set(books.effects)) {
    const place = places.get(id)
    if (!place) continue
    const before = reached.get(place.stream) ?? 0
    demand(
      place.revision > before,
      'I16',
      `${id} of ${place.stream} had its effect after revision ${before}.`,
    )
    reached.set(place.stream, place.revision)
  }
}

/** Sagas against the ledger of what they did. */
function judgeSagas({ books, calls }: Evidence): void {
  const acts = new Map<string, string[]>()
  for (const { cause, step, half } of books.acts) {
    acts.set(cause, [...(acts.get(cause) ?? []), `${half} ${step}`])
  }
  for (const { cause, state } of books.sagas) {
    const done = acts.get(cause) ?? []
    demand(
      done.join() === expected(state).join(),
      'I17',
      `${cause} ended ${state} with: ${done.join(', ')}.`,
    )
  }
  const keys = new Map(calls.map(({ cause, step, half, key }) => [`${half} ${step} ${cause}`, key]))
  const other = calls.find(
    ({ cause, step, half, key }) => keys.get(`${half} ${step} ${cause}`) !== key,
  )
  demand(!other, 'I17', `${other?.step} of ${other?.cause} was called with two keys.`)
  const uncalled = books.acts.find(({ cause, step, half }) => !keys.has(`${half} ${step} ${cause}`))
  demand(
    !uncalled,
    'I17',
    `${uncalled?.step} of ${uncalled?.cause} is on record and was never called.`,
  )
}

/** What a saga has to have done by its end. The last step is what fails, and the first what cannot be undone. */
function expected(state: string): readonly string[] {
  const ran = stepNames.map((name) => `run ${name}`)
  if (state === 'completed') return ran
  const before = stepNames.slice(0, -1)
  const undone = before.toReversed().map((name) => `compensate ${name}`)
  const turned = [...ran.slice(0, -1), ...undone]
  if (state === 'compensated') return turned
  return state === 'needs-human' ? turned.slice(0, -1) : [`an end, not ${state}`]
}

/** Whoever moves a relay's cursor has the newest term, and moves it forward. */
function judgeTerms({ terms }: Evidence): void {
  const last = new Map<string, { readonly term: number; readonly cursor: number }>()
  for (const { scope, term, cursor } of terms) {
    const before = last.get(scope) ?? { term: 0, cursor: 0 }
    demand(term >= before.term, 'I19', `Term ${term} wrote after term ${before.term}.`)
    demand(
      cursor >= before.cursor,
      'I19',
      `The cursor went from ${before.cursor} back to ${cursor}.`,
    )
    last.set(scope, { term, cursor })
  }
}

const allChecks = [
  judgeEffects,
  judgeTruth,
  judgeAnswers,
  judgeBalance,
  judgeOrder,
  judgeSagas,
  judgeTerms,
]
