/** One transaction of a consumer in memory. */
import { TidemarkError } from '@tidemark/shared'
import type { HeldStream, Hold, Holds } from './holds.ts'
import type { Attempted, Held, MemoryTables, Unsent } from './memory-tables.ts'
import type { Outbox, Outgoing } from './outbox.ts'
import type { Attempts, Unit } from './processed.ts'
import type { Sagas } from './sagas.ts'

interface Disk {
  readonly tables: MemoryTables
  marks(): readonly number[]
  rollbackTo(marks: readonly number[]): void
}

const join = (...parts: readonly string[]): string => parts.join('\n')
const bySeq = (a: { readonly seq: number }, b: { readonly seq: number }): number => a.seq - b.seq

/** A unit on a disk in memory. `alive` throws once the transaction is over. */
export function createMemoryUnit<Tx>(tx: Tx, disk: Disk, alive: () => void): Unit<Tx> {
  const { tables } = disk
  const next = (): number => {
    const seq = (tables.sequence.get('seq') ?? 0) + 1
    tables.sequence.set('seq', seq)
    return seq
  }
  const unit: Unit<Tx> = {
    tx,
    attempts: createAttempts(tables),
    holds: createHolds(tables, next),
    outbox: createOutbox(tables, next),
    sagas: createSagas(tables),
    async savepoint(work) {
      const marks = disk.marks()
      try {
        return await work()
      } catch (error) {
        alive()
        disk.rollbackTo(marks)
        throw error
      }
    },
    async revision(consumer, name) {
      return tables.revisions.get(join(consumer, name)) ?? 0
    },
    async advance(consumer, name, revision) {
      const actual = tables.revisions.get(join(consumer, name)) ?? 0
      if (actual !== revision) {
        throw new TidemarkError('REVISION_CONFLICT', { expected: revision, actual })
      }
      tables.revisions.set(join(consumer, name), revision + 1)
    },
    async audit(record) {
      tables.audit.set(String(next()), record)
    },
    async audits(consumer, max) {
      const all = [...tables.audit.values()].filter((record) => record.consumer === consumer)
      return all.toReversed().slice(0, max)
    },
    async backlog(consumer) {
      const held = [...tables.held.values()].filter((row) => row.consumer === consumer)
      const keys = (state: Hold['state']) =>
        new Set(held.filter((row) => row.state === state).map((row) => row.key))
      const aside = [...tables.parked.values()].filter((row) => row.consumer === consumer)
      const events = (streams: ReadonlySet<string>) =>
        aside.filter((row) => streams.has(row.key)).length
      const kept = [...tables.outgoing.values()].filter((row) => row.consumer === consumer)
      return {
        retryingStreams: keys('retrying').size,
        retryingEvents: events(keys('retrying')),
        parkedStreams: keys('parked').size,
        parkedEvents: events(keys('parked')),
        outgoing: kept.filter((row) => row.refusedCode === undefined).length,
        refused: kept.filter((row) => row.refusedCode !== undefined).length,
      }
    },
  }
  return fenced(unit, alive)
}

/** The same object, with `alive` called before each of its methods, its parts' methods included. */
function fenced<T extends object>(target: T, alive: () => void): T {
  const guarded = Object.entries(target).map(([name, value]) => {
    if (typeof value === 'function') {
      return [name, async (...values: readonly unknown[]) => (alive(), value(...values))]
    }
    return [
      name,
      ['attempts', 'holds', 'outbox', 'sagas'].includes(name) ? fenced(value, alive) : value,
    ]
  })
  return Object.fromEntries(guarded) as T
}

function createAttempts({ processed }: MemoryTables): Attempts {
  const change = (consumer: string, id: string, to: Partial<Attempted>) => {
    const row = processed.get(join(consumer, id)) ?? { consumer, attempts: 0, inCompany: false }
    processed.set(join(consumer, id), { ...row, ...to })
  }
  return {
    async standing(consumer, ids) {
      return new Map(
        ids.flatMap((id) => {
          const row = processed.get(join(consumer, id))
          if (!row) return []
          const { attempts, inCompany, doneAt } = row
          return [[id, { attempts, inCompany, done: doneAt !== undefined }] as const]
        }),
      )
    },
    async count(consumer, ids, inCompany) {
      for (const id of ids) {
        const row = processed.get(join(consumer, id))
        const attempts = (row?.attempts ?? 0) + (row?.inCompany ? 0 : 1)
        change(consumer, id, { attempts, inCompany })
      }
    },
    async blame(consumer, id) {
      if (processed.has(join(consumer, id))) change(consumer, id, { inCompany: false })
    },
    async finish(consumer, ids, now) {
      for (const id of ids) change(consumer, id, { doneAt: now })
    },
    async forgive(consumer, id) {
      if (processed.has(join(consumer, id))) change(consumer, id, { attempts: 0, inCompany: false })
    },
    async prune(consumer, before) {
      const old = [...processed.entries()].filter(
        ([, row]) => row.consumer === consumer && row.doneAt !== undefined && row.doneAt < before,
      )
      for (const [key] of old) processed.delete(key)
      return old.length
    },
  }
}

function createHolds({ held, parked }: MemoryTables, next: () => number): Holds {
  const asideOf = (consumer: string, key: string) =>
    [...parked.values()].filter((row) => row.consumer === consumer && row.key === key).sort(bySeq)
  const toStream = (row: Held): HeldStream => ({
    ...row,
    events: asideOf(row.consumer, row.key).length,
  })
  return {
    async held(consumer, keys) {
      const rows = keys.flatMap((key) => held.get(join(consumer, key)) ?? [])
      return new Map(rows.map((row) => [row.key, toStream(row)]))
    },
    async hold(consumer, key, hold) {
      held.set(join(consumer, key), { ...hold, consumer, key })
    },
    async release(consumer, key) {
      held.delete(join(consumer, key))
    },
    async setAside(consumer, key, event, now) {
      const place = join(consumer, event.id)
      if (!parked.has(place)) parked.set(place, { ...event, seq: next(), consumer, key, at: now })
    },
    async aside(consumer, key, max) {
      return asideOf(consumer, key)
        .slice(0, max)
        .map(({ consumer: _consumer, key: _key, ...event }) => event)
    },
    async find(consumer, id) {
      const row = parked.get(join(consumer, id))
      if (!row) return undefined
      const { consumer: _consumer, ...event } = row
      return event
    },
    async takeBack(consumer, id) {
      parked.delete(join(consumer, id))
    },
    async due(consumer, now) {
      const [first] = [...held.values()]
        .filter((row) => row.consumer === consumer && row.state === 'retrying')
        .sort((a, b) => a.dueAt - b.dueAt)
      if (!first) return {}
      return first.dueAt <= now ? { item: toStream(first) } : { nextAt: first.dueAt }
    },
    async list({ consumer, state, after, max }) {
      const place = ({ consumer, key }: { consumer: string; key: string }) => join(consumer, key)
      return [...held.values()]
        .filter(
          (row) =>
            (consumer === undefined || row.consumer === consumer) &&
            (state === undefined || row.state === state) &&
            (after === undefined || place(row) > place(after)),
        )
        .sort((a, b) => (place(a) < place(b) ? -1 : 1))
        .slice(0, max)
        .map(toStream)
    },
  }
}

const toOutgoing = ({ seq, topic, message, refusedCode }: Unsent): Outgoing => ({
  seq,
  topic,
  message,
  refusedCode,
})

function createOutbox({ outgoing }: MemoryTables, next: () => number): Outbox {
  const select = (consumer: string, max: number, fits: (row: Unsent) => boolean) =>
    [...outgoing.values()]
      .filter((row) => row.consumer === consumer && fits(row))
      .sort(bySeq)
      .slice(0, max)
      .map(toOutgoing)
  return {
    async enqueue(consumer, owner, results, now) {
      for (const { topic, message } of results) {
        const seq = next()
        outgoing.set(String(seq), { seq, consumer, owner, topic, message, at: now })
      }
    },
    async pending({ consumer, owner, strayBefore, exceptTopics = [], max }) {
      const isOurs = (row: Unsent) => row.owner === owner || row.at < strayBefore
      const theirs = [...outgoing.values()].filter(
        (row) => row.consumer === consumer && row.refusedCode === undefined && !isOurs(row),
      )
      const waits = ({ seq, topic, message }: Unsent) =>
        theirs.some(
          (row) => row.seq < seq && row.topic === topic && row.message.key === message.key,
        )
      return select(
        consumer,
        max,
        (row) =>
          row.refusedCode === undefined &&
          !exceptTopics.includes(row.topic) &&
          isOurs(row) &&
          !waits(row),
      )
    },
    async confirm(seqs) {
      for (const seq of seqs) outgoing.delete(String(seq))
    },
    async refuse(seq, code) {
      const row = outgoing.get(String(seq))
      if (row) outgoing.set(String(seq), { ...row, refusedCode: code })
    },
    async findRefused(consumer, seq) {
      const row = outgoing.get(String(seq))
      return row?.consumer === consumer && row.refusedCode !== undefined
        ? toOutgoing(row)
        : undefined
    },
    async refused(consumer, max) {
      return select(consumer, max, (row) => row.refusedCode !== undefined)
    },
  }
}

/** A value as every other database gives it back. */
const asJson = (value: unknown): unknown => JSON.parse(JSON.stringify(value ?? null))

function createSagas({ sagas, sagaSteps }: MemoryTables): Sagas {
  return {
    async start(row) {
      if (sagas.has(row.id)) return false
      sagas.set(row.id, { ...row, input: asJson(row.input) })
      return true
    },
    async get(id) {
      return sagas.get(id)
    },
    async save(row) {
      if (sagas.has(row.id)) sagas.set(row.id, row)
    },
    async steps(id) {
      return [...sagaSteps.values()]
        .filter((row) => row.saga === id)
        .sort((a, b) => a.step - b.step)
        .map(({ saga: _saga, ...step }) => step)
    },
    async saveStep(id, step) {
      const known = sagaSteps.get(join(id, String(step.step)))
      const result = known ? known.result : asJson(step.result)
      sagaSteps.set(join(id, String(step.step)), { ...step, result, saga: id })
    },
    async due(names, now) {
      const [first] = [...sagas.values()]
        .filter(
          ({ name, state }) =>
            names.includes(name) && (state === 'running' || state === 'compensating'),
        )
        .sort((a, b) => a.dueAt - b.dueAt)
      if (!first) return {}
      return first.dueAt <= now ? { item: first } : { nextAt: first.dueAt }
    },
    async list({ name, state, max }) {
      return [...sagas.values()]
        .filter(
          (row) =>
            (name === undefined || row.name === name) &&
            (state === undefined || row.state === state),
        )
        .sort((a, b) => b.startedAt - a.startedAt || (a.id < b.id ? 1 : -1))
        .slice(0, max)
    },
  }
}
