/** A number with a button on either side. */
import type { ReactNode } from 'react'
import { Icon } from './icons.tsx'

const quantityMax = 10_000

/** Why this many cannot be booked, if they cannot. */
export function findQuantityFault(quantity: number, min = 1): string | undefined {
  if (!Number.isSafeInteger(quantity) || quantity < 0) return 'A whole number, please.'
  if (quantity < min) return `At least ${min}.`
  if (quantity > quantityMax) return 'At most 10,000 at a time.'
  return undefined
}

interface QuantityProps {
  readonly quantity: number
  readonly fault: string | undefined
  readonly change: (quantity: number) => void
  readonly label: string
  /** The element that says what is wrong with it. */
  readonly noteId: string
}

/** The field; what it holds may be no number for a while. */
export function Quantity({ quantity, fault, change, label, noteId }: QuantityProps): ReactNode {
  return (
    <span className="quantity">
      <button
        type="button"
        aria-label="One less"
        disabled={!(quantity > 0)}
        onClick={() => change(quantity - 1)}
      >
        <Icon name="minus" />
      </button>
      <input
        type="number"
        inputMode="numeric"
        aria-label={label}
        aria-describedby={noteId}
        aria-invalid={fault !== undefined}
        min={0}
        max={quantityMax}
        value={Number.isNaN(quantity) ? '' : quantity}
        onChange={(event) => change(event.target.valueAsNumber)}
      />
      <button type="button" aria-label="One more" onClick={() => change((quantity || 0) + 1)}>
        <Icon name="plus" />
      </button>
    </span>
  )
}
