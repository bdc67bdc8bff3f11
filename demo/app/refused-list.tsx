/** What the gateway refused. It stays on the device, over reloads too, until somebody has dealt with it. */
import { useLive } from '@tidemark/client/react'
import { compensate, resubmit } from '@tidemark/client/refused'
import { type Claim, parseClaim } from '@tidemark/shared'
import { type ReactNode, useEffect, useRef, useState } from 'react'
import { inventory, orders } from '../events.ts'
import type { Booked } from './history.ts'
import { Icon } from './icons.tsx'
import { client, type RefusedHere } from './inventory.ts'
import { findQuantityFault, Quantity } from './quantity.tsx'
import { count, sayHappening, sayOrder, sayRefusal } from './words.ts'

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

function RefusedEvent({ refused }: { readonly refused: RefusedHere }): ReactNode {
  const claim = parseClaim(refused.line)
  const { said, sku } = sayClaim(refused.topic, claim)
  return (
    <li className="refused-event">
      <p className="line-what">
        <Icon name="alert" /> {said}
        {sku && ': '}
        <a href={`#item/${encodeURIComponent(sku)}`}>{client.model.item(sku).get()?.name || sku}</a>
      </p>
      <p id={`why-${refused.id}`}>{sayRefusal(refused)}</p>
      <details>
        <summary>{refused.refusal.code}</summary>
        <pre>{JSON.stringify(claim.data, undefined, 2)}</pre>
      </details>
      <div className="refused-ways">
        {refused.refusal.code === 'OUT_OF_STOCK' && <PickFewer refused={refused} claim={claim} />}
        {refused.refusal.code === 'DEAD_LETTERED' && claim.type === 'OrderPlaced' && (
          <button type="button" onClick={() => void compensate(client, refused.id)}>
            Take it back
          </button>
        )}
        <button type="button" onClick={() => void client.refused.discard(refused.id)}>
          Discard
        </button>
      </div>
    </li>
  )
}

interface PickFewerProps {
  readonly refused: RefusedHere
  readonly claim: Claim
}

/** A pick that came too late, once more with another quantity. It says that it comes in the place of the refused one. */
function PickFewer({ refused, claim }: PickFewerProps): ReactNode {
  const sku = claim.stream
  const { state } = useLive(client.model.item(sku))
  const onHand = state?.onHand ?? 0
  const [quantity, setQuantity] = useState(onHand)
  const fault = findQuantityFault(quantity)
  const send = () => {
    const { reason } = claim.data as { readonly reason: 'sale' | 'damage' | 'transfer' }
    const draft = inventory.stream(sku).StockPicked({ quantity, reason })
    void resubmit(client, refused.id, draft)
  }
  return (
    <>
      <Quantity
        quantity={quantity}
        fault={fault}
        change={setQuantity}
        label={`Pick of ${count(onHand)}`}
        noteId={`why-${refused.id}`}
      />
      <button type="button" disabled={fault !== undefined || quantity > onHand} onClick={send}>
        Pick {Number.isFinite(quantity) ? count(quantity) : ''}
      </button>
    </>
  )
}
