/**
 * What can happen to an item of stock, and to an order for more of it. The browser, the gateway and the
 * answering service import this one file; nothing else is agreed between them.
 */
import { type DomainEvent, type EventId, model, refuse, topic } from '@tidemark/shared'
import * as z from 'zod'

const quantity = z.int().min(1).max(10_000)
const pick = z.object({ quantity, reason: z.enum(['sale', 'damage', 'transfer']) })

/** Everything that happens to stock. A stream is an item: `sku-0042`. */
export const inventory = topic('inventory', {
  ItemAdded: z.object({
    name: z.string().min(1).max(200),
    reorderLevel: z.int().min(0),
    location: z.string().max(40).optional(),
  }),
  StockReceived: z.object({ quantity }),
  StockPicked: pick,
  /** Somebody counted what is on the shelf: the number wins over what the books say. */
  StockCounted: z.object({ quantity: z.int().min(0).max(100_000) }),
  /** The purchasing service's answer to a pick that took the stock below its reorder level. */
  ReorderRequested: z.object({ quantity }),
  /** An order was confirmed by its supplier: so many are on their way. */
  StockOrdered: z.object({ quantity }),
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

/**
 * The state of each item. The app shows it, and the answering service decides by it. Nobody picks what is not
 * there: of two devices that pick the last one while they are offline, the second is told so.
 */
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
    StockOrdered: (state, { data }) => ({ ...state, onOrder: state.onOrder + data.quantity }),
  },
}).command('pick', pick, ({ onHand }, input, emit) =>
  onHand < input.quantity ? refuse('OUT_OF_STOCK', { onHand }) : emit.StockPicked(input),
)

/** Should this item be bought again? Not while an order is under way. */
export const isLow = ({ onHand, reorderLevel }: Item): boolean => onHand < reorderLevel

/** How many to ask for: enough to stand at twice the reorder level. */
export const reorderQuantity = ({ onHand, reorderLevel }: Item): number =>
  Math.max(1, reorderLevel * 2 - onHand)

const amount = z.int().min(0)

/**
 * Everything that happens to orders from suppliers. A stream is an order. A person places it, and may take it
 * back; all the rest are answers, because whether an order comes about is not up to whoever placed it.
 */
export const orders = topic('orders', {
  OrderPlaced: z.object({
    sku: z.string().min(1).max(80),
    quantity,
    supplier: z.string().min(1).max(80),
  }),
  BudgetReserved: z.object({ amount }),
  SupplierPaid: z.object({ amount }),
  OrderConfirmed: z.object({ reference: z.string().max(80) }),
  /** Takes `SupplierPaid` back. */
  PaymentReturned: z.object({ amount }),
  /** Takes `BudgetReserved` back. */
  BudgetReleased: z.object({ amount }),
  /** The end of an order that could not be: whatever had been done for it is undone by now. */
  OrderFailed: z.object({ code: z.string().max(100), reason: z.string().max(2_000) }),
  /** Whoever placed an order that got stuck does not wait for it any longer. */
  OrderWithdrawn: z.object({}),
})

/** Something that a service has done for an order, or undone. */
export interface OrderStep {
  readonly id: EventId
  readonly type: string
  readonly at: number
}

/** An order as its events tell it. */
export interface Order {
  readonly placed?: {
    readonly id: EventId
    readonly by: string
    readonly at: number
    readonly sku: string
    readonly quantity: number
    readonly supplier: string
  }
  /** What was done for it and undone, in order. */
  readonly steps: readonly OrderStep[]
  /** `failed`: undone. `stuck`: the service could not process it, and somebody has to look. */
  readonly fate: 'open' | 'confirmed' | 'failed' | 'stuck'
  /** Why it failed, for people; empty where it did not. */
  readonly reason: string
}

const did = (state: Order, { type, id, occurredAt }: DomainEvent): Order => ({
  ...state,
  steps: [...state.steps, { type, id, at: occurredAt }],
})

const end = (state: Order, event: DomainEvent, fate: Order['fate'], reason = ''): Order => ({
  ...did(state, event),
  fate,
  reason,
})

/** Each order. */
export const order = model(orders, {
  version: 1,
  initial: { steps: [], fate: 'open', reason: '' } as Order,
  on: {
    OrderPlaced: (state, { id, author, occurredAt, data }) => ({
      ...state,
      placed: { id, by: author, at: occurredAt, ...data },
    }),
    BudgetReserved: did,
    SupplierPaid: did,
    OrderConfirmed: (state, event) => end(state, event, 'confirmed'),
    PaymentReturned: did,
    BudgetReleased: did,
    OrderFailed: (state, event) => end(state, event, 'failed', event.data.reason),
    OrderWithdrawn: (state, event) =>
      end(state, event, 'failed', 'It got stuck, and was withdrawn.'),
    'tidemark.DeadLettered': (state, event) =>
      end(state, event, 'stuck', `It was tried ${event.data.attempts} times.`),
  },
}).compensate('OrderPlaced', (_, emit) => emit.OrderWithdrawn({}))
