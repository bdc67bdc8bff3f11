/** One item in full: how many there are, a form to book, and what happened. */
import { useLive } from '@tidemark/client/react'
import type { PresentState } from '@tidemark/client'
import { type ReactNode, useEffect, useRef } from 'react'
import { isLow, type Item, reorderQuantity } from '../events.ts'
import { BookingForm } from './booking-form.tsx'
import { Icon } from './icons.tsx'
import { client } from './inventory.ts'
import { OnHand } from './on-hand.tsx'
import { OrderForm } from './order-form.tsx'
import { OrderList } from './order-list.tsx'
import { Timeline } from './timeline.tsx'
import { count } from './words.ts'

interface ItemPageProps {
  readonly sku: string
  readonly close: () => void
}

/** The page of one item. It takes the focus when it opens. */
export function ItemPage({ sku, close }: ItemPageProps): ReactNode {
  const item = useLive(client.model.item(sku))
  const title = useRef<HTMLHeadingElement>(null)
  useEffect(() => title.current?.focus(), [])
  return (
    <section className="page" aria-labelledby="item-title">
      <div className="page-head">
        <button type="button" className="back" onClick={close}>
          <Icon name="back" /> Items
        </button>
        <h2 id="item-title" tabIndex={-1} ref={title}>
          {item.state?.name || sku}
        </h2>
      </div>
      {item.status === 'present' ? (
        <>
          <Figures item={item} />
          <BookingForm sku={sku} onHand={item.state.onHand} />
          <OrderForm sku={sku} suggested={reorderQuantity(item.state)} />
          <OrderList sku={sku} />
          <Timeline sku={sku} />
        </>
      ) : (
        <p className="nothing">
          {item.status === 'loading' ? 'Reading …' : 'This device knows no such item.'}
        </p>
      )}
    </section>
  )
}

function Figures({ item }: { readonly item: PresentState<Item> }): ReactNode {
  const { state, key } = item
  return (
    <dl className="figures">
      <div className="figure-main">
        <dt>On hand</dt>
        <dd>
          <OnHand item={item} />
        </dd>
      </div>
      <div>
        <dt>Reorder below</dt>
        <dd>
          {count(state.reorderLevel)} {isLow(state) && <span className="tag tag-low">Low</span>}
        </dd>
      </div>
      <div>
        <dt>On order</dt>
        <dd>{state.onOrder ? count(state.onOrder) : 'Nothing'}</dd>
      </div>
      <div>
        <dt>Where</dt>
        <dd>
          {state.location || 'Unknown'} <span className="muted">{key}</span>
        </dd>
      </div>
    </dl>
  )
}
