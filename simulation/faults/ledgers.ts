/** Order, sagas and leases, judged against the ledgers that the processes left. */
import { logKey } from '@tidemark/shared'
import { demand } from './demand.ts'
import { entriesOf, type Evidence } from './evidence.ts'
import { stepNames } from './order-saga.ts'

/** The first effects of a stream come in the order of its events. */
export function judgeOrder({ logs, books }: Evidence): void {
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
export function judgeSagas({ books, calls }: Evidence): void {
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
export function judgeTerms({ terms }: Evidence): void {
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
