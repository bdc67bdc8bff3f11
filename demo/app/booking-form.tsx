/** Receive, pick or count. Booking resolves when the event is stored on this device, network or not. */
import { isTidemarkError } from '@tidemark/shared'
import { type ReactNode, type SyntheticEvent, useState } from 'react'
import { inventory } from '../events.ts'
import { Icon } from './icons.tsx'
import { book, client } from './inventory.ts'
import { findQuantityFault, Quantity } from './quantity.tsx'
import { count, sayStorage } from './words.ts'

const kinds = {
  pick: { word: 'Pick', after: (onHand: number, quantity: number) => onHand - quantity },
  receive: { word: 'Receive', after: (onHand: number, quantity: number) => onHand + quantity },
  count: { word: 'Count', after: (_: number, quantity: number) => quantity },
} as const

type Kind = keyof typeof kinds
type Reason = 'sale' | 'damage' | 'transfer'

interface Booking {
  readonly kind: Kind
  readonly quantity: number
  readonly reason: Reason
}

/** Answers why not, if not; the words are for people. A pick is decided by the item's own rule. */
async function submitBooking(sku: string, booking: Booking): Promise<string | undefined> {
  const { kind, quantity, reason } = booking
  const stream = inventory.stream(sku)
  if (kind === 'pick') {
    const picked = await client.model.item(sku).pick({ quantity, reason })
    return picked.ok ? undefined : `Only ${count(picked.details.onHand)} on hand.`
  }
  await book(
    kind === 'receive' ? stream.StockReceived({ quantity }) : stream.StockCounted({ quantity }),
  )
  return undefined
}

interface BookingFormProps {
  readonly sku: string
  readonly onHand: number
}

/** The form. It says what the stock will be before you book. */
export function BookingForm({ sku, onHand }: BookingFormProps): ReactNode {
  const [booking, setBooking] = useState<Booking>({ kind: 'pick', quantity: 1, reason: 'sale' })
  const [answer, setAnswer] = useState<{ readonly ok: boolean; readonly text: string }>()
  const { kind, quantity, reason } = booking
  const fault = findQuantityFault(quantity, kind === 'count' ? 0 : 1)
  const change = (part: Partial<Booking>) => {
    setBooking({ ...booking, ...part })
    setAnswer(undefined)
  }
  const submit = async (event: SyntheticEvent) => {
    event.preventDefault()
    if (fault) return
    try {
      const denial = await submitBooking(sku, booking)
      if (denial) return setAnswer({ ok: false, text: denial })
      setAnswer({ ok: true, text: 'Stored on this device.' })
      setBooking({ ...booking, quantity: kind === 'count' ? quantity : 1 })
    } catch (error) {
      setAnswer({ ok: false, text: sayStorage(isTidemarkError(error) ? error.code : 'unknown') })
    }
  }
  return (
    <form className="booking" onSubmit={(event) => void submit(event)} noValidate>
      <fieldset className="kinds">
        <legend className="sr-only">What to book</legend>
        {(Object.keys(kinds) as Kind[]).map((each) => (
          <label key={each}>
            <input
              type="radio"
              name="kind"
              checked={kind === each}
              onChange={() => change({ kind: each, quantity: each === 'count' ? onHand : 1 })}
            />
            <span>{kinds[each].word}</span>
          </label>
        ))}
      </fieldset>
      <div className="booking-line">
        <Quantity
          quantity={quantity}
          fault={fault}
          change={(next) => change({ quantity: next })}
          label="Quantity"
          noteId="booking-note"
        />
        {kind === 'pick' && (
          <label className="reason">
            <span className="sr-only">Why</span>
            <select value={reason} onChange={(e) => change({ reason: e.target.value as Reason })}>
              <option value="sale">for a sale</option>
              <option value="damage">damaged</option>
              <option value="transfer">to another shop</option>
            </select>
          </label>
        )}
        <button type="submit" className="book" disabled={fault !== undefined}>
          {kinds[kind].word} {Number.isFinite(quantity) ? count(quantity) : ''}
        </button>
      </div>
      <p
        id="booking-note"
        className={fault || answer?.ok === false ? 'note fault' : 'note'}
        role="status"
      >
        {fault ??
          answer?.text ??
          `${count(onHand)} → ${count(kinds[kind].after(onHand, quantity))}`}
        {answer?.ok && <Icon name="check" />}
      </p>
    </form>
  )
}
