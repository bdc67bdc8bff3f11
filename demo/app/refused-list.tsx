/** What the gateway refused. It stays on the device, over reloads too, until somebody has dealt with it. */
import { useLive } from '@tidemark/client/react'
import { type Claim, parseClaim } from '@tidemark/shared'
import type { Refused } from '@tidemark/client'
import { type ReactNode, useEffect, useRef } from 'react'
import { inventory, orders } from '../events.ts'
import type { Booked } from './history.ts'
import { Icon } from './icons.tsx'
import { client } from './inventory.ts'
import { sayHappening, sayOrder, sayRefusal } from './words.ts'

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

/** What was said and of which item; only its type, where it was refused because its data makes no sense. */
function sayClaim(topic: string, { type, version, data, stream }: Claim) {
  if (topic === orders.name) {
    const placed = client.model.order(stream).get()?.placed
    const what = type === 'OrderPlaced' ? 'Order' : `${type} for`
    return { said: placed ? `${what} ${sayOrder(placed)}` : type, sku: placed?.sku ?? '' }
  }
  try {
    inventory.check(type, version, data)
    return { said: sayHappening({ type, data } as Booked), sku: stream }
  } catch {
    return { said: type, sku: stream }
  }
}

function RefusedEvent({ refused }: { readonly refused: Refused }): ReactNode {
  const claim = parseClaim(refused.line)
  const { said, sku } = sayClaim(refused.topic, claim)
  return (
    <li className="refused-event">
      <p className="line-what">
        <Icon name="alert" /> {said}
        {sku && ': '}
        <a href={`#item/${encodeURIComponent(sku)}`}>{client.model.item(sku).get()?.name || sku}</a>
      </p>
      <p>{sayRefusal(refused)}</p>
      <details>
        <summary>{refused.refusal.code}</summary>
        <pre>{JSON.stringify(claim.data, undefined, 2)}</pre>
      </details>
      <button type="button" onClick={() => void client.refused.discard(refused.id)}>
        Discard
      </button>
    </li>
  )
}
