/**
 * The invariants, judged from the evidence of a run after everything has healed. What the log, the devices
 * and the broker say is judged by the simulation's own checks; here is what only services and leases break.
 */
import { Judge } from '../checks.ts'
import { Violation } from '../invariants.ts'
import { idOf } from '../lines.ts'
import type { Seen } from './broker.ts'
import { Broken, demand } from './demand.ts'
import { entriesOf, type Evidence, logOf } from './evidence.ts'
import { judgeOrder, judgeSagas, judgeTerms } from './ledgers.ts'
import { handledTypes } from './orders.ts'

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
  const effects = new Set(books.effects)
  const missing = [...wanted].filter((id) => !effects.has(id))
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

const allChecks = [
  judgeEffects,
  judgeTruth,
  judgeAnswers,
  judgeBalance,
  judgeOrder,
  judgeSagas,
  judgeTerms,
]
