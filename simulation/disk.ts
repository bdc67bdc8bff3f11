/** What every disk has in common: it does one thing after the other, takes its time, and fails now and then. */
import type { TidemarkError } from '@tidemark/shared'
import type { Random } from './random.ts'
import type { Life, World } from './world.ts'

/** How bad a disk is. Shares are of operations, times in ms. */
export interface DiskFaults {
  readonly writeMs: number
  readonly readMs: number
  readonly stallShare: number
  readonly stallMs: number
  /** Of operations that fail without having done anything. */
  readonly failShare: number
  /** Of commits that are done but reported as failed. Only where the port allows an unknown outcome. */
  readonly unknownShare: number
}

/** A disk without faults. */
export const soundDisk: DiskFaults = {
  writeMs: 2,
  readMs: 1,
  stallShare: 0,
  stallMs: 0,
  failShare: 0,
  unknownShare: 0,
}

/** One operation on a disk. */
export interface Operation<T> {
  readonly kind: 'read' | 'write'
  /** Does it, in one moment of the virtual time. */
  readonly run: () => Promise<T>
  /** What to throw where the disk does not take it. */
  readonly refuse: (reason: string) => TidemarkError
}

/** A disk's arm: operations take effect one after the other, and are told of a little later. */
export class DiskArm {
  faults: DiskFaults
  /** Writes fail until there is room again. */
  isFull = false
  readonly #world: World
  readonly #random: Random
  #busyUntil = 0
  #powerCuts = 0

  constructor(world: World, random: Random, faults: DiskFaults) {
    this.#world = world
    this.#random = random
    this.faults = faults
  }

  /** What has not been done by now is not done any more. */
  cutPower(): void {
    this.#powerCuts += 1
    this.#busyUntil = 0
  }

  /**
   * Does an operation for a process. If that dies before the operation's moment, it is done all the
   * same half of the time: it may or may not have left the process.
   */
  do<T>(life: Life, operation: Operation<T>): Promise<T> {
    const world = this.#world
    const isDoneAnyway = operation.kind === 'write' && this.#random.chance(0.5)
    this.#busyUntil = Math.max(this.#busyUntil, world.now) + this.#duration(operation.kind)
    const powerCuts = this.#powerCuts
    return new Promise((resolve, reject) => {
      const act = async () => {
        if (this.#powerCuts !== powerCuts || (life.isOver && !isDoneAnyway)) return
        const told = await this.#attempt(operation)
        const tell = () => ('error' in told ? reject(told.error) : resolve(told.value))
        world.after(this.#random.exponential(this.faults.readMs), tell, life)
      }
      world.after(this.#busyUntil - world.now, () => void act())
    })
  }

  async #attempt<T>({
    kind,
    run,
    refuse,
  }: Operation<T>): Promise<{ value: T } | { error: unknown }> {
    const { failShare, unknownShare } = this.faults
    if (kind === 'write' && this.isFull) return { error: refuse('full') }
    if (this.#random.chance(failShare)) return { error: refuse('flaky') }
    try {
      const value = await run()
      if (kind === 'write' && this.#random.chance(unknownShare)) {
        return { error: refuse('unknown outcome') }
      }
      return { value }
    } catch (error) {
      return { error }
    }
  }

  #duration(kind: 'read' | 'write'): number {
    const { writeMs, readMs, stallShare, stallMs } = this.faults
    const stall = this.#random.chance(stallShare) ? this.#random.exponential(stallMs) : 0
    return 0.01 + this.#random.exponential(kind === 'write' ? writeMs : readMs) + stall
  }
}
