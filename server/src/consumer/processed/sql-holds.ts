/** The streams that do not flow, and the events that wait in them, in a SQL database. */
import type { AsideEvent, HeldStream, Holds } from './holds.ts'
import { type Dialect, maybe, number, orderedList, type Row, type Sql, text } from './sql.ts'

const eventsOfStream = `(SELECT count(*) FROM tidemark_parked AS aside
  WHERE aside.consumer = held.consumer AND aside.key = held.key) AS events`

/** Holds over a connection inside a transaction. */
export function createHolds(sql: Sql, dialect: Dialect): Holds {
  return {
    async held(consumer, keys) {
      const rows = await sql.all(
        `SELECT held.*, ${eventsOfStream} FROM tidemark_held AS held
         WHERE consumer = $1 AND key IN (SELECT value FROM ${dialect.texts('$2')})
         ORDER BY key${dialect.lock}`,
        consumer,
        orderedList(keys),
      )
      return new Map(rows.map((row) => [text(row, 'key'), toHeldStream(row)]))
    },

    async hold(consumer, key, hold) {
      await sql.run(
        `INSERT INTO tidemark_held
           (consumer, key, state, code, reason, attempts, first_at, last_at, parked_at, due_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (consumer, key) DO UPDATE SET state = excluded.state, code = excluded.code,
           reason = excluded.reason, attempts = excluded.attempts, first_at = excluded.first_at,
           last_at = excluded.last_at, parked_at = excluded.parked_at, due_at = excluded.due_at`,
        consumer,
        key,
        hold.state,
        hold.code,
        hold.reason,
        hold.attempts,
        hold.firstAt,
        hold.lastAt,
        hold.parkedAt ?? null,
        hold.dueAt,
      )
    },

    async release(consumer, key) {
      await sql.run('DELETE FROM tidemark_held WHERE consumer = $1 AND key = $2', consumer, key)
    },

    async setAside(consumer, key, event, now) {
      await sql.run(
        `INSERT INTO tidemark_parked (consumer, key, id, topic, scope, author, line, replayed, at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (consumer, id) DO NOTHING`,
        consumer,
        key,
        event.id,
        event.topic,
        event.scope,
        event.author,
        event.line,
        event.replayed ? 1 : 0,
        now,
      )
    },

    async aside(consumer, key, max) {
      const rows = await sql.all(
        `SELECT * FROM tidemark_parked WHERE consumer = $1 AND key = $2
         ORDER BY seq LIMIT CAST($3 AS BIGINT)`,
        consumer,
        key,
        max,
      )
      return rows.map(toAside)
    },

    async find(consumer, id) {
      const [row] = await sql.all(
        'SELECT * FROM tidemark_parked WHERE consumer = $1 AND id = $2',
        consumer,
        id,
      )
      return row && { ...toAside(row), key: text(row, 'key') }
    },

    async takeBack(consumer, id) {
      await sql.run('DELETE FROM tidemark_parked WHERE consumer = $1 AND id = $2', consumer, id)
    },

    async due(consumer, now) {
      const [row] = await sql.all(
        `SELECT held.*, ${eventsOfStream} FROM tidemark_held AS held
         WHERE consumer = $1 AND state = 'retrying' ORDER BY due_at LIMIT 1${dialect.lockOrSkip}`,
        consumer,
      )
      if (!row) return {}
      const stream = toHeldStream(row)
      return stream.dueAt <= now ? { item: stream } : { nextAt: stream.dueAt }
    },

    async list({ consumer, state, after, max }) {
      const rows = await sql.all(
        `SELECT held.*, ${eventsOfStream} FROM tidemark_held AS held
         WHERE (CAST($1 AS TEXT) IS NULL OR consumer = $1) AND (CAST($2 AS TEXT) IS NULL OR state = $2)
           AND (consumer > $3 OR (consumer = $3 AND key > $4))
         ORDER BY consumer, key LIMIT CAST($5 AS BIGINT)`,
        consumer ?? null,
        state ?? null,
        after?.consumer ?? '',
        after?.key ?? '',
        max,
      )
      return rows.map(toHeldStream)
    },
  }
}

const toAside = (row: Row): AsideEvent => ({
  seq: number(row, 'seq'),
  id: text(row, 'id'),
  topic: text(row, 'topic'),
  scope: text(row, 'scope'),
  author: text(row, 'author'),
  line: text(row, 'line'),
  replayed: number(row, 'replayed') === 1,
  at: number(row, 'at'),
})

const toHeldStream = (row: Row): HeldStream => ({
  consumer: text(row, 'consumer'),
  key: text(row, 'key'),
  state: text(row, 'state') as HeldStream['state'],
  code: text(row, 'code'),
  reason: text(row, 'reason'),
  attempts: number(row, 'attempts'),
  firstAt: number(row, 'first_at'),
  lastAt: number(row, 'last_at'),
  parkedAt: maybe(row['parked_at'], Number),
  dueAt: number(row, 'due_at'),
  events: number(row, 'events'),
})
