/** What happened to an item, newest first, with who said so and what it answers. */
import { useLive } from '@tidemark/client/react'
import { type EventId, system } from '@tidemark/shared'
import type { ReactNode } from 'react'
import type { Order } from '../events.ts'
import { type Happening, happeningsMax } from './history.ts'
import { Icon } from './icons.tsx'
import { client } from './inventory.ts'
import { count, sayAuthor, sayHappening, sayOrder, sayTime } from './words.ts'

/** The history of one item. */
export function Timeline({ sku }: { readonly sku: string }): ReactNode {
  const { state = [] } = useLive(client.model.history(sku))
  const { items } = useLive(client.model.order.list())
  const causes = new Map<EventId, Cause>([
    ...state.map((each) => [each.id, { ...each, said: sayHappening(each) }] as const),
    ...items.flatMap(({ state: { placed } }) =>
      placed ? [[placed.id, toCause(placed)] as const] : [],
    ),
  ])
  const now = system.now()
  return (
    <section className="timeline" aria-labelledby="history-title">
      <h3 id="history-title">History</h3>
      <ol>
        {state.toReversed().map((happening) => (
          <Line
            key={happening.id}
            happening={happening}
            cause={findCause(happening, causes)}
            now={now}
          />
        ))}
      </ol>
      {state.length === happeningsMax && <p className="muted">Older ones are not shown.</p>}
    </section>
  )
}

/** What an event answers: something that happened to the item, or an order for it. */
interface Cause {
  readonly said: string
  readonly author: string
  readonly occurredAt: number
}

const toCause = (placed: NonNullable<Order['placed']>): Cause => ({
  said: `Order ${sayOrder(placed)}`,
  author: placed.by,
  occurredAt: placed.at,
})

const findCause = (
  { causationId }: Happening,
  causes: ReadonlyMap<EventId, Cause>,
): Cause | 'unknown' | undefined =>
  causationId ? (causes.get(causationId) ?? 'unknown') : undefined

interface LineProps {
  readonly happening: Happening
  readonly cause: Cause | 'unknown' | undefined
  readonly now: number
}

function Line({ happening, cause, now }: LineProps): ReactNode {
  const { place, author, occurredAt, id } = happening
  const answers = place?.source === 'broker'
  const kind = place ? (answers ? 'answer' : 'confirmed') : 'waits'
  return (
    <li className={`line line-${kind}`} data-id={id}>
      <span className="dot">
        <Icon name={place ? (answers ? 'cart' : 'check') : 'waiting'} />
      </span>
      <p className="line-what">{sayHappening(happening)}</p>
      <p className="line-who">
        {sayAuthor(author)}, <time>{sayTime(occurredAt, now)}</time>
        {place ? (
          <span className="line-place" title="Its position in the log, the same everywhere">
            {' '}
            #{count(place.position)}
          </span>
        ) : (
          <span className="line-waits"> Waiting on this device</span>
        )}
      </p>
      {cause && <p className="line-cause">{sayCause(cause, now)}</p>}
    </li>
  )
}

function sayCause(cause: Cause | 'unknown', now: number): string {
  if (cause === 'unknown') return 'In answer to something that is not shown here'
  const { said, author, occurredAt } = cause
  return `In answer to “${said}” by ${sayAuthor(author)}, ${sayTime(occurredAt, now)}`
}
