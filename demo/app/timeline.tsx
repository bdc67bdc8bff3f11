/** What happened to an item, newest first, with who said so and what it answers. */
import { useLive } from '@tidemark/client/react'
import { type EventId, system } from '@tidemark/shared'
import type { ReactNode } from 'react'
import { type Happening, happeningsMax } from './history.ts'
import { Icon } from './icons.tsx'
import { client } from './inventory.ts'
import { count, sayAuthor, sayHappening, sayTime } from './words.ts'

/** The history of one item. */
export function Timeline({ sku }: { readonly sku: string }): ReactNode {
  const { state = [] } = useLive(client.model.history(sku))
  const byId = new Map(state.map((each) => [each.id, each]))
  const now = system.now()
  return (
    <section className="timeline" aria-labelledby="history-title">
      <h3 id="history-title">History</h3>
      <ol>
        {state.toReversed().map((happening) => (
          <Line
            key={happening.id}
            happening={happening}
            cause={findCause(happening, byId)}
            now={now}
          />
        ))}
      </ol>
      {state.length === happeningsMax && <p className="muted">Older ones are not shown.</p>}
    </section>
  )
}

type Cause = Happening | 'unknown' | undefined

const findCause = ({ causationId }: Happening, byId: ReadonlyMap<EventId, Happening>): Cause =>
  causationId ? (byId.get(causationId) ?? 'unknown') : undefined

interface LineProps {
  readonly happening: Happening
  readonly cause: Cause
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

function sayCause(cause: Happening | 'unknown', now: number): string {
  if (cause === 'unknown') return 'In answer to something that is not shown here'
  const { author, occurredAt } = cause
  return `In answer to “${sayHappening(cause)}” by ${sayAuthor(author)}, ${sayTime(occurredAt, now)}`
}
