/**
 * The database of the answering service, which outlives its processes and which they share. A process
 * that dies in a transaction is noticed a little later, and what it wrote is undone. What commits is
 * told to the history at the moment of the commit, by whoever wrote it.
 */
import {
  MemoryDisk,
  memoryProcessed,
  type MemoryTx,
} from '@tidemark/server/consumer/processed/memory'
import type { Processed } from '@tidemark/server/consumer/processed/processed'
import { TidemarkError } from '@tidemark/shared'
import type { DiskFaults } from './disk.ts'
import type { Fact, History } from './history.ts'
import type { Random } from './random.ts'
import type { Life, World } from './world.ts'

/** What handlers write beside their effect: it is judged once it is committed. */
export type Remark = Extract<Fact, { type: 'effect' | 'moved' | 'ended' }>

/** What the database is made of. */
export interface ServiceDiskOptions {
  readonly world: World
  readonly random: Random
  readonly history: History
  readonly faults: DiskFaults
}

const remarks = 'remarks'
const decoder = new TextDecoder()
const unavailable = (reason: string) => new TidemarkError('PROCESSED_UNAVAILABLE', { reason })

/** Writes a remark in the transaction at hand. */
export function remark(tx: MemoryTx, what: Remark): void {
  const count = Number(tx.get(remarks) ?? 0)
  tx.set(`${remarks} ${count}`, what)
  tx.set(remarks, count + 1)
}

/** A disk that tells what is committed on it. */
class ToldDisk extends MemoryDisk {
  onCommit: () => void = () => {}

  override commit(): void {
    super.commit()
    this.onCommit()
  }
}

/** The service's database. */
export class ServiceDisk {
  faults: DiskFaults
  /** The database itself, as an operator's tool reaches it: at once, and without faults. */
  readonly processed: Processed<MemoryTx>
  readonly #options: ServiceDiskOptions
  readonly #disk = new ToldDisk()
  readonly #cuts = new Map<Life, Set<() => void>>()
  readonly #enqueued = new Set<string>()
  readonly #parked = new Set<string>()
  #told = 0

  constructor(options: ServiceDiskOptions) {
    this.#options = options
    this.faults = options.faults
    this.processed = memoryProcessed(this.#disk)
    this.#disk.onCommit = () => this.#tell()
  }

  /** The database as a process of the service sees it. */
  processedFor(life: Life): Processed<MemoryTx> {
    return {
      transactionsMax: this.processed.transactionsMax,
      open: () => this.processed.open(),
      transaction: async (work, options) => {
        const { random } = this.#options
        await life.pause(this.#delay())
        if (random.chance(this.faults.failShare)) throw unavailable('flaky')
        const value = await this.#transact(life, () =>
          this.processed.transaction((unit) => this.#orCut(life, () => work(unit)), options),
        )
        await life.pause(this.#delay())
        if (random.chance(this.faults.unknownShare)) throw unavailable('unknown outcome')
        return value
      },
    }
  }

  /** A process is gone: its connection breaks a little later, and with it what it had begun. */
  drop(life: Life): void {
    const { world, random } = this.#options
    world.after(random.exponential(500), () => {
      for (const cut of this.#cuts.get(life) ?? []) cut()
      this.#cuts.delete(life)
    })
  }

  /** The ids of events that are set aside, in held streams. */
  aside(): ReadonlySet<string> {
    return new Set([...this.#disk.tables.parked.values()].map(({ id }) => id))
  }

  /** The keys of streams that wait for a person. */
  parkedKeys(): readonly string[] {
    const { held } = this.#disk.tables
    return [...held.values()].filter(({ state }) => state === 'parked').map(({ key }) => key)
  }

  /** What still moves: streams that will be tried again, results that are not sent, sagas that have not ended. */
  unfinished(): string | undefined {
    const { held, outgoing, sagas } = this.#disk.tables
    const retrying = [...held.values()].find(({ state }) => state === 'retrying')
    if (retrying) return `stream ${retrying.key} is to be tried again`
    const [result] = [...outgoing.values()]
    if (result) return `result ${result.message.id} is not published`
    const saga = [...sagas.values()].find(
      ({ state }) => state === 'running' || state === 'compensating',
    )
    return saga && `saga ${saga.id} is ${saga.state} at step ${saga.step}`
  }

  /** What a dead process is told: nothing. */
  async #transact<T>(life: Life, run: () => Promise<T>): Promise<T> {
    try {
      const value = await run()
      return life.isOver ? await new Promise<T>(() => {}) : value
    } catch (error) {
      return life.isOver ? new Promise<T>(() => {}) : Promise.reject(error)
    }
  }

  async #orCut<T>(life: Life, work: () => Promise<T>): Promise<T> {
    if (life.isOver) throw unavailable('the connection is broken')
    const cuts = this.#cuts.get(life) ?? new Set()
    this.#cuts.set(life, cuts)
    let breakOff = () => {}
    const broken = new Promise<never>((_, reject) => {
      breakOff = () => reject(unavailable('the connection is broken'))
    })
    cuts.add(breakOff)
    try {
      return await Promise.race([work(), broken])
    } finally {
      cuts.delete(breakOff)
    }
  }

  #tell(): void {
    const { data, tables } = this.#disk
    const { history } = this.#options
    const count = Number(data.get(remarks) ?? 0)
    for (; this.#told < count; this.#told++) {
      const fact = data.get(`${remarks} ${this.#told}`) as Remark
      history.note(`orders commits ${JSON.stringify(fact)}`)
      history.state(fact)
    }
    for (const [seq, { message }] of tables.outgoing.entries()) {
      if (this.#enqueued.has(seq)) continue
      this.#enqueued.add(seq)
      const { id, attributes, body } = message
      const told = { id, stream: attributes['subject'], type: attributes['type'] }
      const head = JSON.stringify({ ...told, causationId: attributes['causationid'] })
      const line = `${head.slice(0, -1)},"data":${decoder.decode(body)}}`
      history.note(`orders answers ${line}`)
      history.state({ type: 'replied', service: 'orders', line })
    }
    for (const { key, state, code, attempts, firstAt } of tables.held.values()) {
      const mark = `${key} ${firstAt}`
      if (state !== 'parked' || this.#parked.has(mark)) continue
      this.#parked.add(mark)
      const aside = [...tables.parked.values()].filter((row) => row.key === key)
      const [first] = aside.sort((one, other) => one.seq - other.seq)
      if (first) history.state({ type: 'parked', id: first.id, code, attempts })
    }
    for (const { id, term } of tables.sagas.values())
      history.state({ type: 'claimed', saga: id, term })
  }

  #delay(): number {
    return this.#options.random.exponential(this.faults.writeMs)
  }
}
