/**
 * The tables of a consumer and every statement on them, once for all SQL databases. An adapter brings a
 * connection inside a transaction and the few words in which its dialect differs.
 */
import { TidemarkError } from '@tidemark/shared'

/** What a column may hold. */
export type Value = string | number | null

/** A row by the names of its columns. Some drivers answer whole numbers as text. */
export type Row = Readonly<Record<string, string | number | null>>

/** A connection inside a transaction. Parameters are named `$1`, `$2`, …, each may be used several times. */
export interface Sql {
  all(text: string, ...parameters: readonly Value[]): Promise<readonly Row[]>
  /** Returned: how many rows it changed. */
  run(text: string, ...parameters: readonly Value[]): Promise<number>
  /** Runs a statement that depends on what the app has written. Throws `HANDLER_FAILED` where only that is wrong. */
  conclude(text: string): Promise<void>
}

/** What it means that a database which is well refuses what was written. */
export const refused = (cause: unknown): TidemarkError => {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new TidemarkError('HANDLER_FAILED', { reason }, { cause })
}

/** Where SQL databases differ. */
export interface Dialect {
  /** A column that counts up by itself. */
  readonly sequence: string
  /** Keeps a table in the order of its primary key, where a database can. */
  readonly clustered: string
  /** Locks the rows that a query reads. */
  readonly lock: string
  /** Locks the rows that a query reads, and leaves out those that are locked. */
  readonly lockOrSkip: string
  /** A table of `value`, `nth` from a parameter that holds a JSON list of texts. */
  texts(parameter: string): string
  /** A table of `value`, `nth` from a parameter that holds a JSON list of lists; `value ->> 0` is a text. */
  lists(parameter: string): string
  /** The text of a field of the JSON object that a column holds as text. */
  field(column: string, name: string): string
}

/** The statements that make the tables where they are missing. */
export const tables = ({ sequence, clustered }: Dialect): readonly string[] => [
  `CREATE TABLE IF NOT EXISTS tidemark_processed (
     consumer TEXT NOT NULL, id TEXT NOT NULL, attempts BIGINT NOT NULL, in_company BIGINT NOT NULL,
     done_at BIGINT, PRIMARY KEY (consumer, id))${clustered}`,
  `CREATE TABLE IF NOT EXISTS tidemark_held (
     consumer TEXT NOT NULL, key TEXT NOT NULL, state TEXT NOT NULL, code TEXT NOT NULL,
     reason TEXT NOT NULL, attempts BIGINT NOT NULL, first_at BIGINT NOT NULL, last_at BIGINT NOT NULL,
     parked_at BIGINT, due_at BIGINT NOT NULL, PRIMARY KEY (consumer, key))${clustered}`,
  `CREATE TABLE IF NOT EXISTS tidemark_parked (
     seq ${sequence}, consumer TEXT NOT NULL, key TEXT NOT NULL, id TEXT NOT NULL, topic TEXT NOT NULL,
     scope TEXT NOT NULL, author TEXT NOT NULL, line TEXT NOT NULL, replayed BIGINT NOT NULL,
     at BIGINT NOT NULL, UNIQUE (consumer, id))`,
  `CREATE INDEX IF NOT EXISTS tidemark_parked_order ON tidemark_parked (consumer, key, seq)`,
  `CREATE TABLE IF NOT EXISTS tidemark_outgoing (
     seq ${sequence}, consumer TEXT NOT NULL, owner TEXT NOT NULL, topic TEXT NOT NULL,
     message TEXT NOT NULL, at BIGINT NOT NULL, refused_code TEXT)`,
  `CREATE TABLE IF NOT EXISTS tidemark_revisions (
     consumer TEXT NOT NULL, name TEXT NOT NULL, revision BIGINT NOT NULL,
     PRIMARY KEY (consumer, name))${clustered}`,
  `CREATE TABLE IF NOT EXISTS tidemark_audit (
     seq ${sequence}, consumer TEXT NOT NULL, at BIGINT NOT NULL, who TEXT NOT NULL,
     action TEXT NOT NULL, subject TEXT NOT NULL, note TEXT NOT NULL)`,
  `CREATE TABLE IF NOT EXISTS tidemark_sagas (
     id TEXT PRIMARY KEY, name TEXT NOT NULL, input TEXT NOT NULL, cause TEXT NOT NULL,
     state TEXT NOT NULL, step BIGINT NOT NULL, attempts BIGINT NOT NULL, term BIGINT NOT NULL,
     due_at BIGINT NOT NULL, code TEXT, reason TEXT, started_at BIGINT NOT NULL, changed_at BIGINT NOT NULL)`,
  `CREATE INDEX IF NOT EXISTS tidemark_sagas_due ON tidemark_sagas (due_at)
     WHERE state IN ('running', 'compensating')`,
  `CREATE TABLE IF NOT EXISTS tidemark_saga_steps (
     saga TEXT NOT NULL, step BIGINT NOT NULL, name TEXT NOT NULL, state TEXT NOT NULL,
     result TEXT NOT NULL, at BIGINT NOT NULL, PRIMARY KEY (saga, step))${clustered}`,
]

/** A column that holds text. */
export const text = (row: Row, column: string): string => String(row[column])
/** A column that holds a number. */
export const number = (row: Row, column: string): number => Number(row[column])
/** A column that may hold nothing. */
export const maybe = <T>(value: string | number | null | undefined, read: (value: string) => T) =>
  value === null || value === undefined ? undefined : read(String(value))

/** Keys for a list parameter, every time in the same order, so that two transactions never wait for each other. */
export const orderedList = (keys: readonly string[]): string =>
  JSON.stringify([...new Set(keys)].sort())
