/** What people do with the app: single edits and bursts, batches, now here and now there. */
import type { Draft } from '@tidemark/shared'
import type { Judge } from './checks.ts'
import type { Device, Tab } from './device.ts'
import { batchEventsMax, type Options } from './options.ts'
import type { Random } from './random.ts'
import { audit, inventory, inventoryLog, isHandled, pickMax } from './topics.ts'
import type { World } from './world.ts'

/** Appends until all events of a run are appended, or the work is stopped. */
export class Workload {
  readonly #world: World
  readonly #random: Random
  readonly #options: Options
  readonly #devices: readonly Device[]
  #tags = 0
  #isStopped = false

  constructor(world: World, random: Random, options: Options, devices: readonly Device[]) {
    this.#world = world
    this.#random = random
    this.#options = options
    this.#devices = devices
  }

  /** How many events there were so far. */
  get events(): number {
    return this.#tags
  }

  /** Spreads the work over the time that the run lasts. */
  start(): void {
    const { events, lastsMs } = this.#options
    const meanMs = (lastsMs * 0.9) / events
    const act = () => {
      if (this.#isStopped || this.#tags >= events) return
      this.#act()
      this.#world.after(this.#random.exponential(meanMs), act)
    }
    this.#world.after(0, act)
  }

  /** No more from now on. */
  stop(): void {
    this.#isStopped = true
  }

  /** One event in this tab. */
  appendOne(device: Device, tab: Tab): Promise<void> {
    return device.append(tab, [this.#draft()], false)
  }

  #act(): void {
    const device = this.#random.pick(this.#devices)
    if (device.tabs.length === 0) return
    const { burstShare, batchShare } = this.#options
    const times = this.#random.chance(burstShare) ? 2 + this.#random.below(12) : 1
    const everywhere = this.#random.chance(0.5)
    const chosen = this.#random.pick(device.tabs)
    for (let time = 0; time < times; time++) {
      const tab = everywhere ? this.#random.pick(device.tabs) : chosen
      const drafts = this.#random.chance(batchShare) ? this.#batch() : [this.#draft()]
      void device.append(tab, drafts, this.#random.chance(0.2))
    }
  }

  #batch(): readonly Draft[] {
    return Array.from({ length: 2 + this.#random.below(batchEventsMax - 1) }, () =>
      this.#inventoryDraft(),
    )
  }

  #draft(): Draft {
    return this.#random.chance(0.2)
      ? audit.stream(`book-${this.#random.below(2)}`).Noted(this.#amount(50))
      : this.#inventoryDraft()
  }

  #inventoryDraft(): Draft {
    const stream = inventory.stream(`sku-${this.#random.below(this.#options.streams)}`)
    // A few picks are too big for the gateway, and refused.
    return this.#random.chance(0.5)
      ? stream.Received(this.#amount(pickMax))
      : stream.Picked(this.#amount(pickMax * 1.1))
  }

  #amount(below: number) {
    const note = this.#random.chance(0.05) ? 'n'.repeat(this.#random.below(3_000)) : ''
    this.#tags += 1
    return { tag: this.#tags, quantity: this.#random.below(Math.floor(below)), note }
  }
}

/** The state that each stream must have, folded here from what the gateway's disk holds. */
export function expectedStock(judge: Judge, fold: (state: number, quantity: number) => number) {
  const states = new Map<string, { digest: number; events: number }>()
  for (const { event } of judge.entries(inventoryLog)) {
    if (!isHandled(event.type)) continue
    const { quantity } = event.data as { quantity: number }
    const state = states.get(event.stream) ?? { digest: 0, events: 0 }
    states.set(event.stream, {
      digest: fold(state.digest, event.type === 'Picked' ? -quantity : quantity),
      events: state.events + 1,
    })
  }
  return states
}
