/** A server's side: the gateway and the answering service, which crash and come back on what their disks hold. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Access, createGateway, type Gateway, type Permission } from '@tidemark/server'
import type { Log } from '@tidemark/server/log/log'
import { memoryLog } from '@tidemark/server/log/memory'
import { sqliteLog } from '@tidemark/server/log/sqlite'
import { defaultLimits, type System } from '@tidemark/shared'
import { BrokerHost, gatewaySubscription } from './broker.ts'
import type { History } from './history.ts'
import { LogDisk } from './log-disk.ts'
import type { Network } from './network.ts'
import { batchEventsMax, type Options } from './options.ts'
import type { Random } from './random.ts'
import { type Replies, runService } from './service.ts'
import { audit, strictInventory } from './topics.ts'
import { type Life, Machine, type World } from './world.ts'

/** What a server's side is made of. */
export interface InstallationOptions {
  readonly world: World
  readonly random: Random
  readonly history: History
  readonly network: Network
  readonly options: Options
  readonly onError: (error: unknown) => void
}

interface Running {
  readonly life: Life
  readonly gateway: Gateway
}

/** Where the devices find the gateway. */
export const host = 'gateway'
const restartMsMean = 3_000
/** A folder whose files never wait for a disk, where there is one: durability is not what this world lacks. */
const sharedMemory = '/dev/shm'

/** One gateway, its disk, the broker and a service. */
export class Installation {
  readonly disk: LogDisk
  readonly broker: BrokerHost
  readonly gatewayMachine = new Machine(host)
  /** Topics that nobody may append to for now, devices that are refused for good, and those that may not read. */
  readonly held = new Set<string>()
  readonly refused = new Set<string>()
  readonly forbidden = new Set<string>()
  readonly #options: InstallationOptions
  readonly #serviceMachine = new Machine('service')
  readonly #replies: Replies = new Map()
  #folder: string | undefined
  #running: Running | undefined
  #serviceLife: Life | undefined

  constructor(options: InstallationOptions) {
    this.#options = options
    const { world, random, history } = options
    const { logDisk, deafShare, broker } = options.options
    this.disk = new LogDisk({
      world,
      random: random.fork('log disk'),
      history,
      faults: logDisk,
      deafShare,
      isReopened: options.options.log === 'sqlite',
      createImage: this.#chooseLog(options.options),
    })
    this.broker = new BrokerHost({ world, random: random.fork('broker'), history, faults: broker })
  }

  /** Lets go of what is not of this world: the files of a real database. */
  async close(): Promise<void> {
    await this.disk.close()
    if (this.#folder !== undefined) rmSync(this.#folder, { recursive: true, force: true })
  }

  /** Starts what is not running. */
  start(): void {
    if (!this.#running) this.#startGateway()
    if (!this.#serviceLife) this.#startService()
  }

  /** Kills the gateway; it comes back by itself after a while, maybe before anybody has noticed. */
  async crashGateway(): Promise<void> {
    const running = this.#running
    if (!running) return
    this.#options.history.note(`${running.life.name} is killed`)
    this.#endGateway(running)
    await this.disk.crash()
    await this.disk.reread()
    this.#restart()
  }

  /** Asks the gateway to go, as a deployment does. */
  stopGateway(): void {
    const running = this.#running
    if (!running) return
    const { world, history, onError, random } = this.#options
    history.note(`${running.life.name} is asked to stop`)
    const end = () => {
      if (running.life.isOver) return
      this.#endGateway(running)
      this.#restart()
    }
    running.gateway.close().then(end, onError)
    world.after(8_000 + random.exponential(2_000), end)
  }

  /** Offers what the relay has parked to the broker again, as an operator does once it is mended. */
  async redriveParked(): Promise<void> {
    for (const { log, stream } of await this.disk.parked()) {
      this.#running?.gateway.redrive(log, stream)
    }
  }

  /** Kills the service; it comes back on what it has stored. */
  crashService(): void {
    const life = this.#serviceLife
    if (!life) return
    const { world, random, history } = this.#options
    history.note(`${life.name} is killed`)
    life.end()
    this.broker.drop(life)
    this.#serviceLife = undefined
    world.after(random.exponential(restartMsMean), () => this.start())
  }

  /** The memory log, or for some seeds the real thing in a real file. */
  #chooseLog({ log }: Options): (system: System) => Log {
    if (log === 'memory') return (system) => memoryLog({ system })
    const folder = mkdtempSync(
      join(existsSync(sharedMemory) ? sharedMemory : tmpdir(), 'tidemark-'),
    )
    this.#folder = folder
    return (system) => sqliteLog(join(folder, 'log.db'), { system })
  }

  #restart(): void {
    const { world, random } = this.#options
    world.after(random.exponential(restartMsMean), () => this.start())
  }

  #endGateway({ life }: Running): void {
    life.end()
    this.#running = undefined
    this.#options.network.drop(life)
    this.broker.drop(life)
  }

  #startGateway(): void {
    const { world, network, history, options } = this.#options
    const life = this.gatewayMachine.begin(world)
    history.note(`${life.name} starts`)
    const gateway = createGateway({
      log: this.disk.logFor(life),
      broker: this.broker.brokerFor(life, true),
      ingest: { subscription: gatewaySubscription, sessions: 8 },
      topics: [strictInventory, audit],
      authenticate: ({ token }) => (token === undefined ? undefined : { author: token }),
      authorize: (access) => this.#authorize(access),
      system: life.system,
      limits: {
        ...defaultLimits,
        batchEventsMax,
        silenceMsMax: options.silenceMsMax,
        unansweredEventsMax: options.unansweredEventsMax,
        unappliedBytesMax: options.unappliedBytesMax,
      },
    })
    this.#running = { life, gateway }
    network.listen(host, life, (socket) => {
      const connection = gateway.connect(socket)
      return {
        onOpen() {},
        onMessage: (message) => connection.onMessage(message),
        onClose: () => connection.onClose(),
      }
    })
  }

  #startService(): void {
    const { world, history, onError } = this.#options
    const life = this.#serviceMachine.begin(world)
    this.#serviceLife = life
    const broker = this.broker.brokerFor(life, false)
    runService(life, broker, this.#replies, history).catch(onError)
  }

  #authorize({ action, topic, principal }: Access): Permission {
    if (action === 'read') return this.forbidden.has(principal.author) ? 'refuse' : 'allow'
    if (this.refused.has(principal.author)) return 'refuse'
    return this.held.has(topic) ? 'hold' : 'allow'
  }
}
