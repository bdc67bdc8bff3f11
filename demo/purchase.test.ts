import { DatabaseSync } from 'node:sqlite'
import { createMemoryBroker, createNamespace } from '@tidemark/server/broker/memory'
import { consume } from '@tidemark/server/consumer'
import { sqliteProcessed } from '@tidemark/server/consumer/processed/sqlite'
import { TestClock } from '@tidemark/server/consumer/testing'
import { afterEach, expect, test } from 'vitest'
import { orders } from './events.ts'
import { type Outside, openOutside } from './outside.ts'
import { orderDesk, purchaseTables } from './purchase.ts'
import { priceOf } from './suppliers.ts'

const closing: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})

/** An order desk under a virtual clock, on a broker in memory where `gateway` hears of everything. */
async function openDesk(changes: Partial<Outside> = {}) {
  const clock = new TestClock()
  const database = new DatabaseSync(':memory:')
  database.exec(purchaseTables)
  const hears = { name: 'gateway', requiresSession: true }
  const namespace = createNamespace(clock, {
    topics: [
      { name: 'orders', subscriptions: [{ name: 'order-desk', requiresSession: true }, hears] },
      { name: 'inventory', subscriptions: [hears] },
    ],
  })
  const broker = createMemoryBroker({ system: clock, namespace })
  const desk = await consume(orders, {
    ...orderDesk({ ...openOutside(':memory:', clock), ...changes }),
    broker,
    processed: sqliteProcessed(database, { system: clock }),
    system: clock,
  })
  closing.push(() => clock.run(desk.close()))
  let placed = 0
  return {
    /** Lets an order go its way. Returned: what the desk has said of it. */
    async order(supplier: string, quantity: number): Promise<readonly object[]> {
      placed += 1
      const id = `0198b4c6-0000-7000-8000-${String(placed).padStart(12, '0')}`
      const stream = `order-${placed}`
      const attributes = {
        specversion: '1.0',
        id,
        source: '/orders/harbour',
        type: 'OrderPlaced',
        subject: stream,
        datacontenttype: 'application/json',
        scope: 'harbour',
        schemaversion: 1,
        author: 'ada',
      }
      const body = new TextEncoder().encode(JSON.stringify({ sku: 'sku-1', quantity, supplier }))
      const message = { id, key: `harbour/${stream}`, attributes, body }
      await clock.run(broker.publish('orders', [message]))
      await clock.pass(120_000)
      const heard = await Promise.all(
        ['orders', 'inventory'].map((topic) =>
          broker.peek({ topic, subscription: 'gateway' }, 1_000),
        ),
      )
      return heard
        .flat()
        .filter((each) => each.attributes['causationid'] === id)
        .map((each) => ({
          type: each.attributes['type'],
          ...JSON.parse(new TextDecoder().decode(each.body)),
        }))
    },
    /** The acts that the desk has written down. */
    ledger: () =>
      database
        .prepare('select act from purchases order by nth')
        .all()
        .map(({ act }) => act),
  }
}

const price = priceOf('sku-1')

test('[C15] what can be bought is reserved, paid and placed, and the item hears of it', async () => {
  const desk = await openDesk()
  expect(await desk.order('north-quay', 20)).toMatchObject([
    { type: 'BudgetReserved', amount: 20 * price },
    { type: 'SupplierPaid', amount: 20 * price },
    { type: 'OrderConfirmed' },
    { type: 'StockOrdered', quantity: 20 },
  ])
  expect(desk.ledger()).toEqual(['reserve', 'pay', 'place'])
})

test('[C15] what a supplier refuses is undone in reverse, and said with their reason', async () => {
  const desk = await openDesk()
  expect(await desk.order('north-quay', 501)).toMatchObject([
    { type: 'BudgetReserved' },
    { type: 'SupplierPaid' },
    { type: 'PaymentReturned', amount: 501 * price },
    { type: 'BudgetReleased', amount: 501 * price },
    { type: 'OrderFailed', code: 'TOO_MANY', reason: 'The supplier sends at most 500 at once.' },
  ])
  expect(desk.ledger()).toEqual(['reserve', 'pay', 'undo pay', 'undo reserve'])
})

test('[C15] an order that a supplier never answered is cancelled with them, and then undone', async () => {
  const desk = await openDesk({ placeOrder: () => new Promise(() => {}) })
  expect(await desk.order('north-quay', 20)).toMatchObject([
    { type: 'BudgetReserved' },
    { type: 'SupplierPaid' },
    { type: 'PaymentReturned' },
    { type: 'BudgetReleased' },
    {
      type: 'OrderFailed',
      code: 'HANDLER_TIMEOUT',
      reason: 'The supplier could not be reached.',
    },
  ])
  expect(desk.ledger()).toEqual(['reserve', 'pay', 'undo place', 'undo pay', 'undo reserve'])
})

test('what the budget does not have is refused before anything is done, and what was undone is free again', async () => {
  const desk = await openDesk()
  const most = Math.floor(100_000 / price)
  expect(await desk.order('north-quay', most + 1)).toMatchObject([
    { type: 'OrderFailed', code: 'BUDGET_SPENT' },
  ])
  expect(desk.ledger()).toEqual([])
  // Refused by the supplier, twice: each leaves the budget as it was.
  for (const quantity of [most, most]) {
    expect((await desk.order('closed-yard', quantity)).at(-1)).toMatchObject({ code: 'CLOSED' })
  }
})

test('[C8] an order from a supplier that nobody knows is set aside after three attempts', async () => {
  const desk = await openDesk()
  expect(await desk.order('ghost-yard', 5)).toMatchObject([
    { type: 'tidemark.DeadLettered', consumer: 'order-desk', attempts: 3 },
  ])
  expect(desk.ledger()).toEqual([])
})
