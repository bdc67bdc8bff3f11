/** The service, composed as always, whose database and whose calls know where it is to die. */
import { existsSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { serviceBus } from '@tidemark/server/broker/service-bus'
import { consume, refuse } from '@tidemark/server/consumer'
import { sqliteProcessed } from '@tidemark/server/consumer/processed/sqlite'
import { createLines, fileIn, type Orders, runChild } from './child.ts'
import type { Fuse } from './fuse.ts'
import { createHastySystem, hastyBroker } from './hasty.ts'
import { armProcessed } from './arm-processed.ts'
import { type Order, isAnswered, orders, service } from './orders.ts'
import { createOrderSaga } from './order-saga.ts'

/**
 * `effects` has a row for each time that an event had its effect, and nothing keeps an event from having
 * two; `acts` the same for the halves of a saga's steps; `answers` for what was answered.
 */
const tables = `
  pragma journal_mode = wal;
  create table if not exists effects (nth integer primary key, id text not null) strict;
  create table if not exists acts (nth integer primary key, cause text not null, step text not null,
    half text not null) strict;
  create table if not exists answers (nth integer primary key, id text not null, cause text not null) strict;
`

runChild(async ({ folder, connectionString, originMs, without }: Orders, fuse: Fuse) => {
  const system = createHastySystem(originMs)
  const database = new DatabaseSync(fileIn(folder, 'books'), { timeout: 5_000 })
  database.exec(tables)
  // From here on the adapter waits by itself, beside the event loop.
  database.exec('pragma busy_timeout = 0')
  const carryOut = createOrderSaga(fuse, createLines(fileIn(folder, 'calls')))
  const consumer = await consume(orders, {
    name: service,
    broker: hastyBroker(serviceBus({ connectionString })),
    processed: armProcessed(sqliteProcessed(database), fuse, without === 'dedupe'),
    system,
    // A process that is killed is no fault of the events that it had in hand.
    attemptsMax: 1_000,
    sagas: [carryOut],
    on: {
      Placed({ id, data, stream }, { tx, emit }) {
        tx.prepare('insert into effects (id) values (?)').run(id)
        if (!isAnswered((data as Order).n)) return
        const answer = emit(orders.stream(stream).Booked({ n: (data as Order).n }))
        tx.prepare('insert into answers (id, cause) values (?, ?)').run(answer, id)
      },
      async Ordered({ id, data, stream }, { tx, start }) {
        tx.prepare('insert into effects (id) values (?)').run(id)
        await start(carryOut, { id, stream, fate: (data as Order).fate ?? 'completed' })
      },
      Poison({ id }, { tx }) {
        if (!existsSync(fileIn(folder, 'mended'))) refuse('BROKEN', 'Nobody has mended it yet.')
        tx.prepare('insert into effects (id) values (?)').run(id)
      },
    },
  })
  return consumer.state.state
})
