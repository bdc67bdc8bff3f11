/**
 * The world outside of the purchasing service: a bank and the suppliers. They share no transaction with
 * it, and keep their own books by the caller's key, so the same call made again changes nothing.
 */
import { DatabaseSync } from 'node:sqlite'
import { sleep, system as realSystem } from '@tidemark/shared'
import { refuse } from '@tidemark/server/consumer'
import { suppliedMax } from './suppliers.ts'

/** What a call is about: the idempotency key, and the order that it is made for. */
export interface Call {
  readonly key: string
  readonly order: string
}

/** The bank and the suppliers. */
export interface Outside {
  takePayment(call: Call): void
  returnPayment(call: Call): void
  /** Asks the supplier, who takes a moment to think. Throws what `refuse` throws where they decline. */
  placeOrder(
    call: Call & { readonly supplier: string; readonly quantity: number },
    signal: AbortSignal,
  ): Promise<{ readonly reference: string }>
  cancelOrder(call: Call): void
  /** Is this supplier known? */
  knows(supplier: string): boolean
  close(): void
}

/** Suppliers who deliver, and those who are closed. */
const known: ReadonlyMap<string, { readonly isOpen: boolean }> = new Map([
  ['north-quay', { isOpen: true }],
  ['closed-yard', { isOpen: false }],
])

const thinkingMs = 800

/** Opens their books, a SQLite file that nobody else writes to. */
export function openOutside(file: string, system = realSystem): Outside {
  const database = new DatabaseSync(file)
  database.exec(`
    pragma journal_mode = wal;
    create table if not exists calls
      (nth integer primary key, key text not null unique, act text not null, order_id text not null) strict;
  `)
  const insert = database.prepare(
    'insert into calls (key, act, order_id) values (?, ?, ?) on conflict do nothing',
  )
  const write = (act: string, { key, order }: Call): void => void insert.run(key, act, order)
  return {
    takePayment: (call) => write('take payment', call),
    returnPayment: (call) => write('return payment', call),
    async placeOrder({ supplier, quantity, ...call }, signal) {
      await sleep(system, thinkingMs, signal)
      if (!known.get(supplier)?.isOpen) refuse('CLOSED', 'The supplier is closed until spring.')
      if (quantity > suppliedMax) {
        refuse('TOO_MANY', `The supplier sends at most ${suppliedMax} at once.`)
      }
      write('place order', call)
      return { reference: call.key.slice(0, 8) }
    },
    cancelOrder: (call) => write('cancel order', call),
    knows: (supplier) => known.has(supplier),
    close: () => database.close(),
  }
}
