/**
 * What can happen to an item of stock. The browser, the gateway and the answering service import this
 * one file; nothing else is agreed between them.
 */
import { model, topic } from '@tidemark/shared'
import * as z from 'zod'

const quantity = z.int().min(1).max(10_000)

/** Everything that happens to stock. A stream is an item: `sku-0042`. */
export const inventory = topic('inventory', {
  ItemAdded: z.object({
    name: z.string().min(1).max(200),
    reorderLevel: z.int().min(0),
    location: z.string().max(40).optional(),
  }),
  StockReceived: z.object({ quantity }),
  StockPicked: z.object({ quantity, reason: z.enum(['sale', 'damage', 'transfer']) }),
  /** Somebody counted what is on the shelf: the number wins over what the books say. */
  StockCounted: z.object({ quantity: z.int().min(0).max(100_000) }),
  /** The purchasing service's answer to a pick that took the stock below its reorder level. */
  ReorderRequested: z.object({ quantity }),
})

/** An item as its events tell it. */
export interface Item {
  readonly name: string
  readonly location: string
  readonly reorderLevel: number
  readonly onHand: number
  /** Asked for and not received yet. */
  readonly onOrder: number
}

/** The state of each item. The app shows it, and the answering service decides by it. */
export const item = model(inventory, {
  version: 1,
  initial: { name: '', location: '', reorderLevel: 0, onHand: 0, onOrder: 0 } as Item,
  on: {
    ItemAdded: (state, { data }) => ({
      ...state,
      name: data.name,
      location: data.location ?? '',
      reorderLevel: data.reorderLevel,
    }),
    StockReceived: (state, { data }) => ({
      ...state,
      onHand: state.onHand + data.quantity,
      onOrder: Math.max(0, state.onOrder - data.quantity),
    }),
    StockPicked: (state, { data }) => ({ ...state, onHand: state.onHand - data.quantity }),
    StockCounted: (state, { data }) => ({ ...state, onHand: data.quantity }),
    ReorderRequested: (state, { data }) => ({ ...state, onOrder: state.onOrder + data.quantity }),
  },
})

/** Should this item be bought again? Not while an order is under way. */
export const isLow = ({ onHand, reorderLevel }: Item): boolean => onHand < reorderLevel

/** How many to ask for: enough to stand at twice the reorder level. */
export const reorderQuantity = ({ onHand, reorderLevel }: Item): number =>
  Math.max(1, reorderLevel * 2 - onHand)
