/**
 * The world: one virtual clock, one heap of things to come, and machines whose lives can end at any
 * moment. Real time is never read. Events of the same time run in an order drawn from the seed, so
 * that no order is taken for granted.
 */
import type { Cancel, System } from '@tidemark/shared'
import type { Random } from './random.ts'

/** The wall clock at the start of every simulation: 2026-01-01 00:00 UTC. */
export const startOfTime = Date.UTC(2026, 0, 1)

/** A run that takes more steps than this has a loop that spins. Ordinary ones take about 6,000. */
const stepsMax = 300_000

/** Timers longer than this fire at once, as they do in browsers and in Node. */
const timerMsMax = 2_147_483_647

interface Happening {
  time: number
  tie: number
  readonly run: () => void
  /** Whose it is: it never happens once that life is over, and waits while its machine is frozen. */
  readonly life: Life | undefined
  cancelled: boolean
}

const isSooner = (one: Happening, other: Happening): boolean =>
  one.time < other.time || (one.time === other.time && one.tie < other.tie)

/** Lets every promise that can settle settle. Nothing of a simulation waits for the real event loop. */
const drain = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))

/** A computer, a phone or a server: it outlives the processes that run on it. */
export class Machine {
  readonly name: string
  /** How far its wall clock is off, in ms; `rate` says how many of its ms pass in one of the world's. */
  readonly clock = { offsetMs: 0, rate: 1 }
  #frozenUntil = 0
  #lives = 0

  constructor(name: string) {
    this.name = name
  }

  /** Nothing runs on it before this time. */
  get frozenUntil(): number {
    return this.#frozenUntil
  }

  /** A laptop sleeps, an event loop stalls: what is due meanwhile comes late. It cannot be woken before. */
  freezeUntil(time: number): void {
    this.#frozenUntil = Math.max(this.#frozenUntil, time)
  }

  /** Starts a process. */
  begin(world: World): Life {
    this.#lives += 1
    return new Life(world, this, `${this.name}.${this.#lives}`)
  }
}

/**
 * One run of a process, from start to crash. After its end its timers are dropped and its ports never
 * answer, which is all that a `kill -9` leaves behind in a language without processes to kill.
 */
export class Life {
  readonly machine: Machine
  /** `tab-a.2`: the second life of tab-a. */
  readonly name: string
  readonly system: System
  readonly #world: World
  isOver = false
  #frozenUntil = 0

  constructor(world: World, machine: Machine, name: string) {
    this.#world = world
    this.machine = machine
    this.name = name
    this.system = createSystem(world, this)
  }

  /** Nothing of it runs before this time. */
  get frozenUntil(): number {
    return this.#frozenUntil
  }

  /** A browser freezes a tab, and no other on that machine. */
  freezeUntil(time: number): void {
    this.#frozenUntil = Math.max(this.#frozenUntil, time)
  }

  /** The end, without a word to anybody. */
  end(): void {
    this.isOver = true
  }

  /** Resolves after `ms`, or never. */
  pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#world.after(ms, resolve, this))
  }
}

function createSystem(world: World, life: Life): System {
  const random = world.random.fork(`system:${life.name}`)
  const { clock } = life.machine
  const now = () => Math.floor(startOfTime + world.now * clock.rate + clock.offsetMs)
  const bornAt = world.now
  return {
    now,
    mono: () => world.now - bornAt,
    after(ms, run) {
      // Real timers count whole milliseconds: they fire up to one early, and a little late when busy.
      const whole = ms > timerMsMax || Number.isNaN(ms) ? 1 : Math.max(1, Math.floor(ms))
      return world.after(whole + random.exponential(0.3), run, life)
    },
    breathe: () => new Promise((resolve) => void world.after(0, resolve, life)),
    random: () => random.float(),
    uuid: () => random.uuid(now()),
  }
}

/** The virtual clock and everything that is going to happen. */
export class World {
  readonly random: Random
  /** Milliseconds since the start. */
  now = 0
  /** How many things have happened. */
  steps = 0
  readonly #ties: Random
  readonly #heap: Happening[] = []
  readonly #checks: (() => void)[] = []
  #putOff = 0

  constructor(random: Random) {
    this.random = random
    this.#ties = random.fork('ties')
  }

  /** Runs `run` once after `ms`, unless `life` is over by then. */
  after(ms: number, run: () => void, life?: Life): Cancel {
    const happening: Happening = {
      time: this.now + ms,
      tie: this.#ties.float(),
      run,
      life,
      cancelled: false,
    }
    this.#push(happening)
    return () => {
      happening.cancelled = true
    }
  }

  /** Calls `check` after every single thing that happens. What it throws ends the run. */
  watch(check: () => void): void {
    this.#checks.push(check)
  }

  /** Lets things happen until `time`, or until `isDone` says so. */
  async runUntil(time: number, isDone?: () => boolean): Promise<void> {
    for (;;) {
      const next = this.#heap[0]
      if (!next || next.time > time || isDone?.()) break
      this.#pop()
      if (next.cancelled || next.life?.isOver) continue
      this.now = next.time
      if (this.#isAsleep(next)) continue
      this.steps += 1
      if (this.steps > stepsMax) throw new Error(`Something never rests: ${stepsMax} steps.`)
      next.run()
      await drain()
      for (const check of this.#checks) check()
    }
    if (!isDone?.()) this.now = Math.max(this.now, time)
  }

  /** Lets things happen until this has settled, but not beyond `time`: then the answer is `undefined`. */
  async runThrough<T>(time: number, doing: Promise<T>): Promise<T | undefined> {
    let isOver = false
    const end = () => void (isOver = true)
    doing.then(end, end)
    await this.runUntil(time, () => isOver)
    return isOver ? await doing : undefined
  }

  /** Puts what a frozen machine would do off to its waking, in the order in which it was due. */
  #isAsleep(next: Happening): boolean {
    const { life } = next
    const wakesAt = life ? Math.max(life.frozenUntil, life.machine.frozenUntil) : 0
    if (wakesAt <= this.now) return false
    next.time = wakesAt
    next.tie = this.#putOff++ * Number.EPSILON
    this.#push(next)
    return true
  }

  #push(happening: Happening): void {
    const heap = this.#heap
    let index = heap.length
    while (index > 0) {
      const above = (index - 1) >> 1
      const parent = heap[above] as Happening
      if (!isSooner(happening, parent)) break
      heap[index] = parent
      index = above
    }
    heap[index] = happening
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop() as Happening
    if (heap.length === 0) return
    let index = 0
    for (;;) {
      let below = index * 2 + 1
      if (below >= heap.length) break
      const right = below + 1
      if (right < heap.length && isSooner(heap[right] as Happening, heap[below] as Happening)) {
        below = right
      }
      const child = heap[below] as Happening
      if (!isSooner(child, last)) break
      heap[index] = child
      index = below
    }
    heap[index] = last
  }
}
