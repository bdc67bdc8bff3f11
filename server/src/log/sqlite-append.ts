/** One append transaction of a SQLite log, and what is remembered from one to the next. */
import {
  assert,
  type Epoch,
  type EventId,
  logKey,
  type LogName,
  type Refusal,
} from '@tidemark/shared'
import {
  hashLine,
  type Known,
  refusalOf,
  takeApart,
  type Transaction,
  writeBatch,
} from './judge.ts'
import type { Attempt } from './log.ts'
import { type LogRow, span, type Statements, toBlob } from './sqlite-file.ts'

/** A run of entries in one row, in UTF-16 code units. Longer ones read no faster and cost memory. */
const runLengthMax = 65_536
/** Streams whose revision is remembered. */
const rememberedMax = 50_000

/**
 * What the last transactions read and wrote, so that the next need not read it again. It holds as long
 * as no other connection has written to the file, which SQLite tells by a number.
 */
export class Recent {
  readonly logs = new Map<string, LogRow>()
  /** By log and stream. */
  readonly revisions = new Map<string, number>()
  #version: unknown

  /** Forgets everything where the file's version is another. Called inside a write transaction. */
  check(version: unknown): void {
    if (version !== this.#version || this.revisions.size > rememberedMax) this.clear()
    this.#version = version
  }

  clear(): void {
    this.logs.clear()
    this.revisions.clear()
  }
}

/** One append transaction: what it has read and written, until the rest is flushed before the commit. */
export class Append implements Transaction {
  readonly #statements: Statements
  readonly #recent: Recent
  readonly #now: number
  readonly #epoch: Epoch
  readonly #logs = new Map<string, Growing>()
  #last: Growing | undefined

  constructor(statements: Statements, recent: Recent, now: number, epoch: Epoch) {
    this.#statements = statements
    this.#recent = recent
    this.#now = now
    this.#epoch = epoch
  }

  known(log: LogName, id: EventId): Known | undefined {
    const growing = this.#find(log)
    if (!growing || id > growing.newest) return undefined
    const row = this.#statements.verdict.get(growing.log, toBlob(id)) as VerdictRow | undefined
    if (!row) return undefined
    const { position, author, hash, refusal } = row
    if (position === null) {
      return { type: 'refused', author, hash, refusal: JSON.parse(refusal) as Refusal }
    }
    return { type: 'accepted', position, entry: () => takeApart(this.#lineAt(growing, position)) }
  }

  revision(log: LogName, stream: string): number {
    const growing = this.#find(log)
    return growing ? this.#revision(growing, stream) : 0
  }

  #revision(growing: Growing, stream: string): number {
    const seen =
      growing.revisions.get(stream) ?? this.#recent.revisions.get(`${growing.log}/${stream}`)
    if (seen !== undefined) return seen
    const row = this.#statements.revision.get(growing.log, stream) as
      | { revision: number }
      | undefined
    return row?.revision ?? 0
  }

  accept(attempt: Attempt): { position: number; revisions: readonly number[] } {
    const { log, events } = attempt
    const growing = this.#growing(log)
    const position = growing.head + 1
    const revisions = events.map(({ id, stream }, at) => {
      const revision = this.#revision(growing, stream) + 1
      growing.revisions.set(stream, revision)
      this.#statements.accept.run(growing.log, toBlob(id), position + at)
      if (id > growing.newest) growing.newest = id
      return revision
    })
    growing.head += events.length
    assert(growing.head < span, 'a log holds fewer than 2^33 entries')
    this.#add(growing, position, writeBatch(attempt, position, revisions, growing.receivedAt))
    return { position, revisions }
  }

  refuse({ log, events, author }: Attempt, id: EventId, refusal: Refusal): void {
    const growing = this.#growing(log)
    for (const event of events) {
      const stored = JSON.stringify(refusalOf(event, id, refusal))
      const hash = hashLine(event.line)
      this.#statements.refuse.run(growing.log, toBlob(event.id), author, hash, stored)
      if (event.id > growing.newest) growing.newest = event.id
    }
  }

  /** Writes what was gathered: the runs of entries, the heads of logs and of streams. */
  flush(): void {
    for (const { log, head, receivedAt, runs, revisions } of this.#logs.values()) {
      if (runs.length === 0) continue
      for (const { first, last, lines } of runs) {
        this.#statements.addRun.run(log * span + first, last, lines.join('\n'))
      }
      this.#statements.saveHead.run(head, receivedAt, log)
      for (const [stream, revision] of revisions) {
        this.#statements.saveRevision.run(log, stream, revision)
      }
    }
  }

  /** Keeps what was written for the next transaction. Called after the commit: before it, nothing is certain. */
  remember(): void {
    for (const [key, { log, head, receivedAt, newest, revisions }] of this.#logs) {
      this.#recent.logs.set(key, { log, head, received_at: receivedAt, newest })
      for (const [stream, revision] of revisions) {
        this.#recent.revisions.set(`${log}/${stream}`, revision)
      }
    }
  }

  /** The logs that have new entries. */
  grown(): readonly LogName[] {
    return [...this.#logs.values()].filter(({ runs }) => runs.length > 0).map(({ name }) => name)
  }

  /** The log as it is, if there is one: asking makes none, for anybody may ask for any name. */
  #find(name: LogName): Growing | undefined {
    if (this.#last?.name === name) return this.#last
    const key = logKey(name)
    const growing = this.#logs.get(key)
    if (growing) return (this.#last = growing)
    const row =
      this.#recent.logs.get(key) ??
      (this.#statements.row.get(name.topic, name.scope) as LogRow | undefined)
    return row && this.#grow(name, row)
  }

  /** The log to write to. */
  #growing(name: LogName): Growing {
    const growing = this.#find(name)
    return growing ?? this.#grow(name, { log: this.#create(name), head: 0, received_at: 0 })
  }

  #grow(name: LogName, row: LogRow): Growing {
    const { log, head, newest = this.#readNewest(log) } = row
    // The clock may have been set back: `receivedAt` never goes back within a log.
    const receivedAt = Math.max(this.#now, row.received_at)
    const growing: Growing = { name, log, head, receivedAt, newest, runs: [], revisions: new Map() }
    this.#logs.set(logKey(name), growing)
    this.#last = growing
    return growing
  }

  #readNewest(log: number): string {
    const row = this.#statements.newest.get(log)
    const [, ...parts] = /^(.{8})(.{4})(.{4})(.{4})(.{12})$/.exec(String(row?.['id'])) ?? []
    return parts.join('-').toLowerCase()
  }

  /** The line of an entry that this transaction or an earlier one has written. */
  #lineAt({ log, runs }: Growing, position: number): string {
    const own = runs.find(({ first, last }) => first <= position && position <= last)
    const stored = (): { first: number; lines: string } => {
      const row = this.#statements.runHolding.get(log * span, log * span + position)
      return { first: Number(row?.['key']) - log * span, lines: String(row?.['lines']) }
    }
    const { first, lines } = own ? { first: own.first, lines: own.lines.join('\n') } : stored()
    const line = lines.split('\n')[position - first]
    assert(line, 'an accepted event has an entry')
    return line
  }

  #create({ topic, scope }: LogName): number {
    const log = Number(this.#statements.addLog.run(topic, scope).lastInsertRowid)
    assert(log < 2 ** 20, 'a file holds fewer than a million logs')
    this.#statements.addEpoch.run(log, this.#epoch)
    return log
  }

  #add(growing: Growing, position: number, lines: string): void {
    let run = growing.runs.at(-1)
    if (!run || run.length + lines.length > runLengthMax) {
      run = { first: position, last: position, lines: [], length: 0 }
      growing.runs.push(run)
    }
    run.lines.push(lines)
    run.length += lines.length
    run.last = growing.head
  }
}

/** A log inside an append transaction. */
interface Growing {
  readonly name: LogName
  readonly log: number
  readonly receivedAt: number
  readonly runs: { first: number; last: number; length: number; lines: string[] }[]
  readonly revisions: Map<string, number>
  head: number
  newest: string
}

/** Accepted where there is a position; then the rest is null, for the entry has it. */
type VerdictRow =
  | {
      readonly position: number
      readonly author: null
      readonly hash: null
      readonly refusal: null
    }
  | {
      readonly position: null
      readonly author: string
      readonly hash: Uint8Array
      readonly refusal: string
    }
