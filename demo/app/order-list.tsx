/** The orders for one item: what became of each, step by step, and what was undone where it failed. */
import { useLive } from '@tidemark/client/react'
import type { PresentState } from '@tidemark/client'
import { system } from '@tidemark/shared'
import type { ReactNode } from 'react'
import type { Order, OrderStep } from '../events.ts'
import { priceOf } from '../suppliers.ts'
import { Icon } from './icons.tsx'
import { client } from './inventory.ts'
import { count, euros, sayAuthor, sayOrder, sayStep, sayTime } from './words.ts'

/** Newest first. Nothing at all where nothing was ordered. */
export function OrderList({ sku }: { readonly sku: string }): ReactNode {
  const { items } = useLive(client.model.order.list())
  const mine = items
    .filter(({ state }) => state.placed?.sku === sku)
    .toSorted((a, b) => (b.state.placed?.at ?? 0) - (a.state.placed?.at ?? 0))
  if (mine.length === 0) return null
  return (
    <section className="orders" aria-labelledby="orders-title">
      <h3 id="orders-title">Orders</h3>
      <ol>
        {mine.map((each) => (
          <OrderCard key={each.key} order={each} />
        ))}
      </ol>
    </section>
  )
}

/** How an order stands, for its mark: what waits on this device is not placed yet. */
const standOf = ({ state, confirmed }: PresentState<Order>): Order['fate'] | 'waiting' =>
  confirmed ? state.fate : 'waiting'

const marks = {
  waiting: { icon: 'waiting', word: 'Waiting on this device' },
  open: { icon: 'online', word: 'Placed' },
  confirmed: { icon: 'check', word: 'Confirmed' },
  failed: { icon: 'undo', word: 'Taken back' },
  stuck: { icon: 'alert', word: 'Stuck' },
} as const

function OrderCard({ order }: { readonly order: PresentState<Order> }): ReactNode {
  const { state, key } = order
  const { placed, steps, fate, reason } = state
  if (!placed) return null
  const stand = standOf(order)
  const { icon, word } = marks[stand]
  const now = system.now()
  return (
    <li className={`order order-${stand}`} data-order={key}>
      <p className="order-head">
        <span className="line-what">{sayOrder(placed)}</span>
        <span className="order-mark">
          <Icon name={icon} /> {word}
        </span>
      </p>
      <p className="line-who">
        {sayAuthor(placed.by)}, <time>{sayTime(placed.at, now)}</time>,{' '}
        {euros(placed.quantity * priceOf(placed.sku))}
      </p>
      {fate === 'failed' && (
        <p className="order-why">
          {reason}{' '}
          {steps.some(({ type }) => sayStep(type).kind === 'undone')
            ? 'So what was done for it has been undone.'
            : 'Nothing was done for it.'}
        </p>
      )}
      {fate === 'stuck' && (
        <p className="order-why">
          The order desk fails at it. {reason} It is set aside until somebody has looked at it.
        </p>
      )}
      {steps.length > 0 && (
        <ol className="steps">
          {steps.map((each) => (
            <Step key={each.id} step={each} now={now} />
          ))}
        </ol>
      )}
      {stand === 'open' && <p className="line-who">{count(steps.length)} of 3 steps done.</p>}
    </li>
  )
}

function Step({ step, now }: { readonly step: OrderStep; readonly now: number }): ReactNode {
  const { words, kind } = sayStep(step.type)
  return (
    <li className={`step-${kind}`} data-id={step.id}>
      <Icon name={kind === 'done' ? 'check' : kind === 'undone' ? 'undo' : 'alert'} /> {words}
      <time className="muted">{sayTime(step.at, now)}</time>
    </li>
  )
}
