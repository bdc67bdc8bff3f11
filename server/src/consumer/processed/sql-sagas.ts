/** The durable log of sagas and their steps, in a SQL database. */
import type { SagaRow, Sagas, SagaStepRow } from './sagas.ts'
import { type Dialect, maybe, number, orderedList, type Row, type Sql, text } from './sql.ts'

/** Sagas over a connection inside a transaction. */
export function createSagas(sql: Sql, dialect: Dialect): Sagas {
  return {
    async start(row) {
      const written = await sql.run(
        `INSERT INTO tidemark_sagas (id, name, input, cause, state, step, attempts, term, due_at, code,
           reason, started_at, changed_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT (id) DO NOTHING`,
        row.id,
        row.name,
        JSON.stringify(row.input ?? null),
        JSON.stringify(row.cause),
        row.state,
        row.step,
        row.attempts,
        row.term,
        row.dueAt,
        row.code ?? null,
        row.reason ?? null,
        row.startedAt,
        row.changedAt,
      )
      return written === 1
    },

    async get(id) {
      const [row] = await sql.all(`SELECT * FROM tidemark_sagas WHERE id = $1${dialect.lock}`, id)
      return row && toSaga(row)
    },

    async save(row) {
      await sql.run(
        `UPDATE tidemark_sagas SET state = $2, step = $3, attempts = $4, term = $5, due_at = $6,
           code = $7, reason = $8, changed_at = $9 WHERE id = $1`,
        row.id,
        row.state,
        row.step,
        row.attempts,
        row.term,
        row.dueAt,
        row.code ?? null,
        row.reason ?? null,
        row.changedAt,
      )
    },

    async steps(id) {
      const rows = await sql.all(
        'SELECT * FROM tidemark_saga_steps WHERE saga = $1 ORDER BY step',
        id,
      )
      return rows.map((row) => ({
        step: number(row, 'step'),
        name: text(row, 'name'),
        state: text(row, 'state') as SagaStepRow['state'],
        result: JSON.parse(text(row, 'result')),
        at: number(row, 'at'),
      }))
    },

    async saveStep(id, step) {
      await sql.run(
        `INSERT INTO tidemark_saga_steps (saga, step, name, state, result, at)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (saga, step) DO UPDATE SET state = excluded.state, at = excluded.at`,
        id,
        step.step,
        step.name,
        step.state,
        JSON.stringify(step.result ?? null),
        step.at,
      )
    },

    async due(names, now) {
      const [row] = await sql.all(
        `SELECT * FROM tidemark_sagas
         WHERE state IN ('running', 'compensating') AND name IN (SELECT value FROM ${dialect.texts('$1')})
         ORDER BY due_at LIMIT 1${dialect.lockOrSkip}`,
        orderedList(names),
      )
      if (!row) return {}
      const saga = toSaga(row)
      return saga.dueAt <= now ? { item: saga } : { nextAt: saga.dueAt }
    },

    async list({ name, state, max }) {
      const rows = await sql.all(
        `SELECT * FROM tidemark_sagas
         WHERE (CAST($1 AS TEXT) IS NULL OR name = $1) AND (CAST($2 AS TEXT) IS NULL OR state = $2)
         ORDER BY started_at DESC, id DESC LIMIT CAST($3 AS BIGINT)`,
        name ?? null,
        state ?? null,
        max,
      )
      return rows.map(toSaga)
    },
  }
}

const toSaga = (row: Row): SagaRow => ({
  id: text(row, 'id'),
  name: text(row, 'name'),
  input: JSON.parse(text(row, 'input')),
  cause: JSON.parse(text(row, 'cause')),
  state: text(row, 'state') as SagaRow['state'],
  step: number(row, 'step'),
  attempts: number(row, 'attempts'),
  term: number(row, 'term'),
  dueAt: number(row, 'due_at'),
  code: maybe(row['code'], String),
  reason: maybe(row['reason'], String),
  startedAt: number(row, 'started_at'),
  changedAt: number(row, 'changed_at'),
})
