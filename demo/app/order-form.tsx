/** Orders more of an item from a supplier. Placing resolves when the order is stored on this device. */
import { isTidemarkError, system } from '@tidemark/shared'
import { type ReactNode, type SyntheticEvent, useState } from 'react'
import { orders } from '../events.ts'
import { priceOf, suppliers } from '../suppliers.ts'
import { Icon } from './icons.tsx'
import { book } from './inventory.ts'
import { findQuantityFault, Quantity } from './quantity.tsx'
import { count, euros, sayStorage } from './words.ts'

interface OrderFormProps {
  readonly sku: string
  /** How many would be sensible. */
  readonly suggested: number
}

/** A button that opens the form. */
export function OrderForm({ sku, suggested }: OrderFormProps): ReactNode {
  const [isOpen, setOpen] = useState(false)
  const [answer, setAnswer] = useState<string>()
  if (isOpen) {
    const close = (said?: string) => {
      setOpen(false)
      setAnswer(said)
    }
    return <OpenForm sku={sku} suggested={suggested} close={close} />
  }
  return (
    <div className="order-open">
      <button type="button" className="order-button" onClick={() => setOpen(true)}>
        <Icon name="cart" /> Order from supplier
      </button>
      <p className="note" role="status">
        {answer}
      </p>
    </div>
  )
}

interface OpenFormProps extends OrderFormProps {
  readonly close: (said?: string) => void
}

function OpenForm({ sku, suggested, close }: OpenFormProps): ReactNode {
  const [quantity, setQuantity] = useState(suggested)
  const [supplier, setSupplier] = useState(suppliers[0])
  const [failure, setFailure] = useState<string>()
  const fault = findQuantityFault(quantity)
  const submit = async (event: SyntheticEvent) => {
    event.preventDefault()
    if (fault) return
    try {
      const stream = orders.stream(`order-${system.uuid()}`)
      await book(stream.OrderPlaced({ sku, quantity, supplier: supplier.id }))
      close('Stored on this device.')
    } catch (error) {
      setFailure(sayStorage(isTidemarkError(error) ? error.code : 'unknown'))
    }
  }
  return (
    <form className="booking order-form" onSubmit={(event) => void submit(event)} noValidate>
      <div className="booking-line">
        <Quantity
          quantity={quantity}
          fault={fault}
          change={setQuantity}
          label="How many to order"
          noteId="order-note"
        />
        <label className="reason">
          <span className="sr-only">Supplier</span>
          <select
            value={supplier.id}
            onChange={({ target }) =>
              setSupplier(suppliers.find(({ id }) => id === target.value) ?? suppliers[0])
            }
          >
            {suppliers.map(({ id, name }) => (
              <option key={id} value={id}>
                from {name}
              </option>
            ))}
          </select>
        </label>
        <button type="submit" className="book" disabled={fault !== undefined}>
          Order {Number.isFinite(quantity) ? count(quantity) : ''}
        </button>
        <button type="button" className="plain" onClick={() => close()}>
          Cancel
        </button>
      </div>
      <p id="order-note" className={fault || failure ? 'note fault' : 'note'} role="status">
        {fault ?? failure ?? `${euros(quantity * priceOf(sku))}. ${supplier.says}`}
      </p>
    </form>
  )
}
