/**
 * A device's disk: the memory store as an image that outlives the tabs that use it. A crash of the
 * browser keeps what was committed; a loss of power takes back the newest relaxed transactions, in
 * order. Every commit is told to the history, as seen from outside of the client.
 */
import type {
  AnyRefused,
  Batch,
  Durability,
  Fate,
  Identity,
  Loaded,
  Page,
  Store,
} from '@tidemark/client/store/store'
import { type EventId, type LogName, logKey, type Position, TidemarkError } from '@tidemark/shared'
import { DiskArm, type DiskFaults, type Operation } from './disk.ts'
import type { DeviceLog, History } from './history.ts'
import { idOf } from './lines.ts'
import type { Random } from './random.ts'
import type { Life, World } from './world.ts'

/** A transaction as it was asked for, so that an image can be made again without the newest ones. */
type Transaction = (store: Store) => Promise<unknown>

/** What is told of a transaction beside its rows, and what a loss of power takes back with it. */
interface Marks {
  readonly appended?: readonly string[]
  readonly resolved?: readonly string[]
  /** Only states of models, which follow from the rest. */
  readonly isFolded?: boolean
}

interface Kept extends Marks {
  readonly run: Transaction
}

/** What a device's disk is made of. */
export interface DeviceDiskOptions {
  readonly world: World
  readonly random: Random
  readonly history: History
  readonly device: string
  readonly author: string
  readonly faults: DiskFaults
  readonly createImage: () => Store
  /** Which logs the device reads: what it holds of others is not looked at. */
  readonly reads: readonly LogName[]
}

const everything = Number.MAX_SAFE_INTEGER

type Method = keyof Store
/** Methods that change nothing. */
const readMethods: ReadonlySet<string> = new Set([
  'load',
  'read',
  'accepted',
  'fate',
  'checkpoints',
])

/** A disk that several tabs of one device share. */
export class DeviceDisk {
  readonly arm: DiskArm
  /** Counts the transactions but those that write folded states, so that who reads in several steps can tell whether anything came between. */
  version = 0
  readonly #options: DeviceDiskOptions
  #image: Store
  #identity: Identity | undefined
  #kept: Kept[] = []
  /** How many of them no loss of power takes back any more. */
  #flushed = 0

  constructor(options: DeviceDiskOptions) {
    this.#options = options
    this.arm = new DiskArm(options.world, options.random, options.faults)
    this.#image = options.createImage()
  }

  /** The store as a tab sees it. What needs no care of its own is passed on, as a read or as a transaction. */
  storeFor(life: Life): Store {
    const plain = (Object.keys(this.#image) as Method[]).map((method) => {
      const pass = (...values: unknown[]): Promise<unknown> => {
        const run = (image: Store) =>
          (image[method] as (...values: unknown[]) => Promise<unknown>)(...values)
        return readMethods.has(method)
          ? this.arm.do(life, { kind: 'read', run: () => run(this.#image), refuse: lost })
          : this.arm.do(life, this.#transaction(run, 'relaxed'))
      }
      return [method, pass]
    })
    return {
      ...(Object.fromEntries(plain) as unknown as Store),
      open: () => this.#open(life),
      append: (batches, durability = 'relaxed', resolved = []) =>
        this.#append(life, batches, durability, resolved),
      apply: (pages, settled, setAside) => {
        const run = (image: Store) => image.apply(pages, settled, setAside)
        const tell = (isApplied: boolean) => isApplied && this.#tellApplied(pages)
        return this.arm.do(life, this.#transaction(run, 'relaxed', {}, tell))
      },
      // What the gateway will be told next rests on these, so a loss of power must not take them back.
      replace: (seq, fate, next) => {
        const run = (image: Store) => image.replace(seq, fate, next)
        const tell = (isReplaced: boolean) => isReplaced && this.#tellReplaced(fate, next)
        return this.arm.do(life, this.#transaction(run, 'strict', {}, tell))
      },
      withdraw: (seq, fate) => {
        const run = (image: Store) => image.withdraw(seq, fate)
        const tell = (isTaken: boolean) => isTaken && this.#tellLeft(fate)
        return this.arm.do(life, this.#transaction(run, 'strict', {}, tell))
      },
      linked: (isLinked) =>
        this.arm.do(
          life,
          this.#transaction((image) => image.linked(isLinked), 'strict'),
        ),
      discard: (ids) => {
        const run = (image: Store) => image.discard(ids)
        const tell = () => this.#tellResolved(ids)
        return this.arm.do(life, this.#transaction(run, 'relaxed', { resolved: ids }, tell))
      },
      rewind: (log, from, to, offered) => {
        const run = (image: Store) => image.rewind(log, from, to, offered)
        const tell = (isDone: boolean) => isDone && this.#tellRewound(log, to.position, offered)
        return this.arm.do(life, this.#transaction(run, 'relaxed', {}, tell))
      },
      // What has been folded can be folded again, and is nothing that the history needs to hear of.
      writeStates: (to, after, rows) => {
        const run = (image: Store) => image.writeStates(to, after, rows)
        return this.arm.do(life, this.#transaction(run, 'relaxed', { isFolded: true }))
      },
      close: async () => {},
    }
  }

  /** The power is gone: the newest relaxed transactions may be undone. */
  async cutPower(): Promise<void> {
    this.arm.cutPower()
    const atRisk = this.#kept.length - this.#flushed
    const keep = this.#flushed + this.#options.random.below(atRisk + 1)
    const gone = this.#kept.slice(keep)
    this.#kept = this.#kept.slice(0, keep)
    this.#flushed = keep
    this.#image = this.#options.createImage()
    if (this.#identity) await this.#image.open()
    for (const { run } of this.#kept) await run(this.#image)
    const { history, device } = this.#options
    const ids = gone.flatMap(({ appended = [] }) => appended)
    const unresolved = gone.flatMap(({ resolved = [] }) => resolved)
    history.state({ type: 'forgotten', device, ids, unresolved })
    await this.look()
  }

  /** The system has written everything back. */
  flush(): void {
    this.#flushed = this.#kept.length
  }

  /** All that the device holds, read at once and without faults. */
  read(): Promise<Loaded> {
    const start = { position: 0 as Position, rewinds: 0 }
    const logs = this.#options.reads.map((log) => ({ ...log, ...start }))
    return this.#image.load({ seq: 0, pending: [], logs }, everything)
  }

  /** Tells the history all that the device holds. */
  async look(): Promise<void> {
    if (!this.#identity) return
    const { history, device, reads } = this.#options
    const { rows, refused, logs } = await this.read()
    const held: DeviceLog[] = reads.map((log) => {
      const found = logs.find((each) => logKey(each) === logKey(log))
      return {
        log,
        position: found?.cursor?.position ?? 0,
        ids: (found?.lines ?? []).map(idOf),
      }
    })
    history.state({
      type: 'device',
      device,
      pending: rows.flatMap(({ lines }) => lines.map(idOf)),
      refused: refused.map(toKept),
      logs: held,
    })
  }

  async #open(life: Life): Promise<Identity> {
    return this.arm.do(life, {
      kind: 'read',
      refuse: () => new TidemarkError('STORAGE_BLOCKED'),
      run: async () => {
        const identity = await this.#image.open()
        this.#identity ??= identity
        return this.#identity
      },
    })
  }

  #append(
    life: Life,
    batches: readonly Batch[],
    durability: Durability,
    resolved: readonly EventId[],
  ): Promise<readonly number[]> {
    const appended = batches.flatMap(({ lines }) => lines.map(idOf))
    const transaction = this.#transaction(
      (image) => image.append(batches, durability, resolved),
      durability,
      { appended, resolved },
      () => {
        this.#tellAppended(batches)
        this.#tellResolved(resolved)
      },
    )
    return this.arm.do(life, transaction)
  }

  #transaction<T>(
    run: (image: Store) => Promise<T>,
    durability: Durability,
    marks: Marks = {},
    then: (value: T) => unknown = () => {},
  ): Operation<T> {
    return {
      kind: 'write',
      refuse: (reason) => (reason === 'full' ? new TidemarkError('STORAGE_FULL') : lost(reason)),
      run: async () => {
        const value = await run(this.#image)
        this.#kept.push({ run, ...marks })
        if (durability === 'strict') this.flush()
        if (marks.isFolded) return value
        this.version += 1
        then(value)
        await this.#glance()
        return value
      },
    }
  }

  /** What is pending and what is refused is looked at after every transaction: that is where events vanish. */
  async #glance(): Promise<void> {
    if (this.#options.random.chance(0.1)) return this.look()
    const { history, device, reads } = this.#options
    const seen = reads.map((log) => ({ ...log, position: everything as Position, rewinds: 0 }))
    const everyRow = { seq: 0, pending: [], logs: seen }
    const { rows, refused } = await this.#image.load(everyRow, everything)
    history.state({
      type: 'device',
      device,
      pending: rows.flatMap(({ lines }) => lines.map(idOf)),
      refused: refused.map(toKept),
      logs: [],
    })
  }

  #tellAppended(batches: readonly Batch[]): void {
    const { history, device, author } = this.#options
    for (const { topic, scope, lines, after, expectedRevision } of batches) {
      const ground = { after, expectedRevision }
      history.state({ type: 'appended', device, author, log: { topic, scope }, lines, ...ground })
    }
  }

  #tellReplaced(fate: Fate, next: Batch): void {
    this.#tellLeft(fate)
    this.#tellAppended([next])
  }

  #tellLeft({ type: how, ids }: Fate): void {
    const { history, device } = this.#options
    if (how === 'resolved') return this.#tellResolved(ids)
    history.note(`${device} takes out what is ${how}: ${ids.join()}`)
    history.state({ type: 'left', device, how, ids })
  }

  #tellResolved(ids: readonly EventId[]): void {
    const { history, device } = this.#options
    if (ids.length > 0) history.state({ type: 'resolved', device, ids })
  }

  #tellRewound(log: LogName, upTo: Position, offered: readonly Batch[]): void {
    const { history, device } = this.#options
    const ids = offered.flatMap(({ lines }) => lines.map(idOf))
    history.note(`${device} goes back to ${upTo} of ${logKey(log)} and offers again ${ids.join()}`)
    history.count('offered again', ids.length)
    history.state({ type: 'rewound', device, log, upTo })
  }

  #tellApplied(pages: readonly Page[]): void {
    const { history, device } = this.#options
    for (const { topic, scope, after, lines, cursor } of pages) {
      history.state({
        type: 'applied',
        device,
        log: { topic, scope },
        after,
        upTo: cursor.position,
        ids: lines.map(idOf),
      })
    }
  }
}

const toKept = ({ id, refusal: { code } }: AnyRefused) => ({ id, code })

const lost = (reason: string) => new TidemarkError('STORAGE_LOST', { reason })
