/**
 * What really is where: in the log's file, in the service's database, with the broker, and on the lists
 * that the killed processes left. Read past all of our code, so that none of it can hide a loss or a double.
 */
import { existsSync, readFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import type { LogName } from '@tidemark/shared'
import { readEntry } from '../lines.ts'
import type { Seen } from './broker.ts'
import { fileIn } from './child.ts'
import type { DeviceVerdict } from './device.ts'
import { service } from './orders.ts'

/** A log as its file has it. */
export interface LogEvidence {
  readonly log: LogName
  /** Entry lines, in order. */
  readonly lines: readonly string[]
  /** How far the relay says it is. */
  readonly cursor: number
}

/** What the service's database holds. */
export interface BooksEvidence {
  /** Ids, one for each time that an event had its effect, in the order of the commits. */
  readonly effects: readonly string[]
  /** The halves of sagas' steps, in the order of the commits. */
  readonly acts: readonly { readonly cause: string; readonly step: string; readonly half: string }[]
  readonly answers: readonly { readonly id: string; readonly cause: string }[]
  /** Events that are done. */
  readonly processed: readonly string[]
  /** Events that are set aside. */
  readonly parked: readonly string[]
  /** Answers that the broker has not confirmed. */
  readonly outgoing: number
  /** By the event that started it. */
  readonly sagas: readonly { readonly cause: string; readonly state: string }[]
}

/** Everything that is known at the end of a run. */
export interface Evidence {
  readonly appended: readonly {
    readonly device: string
    readonly log: LogName
    readonly lines: readonly string[]
  }[]
  readonly verdicts: readonly {
    readonly log: LogName
    readonly id: string
    readonly verdict: DeviceVerdict
  }[]
  readonly logs: readonly LogEvidence[]
  readonly books: BooksEvidence
  readonly seen: readonly Seen[]
  readonly calls: readonly {
    readonly cause: string
    readonly step: string
    readonly half: string
    readonly key: string
  }[]
  readonly terms: readonly {
    readonly scope: string
    readonly term: number
    readonly cursor: number
  }[]
  /** Ids of the messages that lie at the broker, by subscription. */
  readonly dead: { readonly gateway: readonly string[]; readonly books: readonly string[] }
  readonly inFlight: {
    readonly gateway: readonly string[]
    readonly books: readonly string[]
    readonly witness: readonly string[]
  }
}

const query = (database: DatabaseSync, sql: string, ...values: readonly (string | number)[]) =>
  database.prepare(sql).all(...values)

function reading<T>(path: string, read: (database: DatabaseSync) => T): T {
  const database = new DatabaseSync(path, { readOnly: true, timeout: 5_000 })
  try {
    return read(database)
  } finally {
    database.close()
  }
}

/** The distance between two logs' keys in the gateways' file. */
const span = 2 ** 33

/** All logs of the gateways' file. */
export const readLogs = (folder: string): readonly LogEvidence[] =>
  reading(fileIn(folder, 'log'), (database) =>
    query(database, 'select log, topic, scope from logs order by log').map((row) => {
      const key = Number(row['log'])
      const runs = query(
        database,
        'select lines from entries where key > ? and key < ? order by key',
        key * span,
        (key + 1) * span,
      )
      const [relayed] = query(database, 'select cursor from relayed where log = ?', key)
      return {
        log: { topic: String(row['topic']), scope: String(row['scope']) },
        lines: runs.flatMap(({ lines }) => String(lines).split('\n')),
        cursor: Number(relayed?.['cursor'] ?? 0),
      }
    }),
  )

/** Everything in the service's database. */
export const readBooks = (folder: string): BooksEvidence =>
  reading(fileIn(folder, 'books'), (database) => {
    const all = (sql: string, ...values: string[]) => query(database, sql, ...values)
    const ids = (sql: string, ...values: string[]) =>
      all(sql, ...values).map(({ id }) => String(id))
    return {
      effects: ids('select id from effects order by nth'),
      acts: all('select cause, step, half from acts order by nth').map((row) => ({
        cause: String(row['cause']),
        step: String(row['step']),
        half: String(row['half']),
      })),
      answers: all('select id, cause from answers order by nth').map((row) => ({
        id: String(row['id']),
        cause: String(row['cause']),
      })),
      processed: ids(
        'select id from tidemark_processed where consumer = ? and done_at is not null',
        service,
      ),
      parked: ids('select id from tidemark_parked where consumer = ?', service),
      outgoing: all('select seq from tidemark_outgoing').length,
      sagas: all('select input, state from tidemark_sagas').map((row) => ({
        cause: String((JSON.parse(String(row['input'])) as { id: string }).id),
        state: String(row['state']),
      })),
    }
  })

/** The lines of a list; a last line that its writer did not live to end is no line. */
export function readLines<T>(path: string): readonly T[] {
  if (!existsSync(path)) return []
  const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1)
  return lines.map((line) => JSON.parse(line) as T)
}

/** Every message of the topic once, in the order in which the broker took them. */
export function readSeen(folder: string): readonly Seen[] {
  const seen = readLines<Seen>(fileIn(folder, 'witness'))
  const bySequence = new Map(seen.map((message) => [message.sequence, message]))
  return [...bySequence.values()].sort((a, b) => a.sequence - b.sequence)
}

/** How often each gap was hit, by the markers. */
export function readMarkers(folder: string): ReadonlyMap<string, number> {
  const path = fileIn(folder, 'markers')
  const counts = new Map<string, number>()
  if (!existsSync(path)) return counts
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    const [gap = ''] = line.split(' ')
    if (gap !== '') counts.set(gap, (counts.get(gap) ?? 0) + 1)
  }
  return counts
}

/** The log that a message of a relay comes from; nothing where a service sent it. */
export function logOf({ attributes }: Seen): LogName | undefined {
  if (attributes['epoch'] === undefined) return undefined
  const [, topic = '', scope = ''] = String(attributes['source']).split('/')
  return { topic, scope }
}

/** All entries of all logs. */
export const entriesOf = (logs: readonly LogEvidence[]) =>
  logs.flatMap(({ log, lines }) => lines.map((line) => ({ log, ...readEntry(line) })))
