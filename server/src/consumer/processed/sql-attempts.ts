/** The attempts at events, and which of them are done, in a SQL database. */
import type { Attempts } from './processed.ts'
import { type Dialect, number, orderedList, type Sql, text } from './sql.ts'

/** Attempts over a connection inside a transaction. */
export function createAttempts(sql: Sql, dialect: Dialect): Attempts {
  return {
    async standing(consumer, ids) {
      const rows = await sql.all(
        `SELECT id, attempts, in_company, done_at FROM tidemark_processed
         WHERE consumer = $1 AND id IN (SELECT value FROM ${dialect.texts('$2')})
         ORDER BY id${dialect.lock}`,
        consumer,
        orderedList(ids),
      )
      return new Map(
        rows.map((row) => [
          text(row, 'id'),
          {
            attempts: number(row, 'attempts'),
            inCompany: number(row, 'in_company') === 1,
            done: row['done_at'] !== null,
          },
        ]),
      )
    },

    async count(consumer, ids, inCompany) {
      await sql.run(
        `INSERT INTO tidemark_processed (consumer, id, attempts, in_company)
         SELECT $1, value, 1, CAST($3 AS BIGINT) FROM ${dialect.texts('$2')} WHERE true ORDER BY value
         ON CONFLICT (consumer, id) DO UPDATE SET
           attempts = tidemark_processed.attempts + 1 - tidemark_processed.in_company,
           in_company = excluded.in_company`,
        consumer,
        orderedList(ids),
        inCompany ? 1 : 0,
      )
    },

    async finish(consumer, ids, now) {
      await sql.run(
        `INSERT INTO tidemark_processed (consumer, id, attempts, in_company, done_at)
         SELECT $1, value, 0, 0, CAST($3 AS BIGINT) FROM ${dialect.texts('$2')} WHERE true ORDER BY value
         ON CONFLICT (consumer, id) DO UPDATE SET done_at = excluded.done_at`,
        consumer,
        orderedList(ids),
        now,
      )
    },

    async blame(consumer, id) {
      await sql.run(
        'UPDATE tidemark_processed SET in_company = 0 WHERE consumer = $1 AND id = $2',
        consumer,
        id,
      )
    },

    async forgive(consumer, id) {
      await sql.run(
        'UPDATE tidemark_processed SET attempts = 0, in_company = 0 WHERE consumer = $1 AND id = $2',
        consumer,
        id,
      )
    },

    prune(consumer, before) {
      return sql.run(
        'DELETE FROM tidemark_processed WHERE consumer = $1 AND done_at < CAST($2 AS BIGINT)',
        consumer,
        before,
      )
    },
  }
}
