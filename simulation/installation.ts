/** A server's side: the gateway and the answering service, which crash and come back on what their disks hold. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Access, createGateway, type Gateway, type Permission } from '@tidemark/server'
import type { Log } from '@tidemark/server/log/log'
import { memoryLog } from '@tidemark/server/log/memory'
import { sqliteLog } from '@tidemark/server/log/sqlite'
import { defaultLimits, type System } from '@tidemark/shared'
import {
  BrokerHost,
  gatewaySubscription,
  otherSubscription,
  serviceSubscription,
} from './broker.ts'
import type { History } from './history.ts'
import { LogDisk } from './log-disk.ts'
import type { Network } from './network.ts'
import { redriveAll, type Which } from './operator.ts'
import { batchEventsMax, type Options } from './options.ts'
import type { Random } from './random.ts'
import { runService, serviceName } from './service.ts'
import { ServiceDisk } from './service-disk.ts'
import { audit, inventory, strictInventory } from './topics.ts'
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

/** Gateways that share a disk, the broker, and a service of several processes. */
export class Installation {
  readonly disk: LogDisk
  readonly broker: BrokerHost
  readonly gatewayMachines: readonly Machine[]
  /** Topics that nobody may append to for now, devices that are refused for good, and those that may not read. */
  readonly held = new Set<string>()
  readonly refused = new Set<string>()
  readonly forbidden = new Set<string>()
  readonly #options: InstallationOptions
  /** What the service has stored. */
  readonly orders: ServiceDisk
  /** The service's handlers fail no more. */
  isMended = false
  readonly #serviceMachines: readonly Machine[]
  readonly #serviceLives = new Map<Machine, Life>()
  #folder: string | undefined
  readonly #running = new Map<Machine, Running>()
  readonly #operatorMachine = new Machine('operator')

  constructor(options: InstallationOptions) {
    this.#options = options
    const { world, random, history } = options
    const { logDisk, deafShare, broker, gateways } = options.options
    this.gatewayMachines = Array.from(
      { length: gateways },
      (_, index) => new Machine(index === 0 ? host : `${host}-${index + 1}`),
    )
    this.disk = new LogDisk({
      world,
      random: random.fork('log disk'),
      history,
      faults: logDisk,
      deafShare,
      isReopened: options.options.log === 'sqlite',
      createImage: this.#chooseLog(options.options),
    })
    const { service } = options.options
    const brokerRandom = random.fork('broker')
    this.broker = new BrokerHost({ world, random: brokerRandom, history, faults: broker, service })
    this.orders = new ServiceDisk({
      world,
      random: random.fork('service disk'),
      history,
      faults: service.disk,
    })
    this.#serviceMachines = Array.from(
      { length: service.processes },
      (_, index) => new Machine(`service-${index}`),
    )
  }

  /** Lets go of what is not of this world: the files of a real database. */
  async close(): Promise<void> {
    await this.disk.close()
    if (this.#folder !== undefined) rmSync(this.#folder, { recursive: true, force: true })
  }

  /** Starts what is not running. */
  start(): void {
    for (const machine of this.gatewayMachines) {
      if (!this.#running.has(machine)) this.#startGateway(machine)
    }
    for (const machine of this.#serviceMachines) {
      if (!this.#serviceLives.has(machine)) this.#startService(machine)
    }
  }

  /** Kills a gateway; it comes back by itself after a while, maybe before anybody has noticed. */
  async crashGateway(): Promise<void> {
    const running = this.#pickRunning()
    if (!running) return
    this.#options.history.note(`${running.life.name} is killed`)
    this.#endGateway(running)
    await this.disk.crash()
    await this.disk.reread()
    this.#restart()
  }

  /**
   * Somebody stops the gateways and puts a copy of the log that was made so many ms ago in its place; or,
   * without one, they start on nothing. What the lost log has published would come back then as what another
   * gateway says, for nothing tells the two apart: whoever loses a log empties its subscription.
   */
  async restoreLog(ageMs?: number): Promise<void> {
    this.#options.history.note(
      ageMs === undefined ? 'the log is lost' : `the log is restored from ${ageMs} ms ago`,
    )
    for (const running of this.#running.values()) this.#endGateway(running)
    if (ageMs === undefined) this.broker.lostEpochs.add(this.disk.epoch)
    await this.disk.restore(ageMs)
    this.#restart()
  }

  /** Asks a gateway to go, as a deployment does. */
  stopGateway(): void {
    const running = this.#pickRunning()
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

  /** Lets what waits for a person try again: what the relay has parked, or everything. */
  async redrive(which: Which): Promise<void> {
    const { world, history } = this.#options
    const life = this.#operatorMachine.begin(world)
    await this.broker.readElsewhere(life)
    await redriveAll(
      {
        history,
        log: this.disk.logFor(life),
        topics: [inventory, audit],
        broker: this.broker.brokerForOperator(life),
        consumers: [
          { name: otherSubscription, topic: inventory },
          {
            name: serviceName,
            topic: inventory,
            subscription: serviceSubscription,
            processed: this.orders.processed,
          },
        ],
        system: life.system,
      },
      which,
    )
  }

  /** Kills a process of the service; it comes back on what is stored. */
  crashService(): void {
    const { random } = this.#options
    const machine = random.pick(this.#serviceMachines)
    const life = this.#serviceLives.get(machine)
    if (life) this.#killService(life)
  }

  /** A process of the service does nothing until then. */
  freezeService(until: number): void {
    this.#options.random.pick(this.#serviceMachines).freezeUntil(until)
  }

  /** When all processes of the service are awake. */
  get serviceFrozenUntil(): number {
    return Math.max(...this.#serviceMachines.map(({ frozenUntil }) => frozenUntil))
  }

  #killService(life: Life): void {
    if (life.isOver) return
    const { world, random, history } = this.#options
    history.note(`${life.name} is killed`)
    life.end()
    this.broker.drop(life)
    this.orders.drop(life)
    this.#serviceLives.delete(life.machine)
    world.after(random.exponential(restartMsMean), () => this.start())
  }

  /** The memory log, or for some seeds the real thing in a real file. */
  #chooseLog({ log }: Options): (system: System, file: number) => Log {
    if (log === 'memory') return (system) => memoryLog({ system })
    const folder = mkdtempSync(
      join(existsSync(sharedMemory) ? sharedMemory : tmpdir(), 'tidemark-'),
    )
    this.#folder = folder
    return (system, file) => sqliteLog(join(folder, `log-${file}.db`), { system })
  }

  #restart(): void {
    const { world, random } = this.#options
    world.after(random.exponential(restartMsMean), () => this.start())
  }

  #pickRunning(): Running | undefined {
    return this.#running.get(this.#options.random.pick(this.gatewayMachines))
  }

  #endGateway({ life }: Running): void {
    life.end()
    this.#running.delete(life.machine)
    this.#options.network.drop(life)
    this.broker.drop(life)
  }

  #startGateway(machine: Machine): void {
    const { world, network, history, options } = this.#options
    const life = machine.begin(world)
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
    this.#running.set(machine, { life, gateway })
    network.listen(host, life, (socket) => {
      const connection = gateway.connect(socket)
      return {
        onOpen() {},
        onMessage: (message) => connection.onMessage(message),
        onClose: () => connection.onClose(),
      }
    })
  }

  #startService(machine: Machine): void {
    const { world, random, history, onError, options } = this.#options
    const life = machine.begin(world)
    this.#serviceLives.set(machine, life)
    runService({
      life,
      broker: this.broker.brokerFor(life, false),
      disk: this.orders,
      history,
      random: random.fork(life.name),
      ordered: options.service.ordered,
      isMended: () => this.isMended,
      kill: () => this.#killService(life),
    }).catch(onError)
  }

  #authorize({ action, topic, principal }: Access): Permission {
    if (action === 'read') {
      if (!this.forbidden.has(principal.author)) return 'allow'
      this.#options.history.state({ type: 'barred', device: principal.author })
      return 'refuse'
    }
    if (this.refused.has(principal.author)) return 'refuse'
    return this.held.has(topic) ? 'hold' : 'allow'
  }
}
