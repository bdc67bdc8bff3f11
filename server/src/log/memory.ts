/**
 * The log in memory, for tests and the simulation. It is as durable as the object: a gateway that dies
 * and comes back finds the log as it was when it is handed the same one.
 */
import {
  type Cursor,
  type Epoch,
  type EventId,
  logKey,
  type LogName,
  parseLogKey,
  type Position,
  type Refusal,
  system as realSystem,
  type System,
  TidemarkError,
} from '@tidemark/shared'
import {
  hashLine,
  isNamedBy,
  judgeChains,
  type Known,
  refusalOf,
  type Transaction,
  writeBatch,
} from './judge.ts'
import type {
  Attempt,
  AuditRecord,
  Head,
  Lease,
  Log,
  Outcome,
  Page,
  Parked,
  RelayProgress,
  Remedy,
} from './log.ts'

/** A batch's entries, as they are read. */
interface Run {
  readonly first: number
  readonly last: number
  readonly lines: string
}

/** All there is of one log. */
interface Held {
  readonly runs: Run[]
  readonly known: Map<EventId, Known>
  readonly revisions: Map<string, number>
  readonly parked: Map<string, Parked>
  head: number
  receivedAt: number
  relayed: number
}

/** Builds a log in memory. */
export function memoryLog(options: { readonly system?: System } = {}): Log {
  return new MemoryLog(options.system ?? realSystem)
}

class MemoryLog implements Log, Transaction {
  readonly #system: System
  readonly #epoch: Epoch
  readonly #logs = new Map<string, Held>()
  readonly #leases = new Map<string, { holder: string; term: number; until: number }>()
  readonly #audits: AuditRecord[] = []
  readonly #listeners = new Set<(logs: readonly LogName[]) => void>()
  /** The logs that the transaction at hand has made longer. */
  #grown = new Set<string>()

  constructor(system: System) {
    this.#system = system
    this.#epoch = system.uuid() as Epoch
  }

  async append(chains: readonly (readonly Attempt[])[]): Promise<readonly (readonly Outcome[])[]> {
    const outcomes = judgeChains(chains, this)
    const grown = [...this.#grown].map(parseLogKey)
    this.#grown = new Set()
    if (grown.length > 0) for (const heard of this.#listeners) heard(grown)
    return outcomes
  }

  known(log: LogName, id: EventId): Known | undefined {
    return this.#logs.get(logKey(log))?.known.get(id)
  }

  revision(log: LogName, stream: string): number {
    return this.#logs.get(logKey(log))?.revisions.get(stream) ?? 0
  }

  accept(attempt: Attempt): { position: number; revisions: readonly number[] } {
    const held = this.#held(attempt.log)
    const position = held.head + 1
    held.receivedAt = Math.max(held.receivedAt, this.#system.now())
    const { author } = attempt
    const { receivedAt } = held
    const revisions = attempt.events.map(({ id, stream, line }, at) => {
      const revision = (held.revisions.get(stream) ?? 0) + 1
      held.revisions.set(stream, revision)
      const entry = { author, revision, receivedAt, line }
      held.known.set(id, { type: 'accepted', position: position + at, entry: () => entry })
      return revision
    })
    held.head += attempt.events.length
    const lines = writeBatch(attempt, position, revisions, held.receivedAt)
    held.runs.push({ first: position, last: held.head, lines })
    this.#grown.add(logKey(attempt.log))
    return { position, revisions }
  }

  refuse({ log, events, author }: Attempt, id: EventId, refusal: Refusal): void {
    const { known } = this.#held(log)
    for (const event of events) {
      if (known.has(event.id)) continue
      const hash = hashLine(event.line)
      known.set(event.id, { type: 'refused', author, hash, refusal: refusalOf(event, id, refusal) })
    }
  }

  async head(log: LogName): Promise<Head> {
    const position = (this.#logs.get(logKey(log))?.head ?? 0) as Position
    return { epoch: this.#epoch, position }
  }

  async read(log: LogName, position: Position, bytesMax: number): Promise<Page> {
    const runs = this.#logs.get(logKey(log))?.runs ?? []
    const chunks: string[] = []
    let upTo = position
    let bytes = 0
    let at = findRun(runs, position)
    const around = runs[at - 1]
    if (around && around.last > position) {
      chunks.push(toRest(around, position))
      bytes += chunks[0]?.length ?? 0
      upTo = around.last as Position
    }
    for (let run = runs[at]; run && (bytes === 0 || bytes < bytesMax); run = runs[++at]) {
      chunks.push(run.lines)
      bytes += run.lines.length
      upTo = run.last as Position
    }
    return { upTo, chunks, more: at < runs.length }
  }

  async locate(log: LogName, cursor: Cursor): Promise<Position> {
    const { position, id } = cursor
    const held = this.#logs.get(logKey(log))
    const head = (held?.head ?? 0) as Position
    if (position > head) return head
    const verdict = id && held?.known.get(id)
    const isThere = verdict && verdict.type === 'accepted' && verdict.position === position
    const stands = isThere && isNamedBy(cursor, verdict.entry())
    const target = stands ? position : Math.floor(position / 2)
    const runs = held?.runs ?? []
    const run = runs[findRun(runs, target) - 1]
    return (run ? (run.last <= target ? run.last : run.first - 1) : 0) as Position
  }

  async logs(): Promise<readonly LogName[]> {
    return [...this.#logs].filter(([, { head }]) => head > 0).map(([key]) => parseLogKey(key))
  }

  async lease(name: string, holder: string, ms: number): Promise<Lease | undefined> {
    const now = this.#system.now()
    const lease = this.#leases.get(name)
    const keeps = lease?.holder === holder && lease.until > now
    if (lease && !keeps && lease.until > now) return undefined
    const term = keeps ? lease.term : (lease?.term ?? 0) + 1
    this.#leases.set(name, { holder, term, until: now + ms })
    return { name, term }
  }

  async release({ name, term }: Lease): Promise<void> {
    const lease = this.#leases.get(name)
    if (lease?.term === term) lease.until = 0
  }

  async relayed(log: LogName): Promise<{ cursor: Position; parked: readonly Parked[] }> {
    const held = this.#logs.get(logKey(log))
    const cursor = (held?.relayed ?? 0) as Position
    return { cursor, parked: [...(held?.parked.values() ?? [])] }
  }

  async saveRelayed(lease: Lease, log: LogName, progress: RelayProgress): Promise<void> {
    if (this.#leases.get(lease.name)?.term !== lease.term) {
      throw new TidemarkError('LEASE_LOST', { name: lease.name })
    }
    const held = this.#held(log)
    held.relayed = progress.cursor
    for (const stream of progress.unparked) held.parked.delete(stream)
    for (const parked of progress.parked) held.parked.set(parked.stream, parked)
  }

  async remedy(log: LogName, remedy: Remedy, record: AuditRecord): Promise<boolean> {
    const { stream, fromRevision, action } = remedy
    const { parked } = this.#held(log)
    const found = parked.get(stream)
    if (!found || found.remedy || found.fromRevision !== fromRevision) return false
    parked.set(stream, { ...found, remedy: action })
    await this.audit(record)
    return true
  }

  async audit(record: AuditRecord): Promise<void> {
    this.#audits.unshift(record)
  }

  async audits(max: number): Promise<readonly AuditRecord[]> {
    return this.#audits.slice(0, max)
  }

  onAppend(heard: (logs: readonly LogName[]) => void): () => void {
    this.#listeners.add(heard)
    return () => void this.#listeners.delete(heard)
  }

  async close(): Promise<void> {
    this.#listeners.clear()
  }

  /** The log to write to: asking makes none, for anybody may ask for any name. */
  #held(log: LogName): Held {
    const key = logKey(log)
    const held = this.#logs.get(key)
    if (held) return held
    const fresh: Held = {
      runs: [],
      known: new Map(),
      revisions: new Map(),
      parked: new Map(),
      head: 0,
      receivedAt: 0,
      relayed: 0,
    }
    this.#logs.set(key, fresh)
    return fresh
  }
}

/** What a reader at `position`, inside a batch, has not read of it. */
const toRest = ({ first, lines }: Run, position: number): string =>
  lines
    .split('\n')
    .slice(position - first + 1)
    .join('\n')

/** The index of the first run that starts after `position`. */
function findRun(runs: readonly Run[], position: number): number {
  let low = 0
  let high = runs.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((runs[middle]?.first ?? 0) > position) high = middle
    else low = middle + 1
  }
  return low
}
