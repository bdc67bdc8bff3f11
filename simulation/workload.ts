/** What people do with the app: facts and commands, one by one and in bursts, now here and now there, and second thoughts. */
import type { Draft, EventId } from '@tidemark/shared'
import type { App, Call } from './app.ts'
import type { Device, Tab } from './device.ts'
import { readEvent } from './lines.ts'
import { batchEventsMax, type Options } from './options.ts'
import type { Random } from './random.ts'
import { audit, inventory, pickMax, shelfPrefix } from './topics.ts'
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
    return device.app.append(tab, [this.#draft()], false)
  }

  #act(): void {
    const device = this.#random.pick(this.#devices)
    if (device.tabs.length === 0) return
    const { burstShare, commandShare } = this.#options
    const times = this.#random.chance(burstShare) ? 2 + this.#random.below(12) : 1
    const everywhere = this.#random.chance(0.5)
    const shelf = this.#random.chance(0.3 * Math.sign(commandShare)) ? this.#shelf() : undefined
    const chosen = this.#random.pick(device.tabs)
    for (let time = 0; time < times; time++) {
      const tab = everywhere ? this.#random.pick(device.tabs) : chosen
      if (shelf === undefined || times === 1) this.#actIn(device, tab)
      else void device.app.execute(tab, this.#shelfCall(shelf), this.#random.chance(0.2))
    }
  }

  /** A fact, a command, or second thoughts. */
  #actIn({ app }: Device, tab: Tab): void {
    const { batchShare, commandShare } = this.#options
    const isStrict = this.#random.chance(0.2)
    if (this.#random.chance(0.15)) return this.#reconsider(app, tab)
    if (this.#random.chance(commandShare)) return void app.execute(tab, this.#call(), isStrict)
    const drafts = this.#random.chance(batchShare) ? this.#batch() : [this.#draft()]
    const isResting = drafts[0]?.topic === inventory.name && this.#random.chance(0.05)
    const after = isResting ? this.#recent(app) : undefined
    void app.append(tab, drafts, isStrict, after)
  }

  #reconsider(app: App, tab: Tab): void {
    if (this.#random.chance(0.3)) return void this.#regret(app, tab)
    const refused = tab.client.refused.getSnapshot()
    if (refused.length === 0 || this.#random.chance(0.5)) {
      const id = this.#recent(app)
      if (id) void app.withdraw(tab, id)
      return
    }
    const { id, line, refusal } = this.#random.pick(refused)
    const { stream } = readEvent(line)
    const isDiscarded = this.#random.chance(0.3)
    const answer = refusal.code === 'DEAD_LETTERED' ? 'compensate' : 'resubmit'
    // A shelf is for commands only.
    const remedy = isDiscarded || stream.startsWith(shelfPrefix) ? 'discard' : answer
    const drafts = [inventory.stream(stream).Received(this.#amount(pickMax))]
    void app.resolve(tab, id, remedy, drafts)
  }

  /** Takes back what was appended this very moment. */
  async #regret(app: App, tab: Tab): Promise<void> {
    await app.append(tab, [this.#inventoryDraft()], false)
    const id = app.recent((ids) => ids.at(-1)!)
    if (id) await app.withdraw(tab, id)
  }

  #recent(app: App): EventId | undefined {
    return app.recent((ids) => this.#random.pick(ids))
  }

  #call(): Call {
    if (this.#random.chance(0.3)) {
      const key = `sku-${this.#random.below(this.#options.streams)}`
      return { model: 'stock', command: 'count', key, input: this.#amount(pickMax) }
    }
    return this.#shelfCall(this.#shelf())
  }

  #shelf(): string {
    return `${shelfPrefix}${this.#random.below(this.#options.shelves)}`
  }

  #shelfCall(key: string): Call {
    const command = this.#random.pick(['fill', 'fill', 'take', 'takeInTwo'] as const)
    // A few fillings are too big for the gateway, and with them goes what was taken from them.
    const input = this.#amount(command === 'fill' ? pickMax * 1.2 : pickMax / 3)
    return { model: 'shelf', command, key, input }
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
