/** What the tabs of one device share besides the disk: named locks, a doorbell, and hints from the system. */
import type { Hints } from '@tidemark/client'
import type { Broadcast, Locks } from '@tidemark/shared'
import type { Random } from './random.ts'
import type { Life, World } from './world.ts'

interface Request {
  readonly life: Life
  readonly hold: (lost: AbortSignal) => Promise<void>
  readonly lost: AbortController
  readonly done: () => void
}

/** The locks of one origin on one device. A process that dies lets go of what it held. */
export class DeviceLocks {
  readonly #world: World
  readonly #random: Random
  readonly #waiting = new Map<string, Request[]>()
  readonly #holders = new Map<string, Request>()

  constructor(world: World, random: Random) {
    this.#world = world
    this.#random = random
  }

  /** The port for one tab. */
  locksFor(life: Life): Locks {
    return {
      request: (name, { signal, steal }, hold) =>
        new Promise((resolve) => {
          const lost = new AbortController()
          const request: Request = { life, hold, lost, done: resolve }
          const waiting = this.#waitingFor(name)
          if (steal) {
            const robbed = this.#holders.get(name)
            // A tab that is frozen learns of it when it wakes.
            if (robbed) this.#world.after(0, () => robbed.lost.abort(), robbed.life)
            this.#holders.delete(name)
            waiting.unshift(request)
          } else {
            waiting.push(request)
          }
          const giveUp = () => {
            const now = this.#waitingFor(name)
            const at = now.indexOf(request)
            if (at < 0) return
            now.splice(at, 1)
            resolve()
          }
          if (signal?.aborted) return giveUp()
          signal?.addEventListener('abort', giveUp, { once: true })
          this.#grant(name)
        }),
    }
  }

  /** The process is gone, and so is its hold on everything. */
  drop(life: Life): void {
    for (const [name, waiting] of this.#waiting) {
      this.#waiting.set(
        name,
        waiting.filter((request) => request.life !== life),
      )
    }
    for (const [name, holder] of this.#holders) {
      if (holder.life !== life) continue
      this.#holders.delete(name)
      this.#grant(name)
    }
  }

  #waitingFor(name: string): Request[] {
    const waiting = this.#waiting.get(name) ?? []
    this.#waiting.set(name, waiting)
    return waiting
  }

  #grant(name: string): void {
    this.#world.after(this.#random.exponential(2), () => {
      if (this.#holders.has(name)) return
      const next = this.#waiting.get(name)?.shift()
      if (!next) return
      if (next.life.isOver) return this.#grant(name)
      this.#holders.set(name, next)
      const letGo = () => {
        next.done()
        if (this.#holders.get(name) !== next) return
        this.#holders.delete(name)
        this.#grant(name)
      }
      this.#world.after(0, () => void next.hold(next.lost.signal).then(letGo, letGo), next.life)
    })
  }
}

interface Ear {
  readonly life: Life
  readonly heard: (message: unknown) => void
  /** When the newest message gets there: they stay in order. */
  arrivesAt: number
}

/** The doorbell between the tabs of one device. */
export class DeviceBroadcast {
  readonly #world: World
  readonly #random: Random
  readonly #ears = new Set<Ear>()

  constructor(world: World, random: Random) {
    this.#world = world
    this.#random = random
  }

  /** The port for one tab. It does not hear itself. */
  broadcastFor(life: Life): Broadcast {
    return {
      post: (message) => {
        for (const ear of this.#ears) {
          if (ear.life === life) continue
          const { now } = this.#world
          ear.arrivesAt = Math.max(now + this.#random.exponential(3), ear.arrivesAt + 0.001)
          this.#world.after(ear.arrivesAt - now, () => ear.heard(message), ear.life)
        }
      },
      listen: (heard) => {
        const ear = { life, heard, arrivesAt: 0 }
        this.#ears.add(ear)
        return () => void this.#ears.delete(ear)
      },
      close: () => {
        for (const ear of this.#ears) if (ear.life === life) this.#ears.delete(ear)
      },
    }
  }
}

/** What the operating system says of the network, which may be wrong; and the browser, of the pages that it puts away. */
export class DeviceHints {
  readonly #ears = new Set<{ readonly life: Life; readonly hinted: () => void }>()
  /** By tab: who is told when it is put away. */
  readonly #pages = new Map<Life, (isAway: boolean) => void>()
  readonly #away = new Set<Life>()
  readonly #world: World

  constructor(world: World) {
    this.#world = world
  }

  /** The port for one tab. */
  hintsFor(life: Life): Hints {
    return {
      listen: (hinted) => {
        const ear = { life, hinted }
        this.#ears.add(ear)
        return () => void this.#ears.delete(ear)
      },
      isSeen: () => !this.#away.has(life),
      onAway: (told) => {
        this.#pages.set(life, told)
        return () => void this.#pages.delete(life)
      },
    }
  }

  /** The browser freezes a page, or keeps it for the way back, and says so before and after. One that sleeps already hears nothing: `false`. */
  putAway(life: Life, ms: number): boolean {
    if (Math.max(life.frozenUntil, life.machine.frozenUntil) > this.#world.now) return false
    this.#world.after(0, () => this.#tellAway(life, ms), life)
    return true
  }

  #tellAway(life: Life, ms: number): void {
    this.#away.add(life)
    this.#pages.get(life)?.(true)
    life.freezeUntil(this.#world.now + ms)
    const back = (): void => {
      this.#away.delete(life)
      this.#pages.get(life)?.(false)
    }
    this.#world.after(ms, back, life)
  }

  /** Something may have changed. */
  hint(): void {
    for (const { life, hinted } of this.#ears) this.#world.after(0, hinted, life)
  }
}
