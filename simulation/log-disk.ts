/**
 * The gateway's disk: a log adapter as an image that outlives the gateways that use it. Each
 * transaction takes effect at one moment and is durable from that moment on; it is answered later, or
 * never, when the gateway has died in between.
 */
import type { Attempt, Lease, Log, RelayProgress } from '@tidemark/server/log/log'
import {
  type Cursor,
  type LogName,
  logKey,
  parseLogKey,
  type Position,
  type System,
  TidemarkError,
} from '@tidemark/shared'
import { DiskArm, type DiskFaults, type Operation } from './disk.ts'
import type { History, RestoredLog } from './history.ts'
import type { Random } from './random.ts'
import { type Life, Machine, startOfTime, type World } from './world.ts'

/** What the gateway's disk is made of. */
export interface LogDiskOptions {
  readonly world: World
  readonly random: Random
  readonly history: History
  readonly faults: DiskFaults
  /** Opens an image; where it is a real file, it has this number among all that were put in its place. */
  readonly createImage: (system: System, file: number) => Log
  /** Of hints that somebody has appended: they never come. */
  readonly deafShare: number
  /** Opens what is on a real disk anew after a crash. Left out, the image itself is what survives. */
  readonly isReopened?: boolean
  /** Answers this long before the disk has written, in ms: a disk that lies. 0: it does not. */
  readonly liesMs?: number
}

/** A transaction as it was asked for, so that an image can be made as it was at any time. */
interface Written {
  readonly at: number
  readonly run: (image: Log) => Promise<unknown>
  isSafe: boolean
}

const everything = Number.MAX_SAFE_INTEGER
const busy = (reason: string) => new TidemarkError('LOG_UNAVAILABLE', { reason })

/** A disk that several gateways of one installation share, one after the other or side by side. */
export class LogDisk {
  readonly arm: DiskArm
  readonly #options: LogDiskOptions
  readonly #machine = new Machine('log')
  readonly #told = new Map<string, Position>()
  #written: Written[] = []
  readonly #dead: Log[] = []
  /** What the image is opened with. Its epochs are all that it draws: a copy has that of its original. */
  readonly #system: System
  #epoch: string
  /** When what is made again was done. */
  #replayedAt: number | undefined
  #files = 0
  #image: Log

  constructor(options: LogDiskOptions) {
    this.#options = options
    this.arm = new DiskArm(options.world, options.random, options.faults)
    const { system } = this.#machine.begin(options.world)
    this.#epoch = system.uuid()
    this.#system = {
      ...system,
      now: () => Math.floor(startOfTime + (this.#replayedAt ?? options.world.now)),
      uuid: () => this.#epoch,
    }
    this.#image = options.createImage(this.#system, this.#files)
  }

  /** The log as a gateway sees it. */
  logFor(life: Life): Log {
    const read = <T>(run: (image: Log) => Promise<T>): Promise<T> =>
      this.arm.do(life, { kind: 'read', run: () => run(this.#image), refuse: busy })
    const write = <T>(run: (image: Log) => Promise<T>, then?: () => Promise<void>): Promise<T> =>
      this.arm.do(life, this.#transaction(run, then))
    return {
      append: (chains) =>
        write(
          (image) => image.append(chains),
          () => this.#tellCommitted(chains),
        ),
      head: (log) => read((image) => image.head(log)),
      read: (log, position, bytesMax) => read((image) => image.read(log, position, bytesMax)),
      locate: (log, cursor: Cursor) => read((image) => image.locate(log, cursor)),
      logs: () => read((image) => image.logs()),
      lease: (name, holder, ms) => write((image) => image.lease(name, holder, ms)),
      release: (lease: Lease) => write((image) => image.release(lease)),
      relayed: (log) => read((image) => image.relayed(log)),
      saveRelayed: (lease, log, progress) =>
        write(
          (image) => image.saveRelayed(lease, log, progress),
          () => this.#tellRelayed(lease, log, progress),
        ),
      remedy: (log, remedy, record) => write((image) => image.remedy(log, remedy, record)),
      audit: (record) => write((image) => image.audit(record)),
      audits: (max) => read((image) => image.audits(max)),
      onAppend: (heard) => this.#listen(life, heard),
      close: async () => {},
    }
  }

  /** Of which log the image is. */
  get epoch(): string {
    return this.#epoch
  }

  /** Reads all of it anew, and tells the history: after a crash, and in the end. */
  async reread(): Promise<void> {
    for (const log of await this.#image.logs()) {
      const { lines } = await this.#linesAfter(log, 0 as Position)
      this.#options.history.state({ type: 'reread', log, lines })
      this.#told.set(logKey(log), lines.length as Position)
    }
  }

  /** What a crash takes with it: nothing, unless the disk lies. */
  async crash(): Promise<void> {
    if (this.#options.isReopened) return this.#reopen()
    if (this.#written.every(({ isSafe }) => isSafe)) return
    const unsafe = this.#written.findIndex(({ isSafe }) => !isSafe)
    await this.#remake(this.#written.slice(0, unsafe))
  }

  /**
   * While no gateway runs, somebody puts a copy in the place of what is there, made so many ms ago; or an
   * empty file, which is another log.
   */
  async restore(ageMs?: number): Promise<void> {
    const { world, history } = this.#options
    // What was on its way to the disk is not done any more.
    this.arm.cutPower()
    const logs = await this.#image.logs()
    const isCopied = ({ at }: Written) => ageMs !== undefined && at <= world.now - ageMs
    if (ageMs === undefined) this.#epoch = this.#machine.begin(world).system.uuid()
    this.#files += 1
    await this.#remake(this.#written.filter(isCopied))
    const restored: RestoredLog[] = []
    for (const log of logs) {
      const { lines, upTo } = await this.#linesAfter(log, 0 as Position)
      const { cursor } = await this.#image.relayed(log)
      history.note(`${logKey(log)} is back at ${upTo}, relayed up to ${cursor}`)
      restored.push({ log, lines, relayed: cursor })
      this.#told.set(logKey(log), upTo)
    }
    history.state({ type: 'restored', logs: restored })
  }

  /** Makes a new image that holds these transactions, as if nothing else had ever been written. */
  async #remake(written: readonly Written[]): Promise<void> {
    this.#dead.push(this.#image)
    this.#written = [...written]
    this.#image = this.#options.createImage(this.#system, this.#files)
    for (const { at, run } of written) {
      this.#replayedAt = at
      await run(this.#image)
    }
    this.#replayedAt = undefined
  }

  /** Lets go of what is on a real disk. */
  async close(): Promise<void> {
    for (const image of [...this.#dead, this.#image]) await image.close()
  }

  /** Nobody closes a database that was killed; the next one finds its file and its write-ahead log as they are. */
  #reopen(): void {
    this.#dead.push(this.#image)
    this.#image = this.#options.createImage(this.#system, this.#files)
  }

  #listen(life: Life, heard: (logs: readonly LogName[]) => void): () => void {
    const { world, random, deafShare } = this.#options
    return this.#image.onAppend((logs) => {
      if (life.isOver || random.chance(deafShare)) return
      world.after(random.exponential(1), () => heard(logs), life)
    })
  }

  #transaction<T>(run: (image: Log) => Promise<T>, then = async () => {}): Operation<T> {
    const { world, liesMs = 0 } = this.#options
    return {
      kind: 'write',
      refuse: busy,
      run: async () => {
        const written: Written = { at: world.now, run, isSafe: liesMs === 0 }
        const value = await run(this.#image)
        this.#written.push(written)
        if (liesMs === 0) {
          await then()
          return value
        }
        world.after(liesMs, () => {
          if (!this.#written.includes(written)) return
          written.isSafe = true
          void then()
        })
        return value
      },
    }
  }

  async #tellCommitted(chains: readonly (readonly Attempt[])[]): Promise<void> {
    const keys = new Set(chains.flatMap((chain) => chain.map(({ log }) => logKey(log))))
    for (const key of keys) {
      const log = parseLogKey(key)
      const { lines, upTo } = await this.#linesAfter(log, this.#told.get(key) ?? (0 as Position))
      if (lines.length === 0) continue
      this.#told.set(key, upTo)
      this.#options.history.note(`disk commits ${key} up to ${upTo}`)
      this.#options.history.state({ type: 'committed', log, lines })
    }
  }

  async #tellRelayed({ term }: Lease, log: LogName, { cursor }: RelayProgress): Promise<void> {
    const { parked } = await this.#image.relayed(log)
    this.#options.history.note(`relay has brought ${logKey(log)} up to ${cursor}`)
    this.#options.history.state({
      type: 'relayed',
      log,
      term,
      upTo: cursor,
      parked: parked.map(({ stream }) => stream),
    })
  }

  async #linesAfter(
    log: LogName,
    position: Position,
  ): Promise<{ lines: string[]; upTo: Position }> {
    const { chunks, upTo } = await this.#image.read(log, position, everything)
    return { lines: chunks.flatMap((chunk) => chunk.split('\n')), upTo }
  }
}
