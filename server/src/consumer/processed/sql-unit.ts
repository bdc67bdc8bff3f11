/** One transaction of a consumer over any SQL database. */
import { TidemarkError } from '@tidemark/shared'
import type { Holds } from './holds.ts'
import type { Outbox } from './outbox.ts'
import type { Attempts, AuditRecord, Backlog, Unit } from './processed.ts'
import type { Sagas } from './sagas.ts'
import { type Dialect, number, type Sql, text } from './sql.ts'
import { createAttempts } from './sql-attempts.ts'
import { createHolds } from './sql-holds.ts'
import { createOutbox } from './sql-outbox.ts'
import { createSagas } from './sql-sagas.ts'

/** A unit over any SQL database. */
export class SqlUnit<Tx> implements Unit<Tx> {
  readonly tx: Tx
  readonly attempts: Attempts
  readonly holds: Holds
  readonly outbox: Outbox
  readonly sagas: Sagas
  readonly #sql: Sql

  constructor(tx: Tx, sql: Sql, dialect: Dialect) {
    this.tx = tx
    this.attempts = createAttempts(sql, dialect)
    this.holds = createHolds(sql, dialect)
    this.outbox = createOutbox(sql, dialect)
    this.sagas = createSagas(sql, dialect)
    this.#sql = sql
  }

  async savepoint<T>(work: () => Promise<T>): Promise<T> {
    await this.#sql.run('SAVEPOINT tidemark_event')
    try {
      const result = await work()
      await this.#sql.conclude('RELEASE SAVEPOINT tidemark_event')
      return result
    } catch (error) {
      await this.#sql.run('ROLLBACK TO SAVEPOINT tidemark_event')
      await this.#sql.run('RELEASE SAVEPOINT tidemark_event')
      throw error
    }
  }

  async revision(consumer: string, name: string): Promise<number> {
    const [row] = await this.#sql.all(
      'SELECT revision FROM tidemark_revisions WHERE consumer = $1 AND name = $2',
      consumer,
      name,
    )
    return row ? number(row, 'revision') : 0
  }

  async advance(consumer: string, name: string, revision: number): Promise<void> {
    const moved =
      revision === 0
        ? await this.#sql.run(
            `INSERT INTO tidemark_revisions (consumer, name, revision) VALUES ($1, $2, 1)
             ON CONFLICT (consumer, name) DO NOTHING`,
            consumer,
            name,
          )
        : await this.#sql.run(
            `UPDATE tidemark_revisions SET revision = revision + 1
             WHERE consumer = $1 AND name = $2 AND revision = CAST($3 AS BIGINT)`,
            consumer,
            name,
            revision,
          )
    if (moved === 1) return
    const actual = await this.revision(consumer, name)
    throw new TidemarkError('REVISION_CONFLICT', { expected: revision, actual })
  }

  async audit({ consumer, at, by, action, subject, note }: AuditRecord): Promise<void> {
    await this.#sql.run(
      `INSERT INTO tidemark_audit (consumer, at, who, action, subject, note)
       VALUES ($1, $2, $3, $4, $5, $6)`,
      consumer,
      at,
      by,
      action,
      subject,
      note,
    )
  }

  async audits(consumer: string, max: number): Promise<readonly AuditRecord[]> {
    const rows = await this.#sql.all(
      `SELECT * FROM tidemark_audit WHERE consumer = $1 ORDER BY seq DESC LIMIT CAST($2 AS BIGINT)`,
      consumer,
      max,
    )
    return rows.map((row) => ({
      consumer,
      at: number(row, 'at'),
      by: text(row, 'who'),
      action: text(row, 'action') as AuditRecord['action'],
      subject: text(row, 'subject'),
      note: text(row, 'note'),
    }))
  }

  async backlog(consumer: string): Promise<Backlog> {
    const [row = {}] = await this.#sql.all(
      `SELECT
         (SELECT count(*) FROM tidemark_held WHERE consumer = $1 AND state = 'retrying') AS retrying_streams,
         (SELECT count(*) FROM tidemark_parked AS aside JOIN tidemark_held AS held USING (consumer, key)
            WHERE consumer = $1 AND state = 'retrying') AS retrying_events,
         (SELECT count(*) FROM tidemark_held WHERE consumer = $1 AND state = 'parked') AS parked_streams,
         (SELECT count(*) FROM tidemark_parked AS aside JOIN tidemark_held AS held USING (consumer, key)
            WHERE consumer = $1 AND state = 'parked') AS parked_events,
         (SELECT count(*) FROM tidemark_outgoing WHERE consumer = $1 AND refused_code IS NULL) AS outgoing,
         (SELECT count(*) FROM tidemark_outgoing WHERE consumer = $1 AND refused_code IS NOT NULL) AS refused`,
      consumer,
    )
    return {
      retryingStreams: number(row, 'retrying_streams'),
      retryingEvents: number(row, 'retrying_events'),
      parkedStreams: number(row, 'parked_streams'),
      parkedEvents: number(row, 'parked_events'),
      outgoing: number(row, 'outgoing'),
      refused: number(row, 'refused'),
    }
  }
}
