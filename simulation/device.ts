/** A device: one disk, and tabs that each run the real client until they are closed or die. */
import { type Client, createClient } from '@tidemark/client'
import { createDisk, memoryStore } from '@tidemark/client/store/memory'
import { App } from './app.ts'
import { DeviceDisk } from './device-disk.ts'
import type { DiskFaults } from './disk.ts'
import type { History } from './history.ts'
import type { Network } from './network.ts'
import type { Random } from './random.ts'
import { DeviceBroadcast, DeviceHints, DeviceLocks } from './tabs.ts'
import { audit, inventory, inventoryLog, modelsOf, scope } from './topics.ts'
import { type Life, Machine, type World } from './world.ts'

type AppClient = Client<ReturnType<typeof modelsOf>>

/** A tab, from its opening to its end. */
export interface Tab {
  readonly life: Life
  readonly client: AppClient
  /** Of the app: its models fold otherwise than those of others. */
  readonly release: number
  /** Calls that the app still waits for. */
  waiting: number
  /** What became of these the app still waits for: the first event’s id, or the command. */
  readonly unsettled: Set<string>
  isPaused: boolean
}

/** Of tabs that are opened: since the last one there is a new release of the app. */
const newReleaseShare = 0.1

/** What a device is made of. */
export interface DeviceOptions {
  readonly world: World
  readonly random: Random
  readonly history: History
  readonly network: Network
  readonly name: string
  readonly faults: DiskFaults
  readonly url: string
  readonly keysInMemoryMax: number
  /** Told of what a client reports and what a promise rejects with. */
  readonly onError: (error: unknown) => void
}

/** A device of one user. */
export class Device {
  readonly name: string
  readonly machine: Machine
  readonly disk: DeviceDisk
  readonly hints: DeviceHints
  readonly app: App
  readonly #options: DeviceOptions
  readonly #locks: DeviceLocks
  readonly #broadcast: DeviceBroadcast
  #tabs: Tab[] = []
  /** What a tab that is opened next runs. */
  #release = 1

  constructor(options: DeviceOptions) {
    const { world, random, history, name, faults, onError } = options
    this.#options = options
    this.name = name
    this.machine = new Machine(name)
    this.app = new App({ device: name, history, onError })
    this.#locks = new DeviceLocks(world, random.fork('locks'))
    this.#broadcast = new DeviceBroadcast(world, random.fork('broadcast'))
    this.hints = new DeviceHints(world)
    const system = new Machine(`${name} disk`).begin(world).system
    this.disk = new DeviceDisk({
      world,
      random: random.fork('disk'),
      history,
      device: name,
      author: name,
      faults,
      createImage: () => memoryStore(createDisk(), { system }),
      reads: [inventoryLog],
    })
  }

  /** The tabs that are open. */
  get tabs(): readonly Tab[] {
    return this.#tabs
  }

  /** Opens a tab. */
  open(): Tab {
    const { world, random, network, history, url, keysInMemoryMax, onError } = this.#options
    if (random.chance(newReleaseShare)) this.#release += 1
    const life = this.machine.begin(world)
    history.note(`${life.name} opens release ${this.#release}`)
    const client = createClient({
      url,
      user: this.name,
      scope,
      token: () => this.name,
      models: modelsOf(this.#release),
      keysInMemoryMax,
      topics: [inventory],
      writeOnly: [audit],
      store: this.disk.storeFor(life),
      connect: network.connectOf(life),
      locks: this.#locks.locksFor(life),
      broadcast: this.#broadcast.broadcastFor(life),
      hints: this.hints.hintsFor(life),
      system: life.system,
      onError,
    })
    const tab: Tab = {
      life,
      client,
      release: this.#release,
      waiting: 0,
      unsettled: new Set(),
      isPaused: false,
    }
    this.#tabs.push(tab)
    return tab
  }

  /** The tab's process is killed. */
  crash(tab: Tab): void {
    this.#options.history.note(`${tab.life.name} is killed`)
    this.#end(tab)
  }

  /** The tab is closed as a user would. What the client still does, it does while it can. */
  close(tab: Tab): void {
    this.#options.history.note(`${tab.life.name} is closed`)
    void tab.client.close().catch(this.#options.onError)
    this.#tabs = this.#tabs.filter((each) => each !== tab)
    this.#options.world.after(this.#options.random.exponential(200), () => this.#end(tab))
  }

  /** The battery is empty. */
  async cutPower(): Promise<void> {
    this.#options.history.note(`${this.name} loses power`)
    for (const tab of this.#tabs) this.#end(tab)
    this.app.forget()
    await this.disk.cutPower()
  }

  #end(tab: Tab): void {
    tab.life.end()
    this.#tabs = this.#tabs.filter((each) => each !== tab)
    this.#options.network.drop(tab.life)
    this.#locks.drop(tab.life)
  }
}
