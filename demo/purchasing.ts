/**
 * The purchasing service: it hears of the stock over Service Bus, keeps its own books, and answers a pick
 * that takes an item below its reorder level with `ReorderRequested`. Its order desk hears of orders, and
 * buys what they ask for. It knows neither the gateway nor any device, only the topics.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { parseArgs } from 'node:util'
import { serviceBus } from '@tidemark/server/broker/service-bus'
import { consume } from '@tidemark/server/consumer'
import { sqliteProcessed, type SqliteTx } from '@tidemark/server/consumer/processed/sqlite'
import { type DomainEvent, fold } from '@tidemark/shared'
import { inventory, isLow, type Item, item, orders, reorderQuantity } from './events.ts'
import { openOutside } from './outside.ts'
import { sayReady } from './processes.ts'
import { orderDesk, purchaseTables } from './purchase.ts'

const { values } = parseArgs({
  options: { data: { type: 'string', default: join(import.meta.dirname, '.data') } },
})

/** `stock` is what the service knows of each item; `ledger` has a row for each event that it has booked. */
const tables = `
  pragma journal_mode = wal;
  create table if not exists stock (sku text primary key, state text not null) strict;
  create table if not exists ledger (nth integer primary key, id text not null, type text not null) strict;
  ${purchaseTables}
`

/** Books an event: the item's new state, and a line in the ledger. Returned: the state. */
function book(tx: SqliteTx, event: DomainEvent): Item {
  const row = tx.prepare('select state from stock where sku = ?').get(event.stream)
  const before: Item = row ? JSON.parse(String(row['state'])) : item.initial
  const after = fold(item, before, event)
  tx.prepare('insert or replace into stock (sku, state) values (?, ?)').run(
    event.stream,
    JSON.stringify(after),
  )
  tx.prepare('insert into ledger (id, type) values (?, ?)').run(event.id, event.type)
  return after
}

await mkdir(values.data, { recursive: true })
const database = new DatabaseSync(join(values.data, 'purchasing.db'))
database.exec(tables)
const broker = serviceBus({ connectionString: process.env['SERVICEBUS_CONNECTION_STRING'] ?? '' })
const processed = sqliteProcessed(database)
const keepBooks = (event: DomainEvent, { tx }: { readonly tx: SqliteTx }): void =>
  void book(tx, event)

const purchasing = await consume(inventory, {
  name: 'purchasing',
  broker,
  // Many items move at once when the shelves are filled, each in a session of its own.
  concurrency: 128,
  processed,
  on: {
    ItemAdded: keepBooks,
    StockReceived: keepBooks,
    StockCounted: keepBooks,
    ReorderRequested: keepBooks,
    StockOrdered: keepBooks,
    StockPicked(event, { tx, emit }) {
      const after = book(tx, event)
      // Once for each time the level is crossed: while an order is under way, nothing more is asked for.
      if (!isLow(after) || after.onOrder > 0) return
      emit(inventory.stream(event.stream).ReorderRequested({ quantity: reorderQuantity(after) }))
    },
  },
})

const outside = openOutside(join(values.data, 'outside.db'))
const desk = await consume(orders, { ...orderDesk(outside), broker, processed })
sayReady(async () => {
  await Promise.all([purchasing.close(), desk.close()])
  await broker.close()
  outside.close()
  database.close()
})
