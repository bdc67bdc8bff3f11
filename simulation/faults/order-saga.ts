/** An order in three steps, in other people's systems and in our own books, that ends as it was told to. */
import { refuse, saga, type Saga, step } from '@tidemark/server/consumer'
import type { SqliteTx } from '@tidemark/server/consumer/processed/sqlite'
import type { Fuse } from './fuse.ts'
import { type Order, orders } from './orders.ts'

/** What an order's saga begins with. */
export interface OrderInput {
  /** The event that started it. */
  readonly id: string
  readonly stream: string
  readonly fate: NonNullable<Order['fate']>
}

/** The names of its steps, in order. */
export const stepNames = ['reserve', 'charge', 'ship'] as const

/** Builds the saga. Each call to somebody else's system is written down by `noteCall`, with its idempotency key. */
export function createOrderSaga(
  fuse: Fuse,
  noteCall: (call: unknown) => void,
): Saga<OrderInput, SqliteTx> {
  const half = (name: string, half: 'run' | 'compensate') => ({
    perform({ id, fate }: OrderInput, { key }: { readonly key: string }): void {
      if (fate !== 'completed' && name === 'ship') refuse('SOLD_OUT', 'There is nothing to ship.')
      if (fate === 'needs-human' && half === 'compensate' && name === 'reserve') {
        refuse('LOCKED', 'The reservation cannot be taken back.')
      }
      noteCall({ cause: id, step: name, half, key })
      fuse.pass('step/compensation')
    },
    commit({ id }: OrderInput, { tx }: { readonly tx: SqliteTx }): void {
      tx.prepare('insert into acts (cause, step, half) values (?, ?, ?)').run(id, name, half)
      fuse.pass('step/compensation')
    },
  })
  return saga<OrderInput, SqliteTx>({
    name: 'carry-out',
    stepMsMax: 5_000,
    // A process that is killed is no fault of the step that it was at.
    attemptsMax: 1_000,
    compensationAttemptsMax: 1_000,
    retry: { firstMs: 100, maxMs: 1_000 },
    steps: stepNames.map((name) =>
      step<OrderInput, SqliteTx>(name, {
        run: half(name, 'run'),
        compensate: half(name, 'compensate'),
      }),
    ),
    ended(outcome, { id, stream }, { tx, emit }) {
      const answer = emit(orders.stream(stream).Closed({ n: 0, note: outcome }))
      tx.prepare('insert into answers (id, cause) values (?, ?)').run(answer, id)
    },
  })
}
