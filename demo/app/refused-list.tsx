/** What the gateway refused. It stays on the device, over reloads too, until somebody has dealt with it. */
import { useLive } from '@tidemark/client/react'
import { type Claim, parseClaim } from '@tidemark/shared'
import type { Refused } from '@tidemark/client'
import { type ReactNode, useEffect, useRef } from 'react'
import { inventory } from '../events.ts'
import type { Booked } from './history.ts'
import { Icon } from './icons.tsx'
import { client } from './inventory.ts'
import { sayHappening, sayRefusal } from './words.ts'

/** The refused events of this device. */
export function RefusedList({ close }: { readonly close: () => void }): ReactNode {
  const refused = useLive(client.refused)
  const title = useRef<HTMLHeadingElement>(null)
  useEffect(() => title.current?.focus(), [])
  return (
    <section className="page" aria-labelledby="refused-title">
      <div className="page-head">
        <button type="button" className="back" onClick={close}>
          <Icon name="back" /> Items
        </button>
        <h2 id="refused-title" tabIndex={-1} ref={title}>
          Refused
        </h2>
      </div>
      {refused.length === 0 && <p className="nothing">Nothing was refused.</p>}
      <ol className="refused">
        {refused.map((each) => (
          <RefusedEvent key={each.id} refused={each} />
        ))}
      </ol>
    </section>
  )
}

/** What was booked; only its type, where it was refused because its data makes no sense. */
function sayClaim({ type, version, data }: Claim): string {
  try {
    inventory.check(type, version, data)
    return sayHappening({ type, data } as Booked)
  } catch {
    return type
  }
}

function RefusedEvent({ refused }: { readonly refused: Refused }): ReactNode {
  const claim = parseClaim(refused.line)
  const { stream, data } = claim
  return (
    <li className="refused-event">
      <p className="line-what">
        <Icon name="alert" /> {sayClaim(claim)}:{' '}
        <a href={`#item/${encodeURIComponent(stream)}`}>
          {client.model.item(stream).get()?.name || stream}
        </a>
      </p>
      <p>{sayRefusal(refused)}</p>
      <details>
        <summary>{refused.refusal.code}</summary>
        <pre>{JSON.stringify(data, undefined, 2)}</pre>
      </details>
      <button type="button" onClick={() => void client.refused.discard(refused.id)}>
        Discard
      </button>
    </li>
  )
}
