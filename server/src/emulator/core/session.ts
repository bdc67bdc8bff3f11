/** A session: messages of one key in their order, with one receiver at a time and a small state of its own. */
import type { Cancel, System } from '@tidemark/shared'
import { Line } from './line.ts'
import { Listeners } from './listeners.ts'

/** What a session needs of its mailbox. */
export interface SessionKeeper {
  readonly system: System
  /** How long a hold lasts, in ms. */
  readonly lockMs: number
  /** The session has no receiver any more. `isFailure`: because its time ended. */
  released(session: Session, isFailure: boolean): void
}

/** A session of a mailbox. Whoever accepted it holds it until it is released, or until its time ends. */
export class Session {
  readonly id: string
  readonly line = new Line()
  readonly readyListeners = new Listeners()
  /** What receivers remember of the session. It outlives them. */
  state: Uint8Array | undefined
  /** When the hold ends, in ms since 1970. */
  until = 0
  readonly #keeper: SessionKeeper
  #lost: (() => void) | undefined
  #timer: Cancel | undefined

  constructor(id: string, keeper: SessionKeeper) {
    this.id = id
    this.#keeper = keeper
  }

  get isHeld(): boolean {
    return this.#lost !== undefined
  }

  /** Takes the session for one receiver. `lost` is called if its time ends before it is released. False: it is held. */
  accept(lost: () => void): boolean {
    if (this.isHeld) return false
    this.#lost = lost
    this.renew()
    return true
  }

  /** Holds on for another lock time; answers with the new end in ms since 1970. */
  renew(): number {
    this.until = this.#keeper.system.now() + this.#keeper.lockMs
    this.stop()
    this.#timer = this.#keeper.system.after(this.#keeper.lockMs, () => this.expire())
    return this.until
  }

  /** The holder is done, or gone. The delivery count of what it had not settled stays as it is, as in Azure. */
  release(): void {
    if (!this.isHeld) return
    this.stop()
    this.#lost = undefined
    this.#keeper.released(this, false)
  }

  /** The hold's time is over. */
  expire(): void {
    const lost = this.#lost
    if (!lost) return
    this.stop()
    this.#lost = undefined
    // The holder's link goes first: while it lives it would take the messages that are let go here.
    lost()
    this.#keeper.released(this, true)
  }

  /** Stops its timer. */
  stop(): void {
    this.#timer?.()
    this.#timer = undefined
  }
}
