/**
 * How an order is bought: reserve the budget, pay, place the order with its supplier. Where a step
 * cannot be, those before it are undone in reverse. Every act is a line in the service's ledger and an
 * event for whoever placed the order, written in the transaction that moves the saga on.
 */
import { type ConsumeOptions, refuse, saga, type Saga, step } from '@tidemark/server/consumer'
import type { SqliteTx } from '@tidemark/server/consumer/processed/sqlite'
import { inventory, orders } from './events.ts'
import type { Outside } from './outside.ts'
import { priceOf } from './suppliers.ts'

/** What is to be bought. */
interface Purchase {
  /** The order's stream. */
  readonly order: string
  readonly sku: string
  readonly quantity: number
  readonly supplier: string
  /** In whole euros. */
  readonly amount: number
}

/** The ledger: what was done for each order, and what it takes from the budget. */
export const purchaseTables = `
  create table if not exists purchases
    (nth integer primary key, order_id text not null, act text not null, reserved integer not null) strict;
`

/** Refusals whose words are for people. What else goes wrong is for those who run the service. */
const refusals: ReadonlySet<string> = new Set(['BUDGET_SPENT', 'CLOSED', 'TOO_MANY'])

/** What the service may have spent, in whole euros. */
const budget = 100_000

function note(tx: SqliteTx, { order }: Purchase, act: string, reserved = 0): void {
  tx.prepare('insert into purchases (order_id, act, reserved) values (?, ?, ?)').run(
    order,
    act,
    reserved,
  )
}

const budgetLeft = (tx: SqliteTx): number =>
  budget - Number(tx.prepare('select sum(reserved) as sum from purchases').get()?.['sum'] ?? 0)

/** Ours alone, so it needs no call: it happens in the transaction. */
const reserve = step<Purchase, SqliteTx>('reserve', {
  run: {
    commit(purchase, { tx, emit }) {
      const { order, amount } = purchase
      const left = budgetLeft(tx)
      if (amount > left) refuse('BUDGET_SPENT', `It costs €${amount}, and the budget has €${left}.`)
      note(tx, purchase, 'reserve', amount)
      emit(orders.stream(order).BudgetReserved({ amount }))
    },
  },
  compensate: {
    commit(purchase, { tx, emit }) {
      const { order, amount } = purchase
      note(tx, purchase, 'undo reserve', -amount)
      emit(orders.stream(order).BudgetReleased({ amount }))
    },
  },
})

const pay = (outside: Outside) =>
  step<Purchase, SqliteTx>('pay', {
    run: {
      perform: ({ order }, { key }) => outside.takePayment({ key, order }),
      commit(purchase, { tx, emit }) {
        note(tx, purchase, 'pay')
        emit(orders.stream(purchase.order).SupplierPaid({ amount: purchase.amount }))
      },
    },
    compensate: {
      perform: ({ order }, { key }) => outside.returnPayment({ key, order }),
      commit(purchase, { tx, emit }) {
        note(tx, purchase, 'undo pay')
        emit(orders.stream(purchase.order).PaymentReturned({ amount: purchase.amount }))
      },
    },
  })

const place = (outside: Outside) =>
  step<Purchase, SqliteTx, { readonly reference: string }>('place', {
    run: {
      perform: ({ order, supplier, quantity }, { key, signal }) =>
        outside.placeOrder({ key, order, supplier, quantity }, signal),
      commit(purchase, { tx, emit, result }) {
        note(tx, purchase, 'place')
        emit(orders.stream(purchase.order).OrderConfirmed({ reference: result.reference }))
      },
    },
    // A supplier who never answered may have the order all the same: then it is cancelled.
    compensatesUnsure: true,
    compensate: {
      perform: ({ order }, { key }) => outside.cancelOrder({ key, order }),
      commit: (purchase, { tx }) => note(tx, purchase, 'undo place'),
    },
  })

/** Its last word is for the item where it worked out, and for the order where it did not. */
const purchaseSaga = (outside: Outside): Saga<Purchase, SqliteTx> =>
  saga<Purchase, SqliteTx>({
    name: 'purchase',
    // After a crash in the middle of a call, the saga goes on when this and a little more has passed.
    stepMsMax: 5_000,
    steps: [reserve, pay(outside), place(outside)],
    ended(outcome, { order, sku, quantity }, { emit, code, reason }) {
      if (outcome === 'completed') emit(inventory.stream(sku).StockOrdered({ quantity }))
      if (outcome === 'compensated') {
        const why =
          reason && refusals.has(code ?? '') ? reason : 'The supplier could not be reached.'
        emit(orders.stream(order).OrderFailed({ code: code ?? 'UNKNOWN', reason: why }))
      }
    },
  })

/** The consumer of orders: what it needs beside a broker and its database. */
export function orderDesk(
  outside: Outside,
): Omit<ConsumeOptions<typeof orders, SqliteTx>, 'broker' | 'processed'> {
  const purchase = purchaseSaga(outside)
  return {
    name: 'order-desk',
    emits: [inventory],
    sagas: [purchase],
    // Somebody is looking at the screen: three quick tries, then a person is asked.
    attemptsMax: 3,
    retry: { firstMs: 250, maxMs: 1_000 },
    on: {
      async OrderPlaced({ stream: order, data }, { start }) {
        const { sku, quantity, supplier } = data
        // A mistake of this service, and not the order's: nothing that it could say would be of use to anyone.
        if (!outside.knows(supplier)) throw new Error(`no terms are known for ${supplier}`)
        const amount = quantity * priceOf(sku)
        await start(purchase, { order, sku, quantity, supplier, amount })
      },
    },
  }
}
