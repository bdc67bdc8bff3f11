/**
 * One seed: builds a world, lets people work and things break, heals everything, and then demands that
 * it all comes together: every event answered, every reader at the head, the broker and the log equal.
 */
import { Judge } from './checks.ts'
import { Violation } from './invariants.ts'
import { Device } from './device.ts'
import { soundDisk } from './disk.ts'
import { soundBroker } from './broker.ts'
import { startFaults } from './faults.ts'
import { History } from './history.ts'
import { host, Installation } from './installation.ts'
import { Liveness } from './liveness.ts'
import { Network } from './network.ts'
import { drawOptions, type Options, type Rates } from './options.ts'
import { Overhearing } from './overhear.ts'
import { Random } from './random.ts'
import { Workload } from './workload.ts'
import { startComparing } from './shown.ts'
import { World } from './world.ts'

/** How a seed went. */
export interface Result {
  readonly seed: number
  readonly steps: number
  /** Virtual time that passed, in ms. */
  readonly virtualMs: number
  readonly events: number
  /** How long everything took to come together after the last fault, in virtual ms. */
  readonly healedMs: number
  /** Two runs of a seed that were the same have the same digest. */
  readonly digest: string
  readonly options: Options
  /** How often what happened, so that it shows that a run was about something. */
  readonly counts: Readonly<Record<string, number>>
  readonly failure?: Failure
}

/** What went wrong, and what came before it. */
export interface Failure {
  readonly invariant: string
  readonly message: string
  readonly lastLines: readonly string[]
}

const linesShown = 60

/** Everything of one run. */
interface Stage {
  readonly world: World
  readonly history: History
  readonly judge: Judge
  readonly network: Network
  readonly installation: Installation
  readonly devices: readonly Device[]
  readonly workload: Workload
  readonly liveness: Liveness
  readonly options: Options
  readonly random: Random
}

/** Runs one seed. Never throws: what goes wrong is in the result. `rates` change what the seed has drawn. */
export async function simulate(seed: number, rates: Partial<Rates> = {}): Promise<Result> {
  const random = new Random(seed)
  const stage = setStage(random, drawOptions(seed, random.fork('options'), rates))
  const { world, history, workload } = stage
  const onStray = (error: unknown) =>
    history.complain(new Violation('X1', error instanceof Error ? `${error.stack}` : String(error)))
  process.on('unhandledRejection', onStray)
  process.on('uncaughtException', onStray)
  let healedMs = 0
  let failure: Failure | undefined
  try {
    healedMs = await play(stage)
  } catch (error) {
    failure = explain(error, stage)
  } finally {
    process.off('unhandledRejection', onStray)
    process.off('uncaughtException', onStray)
    await stage.installation.close()
  }
  return {
    seed,
    steps: world.steps,
    virtualMs: world.now,
    events: workload.events,
    healedMs,
    digest: history.digest,
    options: stage.options,
    counts: history.counts,
    ...(failure && { failure }),
  }
}

function setStage(random: Random, options: Options): Stage {
  const world = new World(random.fork('world'))
  const history = new History()
  history.stamp = () => `${world.steps} ${(world.now / 1_000).toFixed(3)}s`
  const judge = new Judge()
  history.judge((fact) => judge.see(fact))
  judge.isOrdered = options.service.ordered && options.service.deliveriesMax > 1_000
  const network = new Network(world, random.fork('network'), options.network)
  const overhearing = new Overhearing(history)
  network.onSent = (heard) => overhearing.sent(heard)
  network.onReceived = (heard) => overhearing.received(heard)
  const onError = (error: unknown) => history.note(`reported: ${String(error).slice(0, 200)}`)
  const installation = new Installation({
    world,
    random: random.fork('installation'),
    history,
    network,
    options,
    onError,
  })
  const devices = Array.from(
    { length: options.devices },
    (_, index) =>
      new Device({
        world,
        random: random.fork(`device ${index}`),
        history,
        network,
        name: `device-${index}`,
        faults: options.deviceDisk,
        url: `ws://${host}/`,
        keysInMemoryMax: options.keysInMemoryMax,
        onError,
      }),
  )
  for (const { machine } of devices) {
    machine.clock.offsetMs = Math.round((random.float() - 0.5) * 2 * options.clockSkewMs)
    machine.clock.rate = 1 + (random.float() - 0.5) * 0.001
  }
  world.watch(() => {
    if (history.wrong !== undefined) throw history.wrong
  })
  const workload = new Workload(world, random.fork('workload'), options, devices)
  const liveness = new Liveness({
    world,
    judge,
    network,
    devices,
    installation,
    overhearing,
    history,
  })
  return {
    world,
    history,
    judge,
    network,
    installation,
    devices,
    workload,
    liveness,
    options,
    random,
  }
}

/** All phases. Answers with how long the healing took, in virtual ms. */
async function play(stage: Stage): Promise<number> {
  const { world, installation, devices, workload, liveness, options, random } = stage
  installation.start()
  for (const device of devices) {
    for (let tab = 0; tab < options.tabs; tab++) device.open()
  }
  workload.start()
  const stopFaults = startFaults({
    ...stage,
    random: random.fork('faults'),
    onError: (error) => stage.history.complain(error),
  })
  const stopComparing = startComparing({ ...stage, random: random.fork('comparing') })
  await world.runUntil(options.lastsMs)
  workload.stop()
  stopComparing()
  stopFaults()
  const machines = [...installation.gatewayMachines, ...devices.map(({ machine }) => machine)]
  const tabs = devices.flatMap((device) => device.tabs.map(({ life }) => life))
  const wakings = [...machines, ...tabs].map(({ frozenUntil }) => frozenUntil)
  await world.runUntil(Math.max(world.now, installation.serviceFrozenUntil, ...wakings))
  const startOfHealing = world.now
  heal(stage)
  await liveness.converge(options)
  const healedMs = world.now - startOfHealing
  // Only now somebody mends what always failed: until then it had to be parked, and told.
  installation.isMended = true
  await liveness.converge(options)
  await liveness.compareStates()
  await liveness.probe(workload)
  await readEverything(stage)
  return healedMs
}

/** Ends every fault that can end. What is dead has to be found out by those who live. */
function heal({ history, network, installation, devices }: Stage): void {
  history.note('everything heals')
  network.heal()
  installation.disk.arm.faults = soundDisk
  installation.disk.arm.isFull = false
  installation.held.clear()
  installation.refused.clear()
  installation.forbidden.clear()
  installation.broker.faults = soundBroker
  installation.orders.faults = soundDisk
  installation.broker.isDown = false
  installation.broker.isMissing = false
  installation.start()
  for (const device of devices) {
    device.disk.arm.faults = soundDisk
    device.disk.arm.isFull = false
    if (device.tabs.length === 0) device.open()
    for (const tab of device.tabs) {
      if (!tab.isPaused) continue
      tab.isPaused = false
      tab.client.resume()
    }
  }
}

/** The final read: of the log, of every device's disk, and of what every tab shows. */
async function readEverything(stage: Stage): Promise<void> {
  const { history, installation, devices, liveness } = stage
  await installation.disk.reread()
  for (const device of devices) await device.disk.look()
  await liveness.compareStates()
  await liveness.askVerdicts()
  if (history.wrong !== undefined) throw history.wrong
}

function explain(error: unknown, { history }: Stage): Failure {
  const isViolation = error instanceof Violation
  return {
    invariant: isViolation ? error.invariant : 'X1',
    message: error instanceof Error && !isViolation ? `${error.stack}` : String(error),
    lastLines: history.last(linesShown),
  }
}
