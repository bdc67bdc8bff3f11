/**
 * Draws what one seed is about: how many of everything, how bad each part of the world is, and which
 * faults there are at all. Each seed leaves a random subset out (a swarm), for some bugs only show
 * where another fault does not hide them.
 */
import type { DiskFaults } from './disk.ts'
import type { NetworkFaults } from './network.ts'
import type { Random } from './random.ts'

/** How bad the broker is. Shares are of calls or messages, times in ms. */
export interface BrokerFaults {
  readonly delayMs: number
  /** Of calls that fail without having done anything. */
  readonly failShare: number
  /** Of sends that are stored and reported as failed. */
  readonly unknownShare: number
  /** Of settlements that are answered with success and forgotten. */
  readonly forgetShare: number
  /** Of messages that are handed out again after they were completed. */
  readonly repeatShare: number
  /** Of calls of receive that never settle, from then on. */
  readonly silentShare: number
  readonly throttleShare: number
  /** How long the broker knows an id, in ms. A message that comes twice within it is stored once. */
  readonly duplicateWindowMs: number
}

/** The mean time between two faults of a kind, in ms. 0: never. */
export interface Rates {
  readonly gatewayCrash: number
  readonly gatewayStop: number
  readonly gatewayFreeze: number
  readonly serviceCrash: number
  readonly tabCrash: number
  readonly tabReopen: number
  readonly powerCut: number
  readonly deviceFreeze: number
  readonly tabFreeze: number
  readonly partition: number
  readonly silence: number
  readonly reset: number
  readonly clockJump: number
  readonly logFull: number
  readonly deviceFull: number
  readonly hold: number
  readonly refuse: number
  readonly forbid: number
  readonly brokerDown: number
  readonly topicMissing: number
  readonly offlineSwitch: number
  readonly hint: number
  readonly serviceFreeze: number
  readonly redrive: number
  /** A browser puts a tab away, and tells it. */
  readonly tabAway: number
  /** The log comes back as an older copy. */
  readonly logRestore: number
  /** The log comes back as an empty file. */
  readonly logLoss: number
}

/** What the answering service is like. */
export interface ServiceOptions {
  /** Processes that compete for its events. */
  readonly processes: number
  /** Keeps the order of streams, by the broker's sessions. */
  readonly ordered: boolean
  /** A message that was handed out so often in vain is dead-lettered by the broker. */
  readonly deliveriesMax: number
  readonly disk: DiskFaults
}

/** Everything that a seed decides before its world starts. */
export interface Options {
  readonly seed: number
  readonly devices: number
  readonly tabsMax: number
  /** Tabs that each device opens at the start. */
  readonly tabs: number
  readonly gateways: number
  readonly log: 'memory' | 'sqlite'
  /** How long faults and work last, in ms. */
  readonly lastsMs: number
  readonly events: number
  readonly streams: number
  /** Of appends that come in a burst. */
  readonly burstShare: number
  /** Of appends that are a batch of several. */
  readonly batchShare: number
  /** Of what people do, the rest is facts. */
  readonly commandShare: number
  /** Keys of each model that a tab has room for. */
  readonly keysInMemoryMax: number
  /** Streams that only commands write to. */
  readonly shelves: number
  readonly silenceMsMax: number
  readonly unansweredEventsMax: number
  readonly unappliedBytesMax: number
  readonly network: NetworkFaults
  readonly deviceDisk: DiskFaults
  readonly logDisk: DiskFaults
  readonly deafShare: number
  readonly broker: BrokerFaults
  readonly service: ServiceOptions
  readonly rates: Rates
  /** How far a device's wall clock may be off, in ms, and how fast it may run. */
  readonly clockSkewMs: number
}

/** Attempts of the service at an event before its stream is parked. */
export const attemptsMax = 3
/** Events in the biggest batch that anybody appends, and that the gateway takes. */
export const batchEventsMax = 5

const minute = 60_000

/** Either nothing, or something; each seed tosses a coin for each fault. */
function drawRates(random: Random, mildness: number): Rates {
  const rate = (meanMs: number, share = 0.5) =>
    random.chance(share) ? meanMs * mildness * random.between(0.5, 2) : 0
  return {
    gatewayCrash: rate(1.5 * minute, 0.7),
    gatewayStop: rate(3 * minute),
    gatewayFreeze: rate(4 * minute, 0.3),
    serviceCrash: rate(2 * minute),
    tabCrash: rate(1.5 * minute, 0.7),
    tabReopen: rate(2 * minute),
    powerCut: rate(3 * minute, 0.3),
    deviceFreeze: rate(4 * minute, 0.3),
    tabFreeze: rate(2 * minute, 0.4),
    partition: rate(1.5 * minute, 0.6),
    silence: rate(2 * minute),
    reset: rate(1 * minute),
    clockJump: rate(2 * minute),
    logFull: rate(3 * minute, 0.4),
    deviceFull: rate(4 * minute, 0.3),
    hold: rate(3 * minute, 0.4),
    refuse: rate(3 * minute, 0.3),
    forbid: rate(4 * minute, 0.3),
    brokerDown: rate(3 * minute, 0.4),
    topicMissing: rate(6 * minute, 0.2),
    offlineSwitch: rate(2 * minute),
    hint: rate(minute),
    serviceFreeze: rate(3 * minute, 0.3),
    redrive: rate(2 * minute),
    tabAway: rate(2 * minute, 0.4),
    logRestore: rate(4 * minute, 0.3),
    logLoss: rate(8 * minute, 0.15),
  }
}

function drawNetwork(random: Random): NetworkFaults {
  const share = (most: number) => (random.chance(0.5) ? random.between(0, most) : 0)
  return {
    delayMs: random.pick([1, 10, 30, 100, 400]),
    clogShare: share(0.03),
    clogMs: random.between(500, 5_000),
    refusedShare: share(0.4),
    resetMs: random.chance(0.4) ? random.between(5_000, 2 * minute) : 0,
    silentMs: random.chance(0.4) ? random.between(20_000, 4 * minute) : 0,
    lateShare: share(0.5),
  }
}

function drawDisk(random: Random, canBeUnknown: boolean): DiskFaults {
  const share = (most: number) => (random.chance(0.4) ? random.between(0, most) : 0)
  return {
    writeMs: random.pick([0.5, 3, 15, 60]),
    readMs: random.pick([0.2, 1, 5]),
    stallShare: share(0.02),
    stallMs: random.between(200, 4_000),
    failShare: share(0.05),
    unknownShare: canBeUnknown ? share(0.05) : 0,
  }
}

function drawBroker(random: Random): BrokerFaults {
  const share = (most: number) => (random.chance(0.5) ? random.between(0, most) : 0)
  return {
    delayMs: random.pick([2, 20, 100]),
    failShare: share(0.1),
    unknownShare: share(0.1),
    forgetShare: share(0.1),
    repeatShare: share(0.1),
    silentShare: share(0.02),
    throttleShare: share(0.1),
    duplicateWindowMs: random.pick([0, 20_000]),
  }
}

function drawService(random: Random): ServiceOptions {
  return {
    processes: random.pick([1, 2]),
    ordered: random.chance(0.6),
    deliveriesMax: random.chance(0.8) ? 1_000_000 : 4,
    disk: drawDisk(random.fork('disk'), true),
  }
}

/** The options of a seed: the same for the same seed. `rates` are put in place of those that it draws. */
export function drawOptions(seed: number, random: Random, rates: Partial<Rates> = {}): Options {
  const lastsMs = random.pick([2, 4, 8]) * minute
  const tabsMax = random.pick([1, 2, 2, 3])
  return {
    seed,
    devices: random.pick([2, 2, 3]),
    tabsMax,
    tabs: 1 + random.below(Math.min(2, tabsMax)),
    // The image of a real database is opened anew after a crash, which another gateway could not bear.
    gateways: seed % 20 === 0 ? 1 : random.pick([1, 1, 2]),
    log: seed % 20 === 0 ? 'sqlite' : 'memory',
    lastsMs,
    events: 20 + random.below(100),
    streams: 1 + random.below(6),
    burstShare: random.between(0, 0.5),
    batchShare: random.chance(0.5) ? random.between(0, 0.4) : 0,
    commandShare: random.pick([0, 0.3, 0.3, 0.7]),
    keysInMemoryMax: random.pick([1, 2, 4, 20_000, 20_000]),
    shelves: 1 + random.below(2),
    silenceMsMax: random.pick([9_000, 20_000, 45_000]),
    unansweredEventsMax: random.pick([batchEventsMax, 20, 4_000]),
    unappliedBytesMax: random.pick([2_000, 20_000, 4_194_304]),
    network: drawNetwork(random.fork('network')),
    deviceDisk: drawDisk(random.fork('device disk'), false),
    logDisk: drawDisk(random.fork('log disk'), true),
    deafShare: random.chance(0.3) ? random.between(0, 1) : 0,
    broker: drawBroker(random.fork('broker')),
    service: drawService(random.fork('service')),
    rates: { ...drawRates(random.fork('rates'), random.pick([0.5, 1, 2])), ...rates },
    clockSkewMs: random.chance(0.5) ? random.pick([5_000, 3_600_000, 30 * 86_400_000]) : 0,
  }
}
