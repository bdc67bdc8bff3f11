/** The resulting events that the broker has not confirmed yet, in a SQL database. */
import { parseMessage, writeMessage } from './message-text.ts'
import type { Outbox, Outgoing } from './outbox.ts'
import { type Dialect, maybe, number, orderedList, type Row, type Sql, text } from './sql.ts'

/** The outbox over a connection inside a transaction. */
export function createOutbox(sql: Sql, dialect: Dialect): Outbox {
  const keyOf = (row: string): string => dialect.field(`${row}.message`, 'key')
  return {
    async enqueue(consumer, owner, results, now) {
      if (results.length === 0) return
      await sql.run(
        `INSERT INTO tidemark_outgoing (consumer, owner, topic, message, at)
         SELECT $1, $2, value ->> 0, value ->> 1, CAST($4 AS BIGINT)
         FROM ${dialect.lists('$3')} WHERE true ORDER BY nth`,
        consumer,
        owner,
        JSON.stringify(results.map(({ topic, message }) => [topic, writeMessage(message)])),
        now,
      )
    },

    async pending({ consumer, owner, strayBefore, exceptTopics = [], max }) {
      const rows = await sql.all(
        `SELECT seq, topic, message, refused_code FROM tidemark_outgoing AS result
         WHERE consumer = $1 AND refused_code IS NULL AND (owner = $2 OR at < CAST($3 AS BIGINT))
           AND topic NOT IN (SELECT value FROM ${dialect.texts('$4')})
           AND NOT EXISTS (
             SELECT 1 FROM tidemark_outgoing AS before
             WHERE before.consumer = $1 AND before.seq < result.seq AND before.refused_code IS NULL
               AND before.owner <> $2 AND before.at >= CAST($3 AS BIGINT)
               AND before.topic = result.topic AND ${keyOf('before')} = ${keyOf('result')})
         ORDER BY seq LIMIT CAST($5 AS BIGINT)`,
        consumer,
        owner,
        strayBefore,
        orderedList(exceptTopics),
        max,
      )
      return rows.map(toOutgoing)
    },

    async confirm(seqs) {
      await sql.run(
        `DELETE FROM tidemark_outgoing
         WHERE seq IN (SELECT CAST(value AS BIGINT) FROM ${dialect.texts('$1')})`,
        JSON.stringify(seqs.map(String)),
      )
    },

    async refuse(seq, code) {
      await sql.run(
        'UPDATE tidemark_outgoing SET refused_code = $2 WHERE seq = CAST($1 AS BIGINT)',
        seq,
        code ?? null,
      )
    },

    async findRefused(consumer, seq) {
      const [row] = await sql.all(
        `SELECT seq, topic, message, refused_code FROM tidemark_outgoing
         WHERE consumer = $1 AND seq = CAST($2 AS BIGINT) AND refused_code IS NOT NULL${dialect.lock}`,
        consumer,
        seq,
      )
      return row && toOutgoing(row)
    },

    async refused(consumer, max) {
      const rows = await sql.all(
        `SELECT seq, topic, message, refused_code FROM tidemark_outgoing
         WHERE consumer = $1 AND refused_code IS NOT NULL ORDER BY seq LIMIT CAST($2 AS BIGINT)`,
        consumer,
        max,
      )
      return rows.map(toOutgoing)
    },
  }
}

const toOutgoing = (row: Row): Outgoing => ({
  seq: number(row, 'seq'),
  topic: text(row, 'topic'),
  message: parseMessage(text(row, 'message')),
  refusedCode: maybe(row['refused_code'], String),
})
