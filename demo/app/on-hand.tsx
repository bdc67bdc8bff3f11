/** Stock on hand, with what waits told apart from what is confirmed: by an outline, a mark and words. */
import type { PresentState } from '@tidemark/client'
import type { ReactNode } from 'react'
import type { Item } from '../events.ts'
import { Icon } from './icons.tsx'
import { count } from './words.ts'

/** The number, and below it what the gateway has confirmed where that is another one. */
export function OnHand({ item }: { readonly item: PresentState<Item> }): ReactNode {
  const { state, confirmed, pending } = item
  if (pending === 0) {
    return (
      <span className="on-hand">
        <b>{count(state.onHand)}</b>
        <span className="sr-only"> on hand</span>
      </span>
    )
  }
  return (
    <span className="on-hand waits">
      <b>
        <Icon name="waiting" />
        {count(state.onHand)}
      </b>
      <small>
        <span className="sr-only">on hand with {pending} waiting, </span>
        {confirmed ? `${count(confirmed.onHand)} confirmed` : 'not confirmed'}
      </small>
    </span>
  )
}
