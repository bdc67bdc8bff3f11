/** Lets faults happen, each at the rate that its seed has drawn, until the world is to heal. */
import type { Device } from './device.ts'
import type { Installation } from './installation.ts'
import type { Network } from './network.ts'
import type { Options, Rates } from './options.ts'
import type { Random } from './random.ts'
import { audit, inventory } from './topics.ts'
import type { World } from './world.ts'

/** All that can break. */
export interface Breakable {
  readonly world: World
  readonly random: Random
  readonly network: Network
  readonly devices: readonly Device[]
  readonly installation: Installation
  readonly options: Options
  readonly onError: (error: unknown) => void
}

type Act = (breakable: Breakable, random: Random) => void | Promise<void>

const minute = 60_000

/** Something is switched on for a while. */
const forAWhile = (world: World, random: Random, meanMs: number, set: (on: boolean) => void) => {
  set(true)
  world.after(random.exponential(meanMs), () => set(false))
}

const hasTabs = ({ tabs }: Device): boolean => tabs.length > 0

/** What each fault does. */
const acts: { readonly [Kind in keyof Rates]: Act } = {
  gatewayCrash: ({ installation }) => installation.crashGateway(),
  gatewayStop: ({ installation }) => installation.stopGateway(),
  gatewayFreeze: ({ installation, world }, random) => {
    random.pick(installation.gatewayMachines).freezeUntil(world.now + random.exponential(10_000))
  },
  serviceCrash: ({ installation }) => installation.crashService(),
  tabCrash: ({ devices, world }, random) => {
    const device = random.pick(devices)
    if (!hasTabs(device)) return
    device.crash(random.pick(device.tabs))
    reopenLater(world, random, device)
  },
  tabReopen: ({ devices, options, world }, random) => {
    const device = random.pick(devices)
    if (device.tabs.length < options.tabsMax && random.chance(0.5)) return void device.open()
    if (!hasTabs(device)) return
    device.close(random.pick(device.tabs))
    reopenLater(world, random, device)
  },
  powerCut: async ({ devices, world }, random) => {
    const device = random.pick(devices)
    await device.cutPower()
    reopenLater(world, random, device)
  },
  deviceFreeze: ({ devices, world }, random) => {
    random.pick(devices).machine.freezeUntil(world.now + random.exponential(90_000))
  },
  tabFreeze: ({ devices, world }, random) => {
    const device = random.pick(devices)
    // The one that leads was there before the others, more often than not.
    if (device.tabs.length > 1)
      device.tabs[0]?.life.freezeUntil(world.now + random.exponential(30_000))
  },
  tabAway: ({ devices, world }, random) => {
    const device = random.pick(devices)
    if (!hasTabs(device)) return
    const tab = random.pick(device.tabs)
    const ms = random.exponential(30_000)
    const isAway = device.hints.putAway(tab.life, ms)
    // Of the pages that are kept for the way back, some are thrown away.
    if (!isAway || !random.chance(0.3)) return
    world.after(ms, () => {
      if (tab.life.isOver) return
      device.crash(tab)
      reopenLater(world, random, device)
    })
  },
  partition: ({ devices, network, world }, random) => {
    const { name } = random.chance(0.8) ? random.pick(devices) : { name: 'gateway' }
    network.cut(name, random.pick(['both', 'both', 'in', 'out']))
    world.after(random.exponential(40_000), () => network.join(name))
  },
  silence: ({ devices, network }, random) =>
    network.silence(random.pick(devices).name, random.pick(['client', 'gateway', 'both'])),
  reset: ({ devices, network }, random) => network.reset(random.pick(devices).name),
  clockJump: ({ devices, installation }, random) => {
    const machines = [...installation.gatewayMachines, ...devices.map(({ machine }) => machine)]
    random.pick(machines).clock.offsetMs += random.between(-1, 1) * random.exponential(3_600_000)
  },
  logFull: ({ installation, world }, random) =>
    forAWhile(world, random, 20_000, (isFull) => (installation.disk.arm.isFull = isFull)),
  deviceFull: ({ devices, world }, random) => {
    const { disk } = random.pick(devices)
    forAWhile(world, random, 20_000, (isFull) => (disk.arm.isFull = isFull))
  },
  hold: ({ installation, world }, random) => {
    const { name } = random.pick([audit, inventory])
    forAWhile(world, random, 30_000, (isHeld) =>
      isHeld ? installation.held.add(name) : installation.held.delete(name),
    )
  },
  refuse: ({ installation, devices, world }, random) => {
    const { name } = random.pick(devices)
    forAWhile(world, random, 15_000, (isRefused) =>
      isRefused ? installation.refused.add(name) : installation.refused.delete(name),
    )
  },
  forbid: ({ installation, devices, world }, random) => {
    const { name } = random.pick(devices)
    forAWhile(world, random, 30_000, (isForbidden) =>
      isForbidden ? installation.forbidden.add(name) : installation.forbidden.delete(name),
    )
  },
  brokerDown: ({ installation, world }, random) =>
    forAWhile(world, random, 30_000, (isDown) => (installation.broker.isDown = isDown)),
  topicMissing: ({ installation, world }, random) =>
    forAWhile(world, random, minute, (isMissing) => (installation.broker.isMissing = isMissing)),
  serviceFreeze: ({ installation, world }, random) =>
    installation.freezeService(world.now + random.exponential(8_000)),
  redrive: ({ installation }) => installation.redrive('all'),
  logRestore: ({ installation }, random) => installation.restoreLog(random.exponential(30_000)),
  logLoss: ({ installation }) => installation.restoreLog(),
  hint: ({ devices }, random) => random.pick(devices).hints.hint(),
  offlineSwitch: ({ devices, world }, random) => {
    const device = random.pick(devices)
    if (!hasTabs(device)) return
    const tab = random.pick(device.tabs)
    tab.isPaused = true
    tab.client.pause()
    world.after(random.exponential(minute), () => {
      if (tab.life.isOver || !tab.isPaused) return
      tab.isPaused = false
      tab.client.resume()
    })
  },
}

function reopenLater(world: World, random: Random, device: Device): void {
  world.after(random.exponential(random.pick([500, 5_000, 40_000])), () => {
    if (!hasTabs(device)) device.open()
  })
}

/** Starts all faults of a seed. The answer stops them; what is switched on goes off by `heal`. */
export function startFaults(breakable: Breakable): () => void {
  const { world, random, options, onError } = breakable
  let isOver = false
  for (const [kind, act] of Object.entries(acts)) {
    const meanMs = options.rates[kind as keyof Rates]
    if (meanMs === 0) continue
    const draws = random.fork(kind)
    const strike = () => {
      if (isOver) return
      void Promise.resolve(act(breakable, draws)).catch(onError)
      world.after(draws.exponential(meanMs), strike)
    }
    world.after(draws.exponential(meanMs), strike)
  }
  return () => {
    isOver = true
  }
}
