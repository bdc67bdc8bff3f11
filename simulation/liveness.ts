/**
 * What has to happen once nothing is broken any more: everything comes together within a bound, and an
 * idle link does not sleep through an append.
 */
import type { EventId } from '@tidemark/shared'
import type { Judge, Outcome } from './checks.ts'
import { Violation } from './invariants.ts'
import type { Device, Tab } from './device.ts'
import type { History } from './history.ts'
import type { Installation } from './installation.ts'
import type { Network } from './network.ts'
import type { Options } from './options.ts'
import type { Overhearing } from './overhear.ts'
import { compareShown } from './shown.ts'
import { auditLog, inventoryLog } from './topics.ts'
import type { Workload } from './workload.ts'
import type { World } from './world.ts'

/** What liveness looks at. */
export interface LivenessOptions {
  readonly world: World
  readonly judge: Judge
  readonly network: Network
  readonly devices: readonly Device[]
  readonly installation: Installation
  readonly overhearing: Overhearing
  readonly history: History
}

/** A link that can move has to, within this time: after 30 s without an answer, at the next look, a client gives it up. */
const wedgedMs = 40_000
/** An append on an idle link is on its way within this time. */
const wakeMs = 1_000
/** What is appended on links that are alive has come together within this time. */
const settleMs = 10_000
/** Of each device, about so many of its newest events it is asked what became of them. */
const verdictsAsked = 8
/** A lock that a dead process holds on the broker, and a backoff on top. */
const busMs = 90_000

/** Watches over the end of a run. */
export class Liveness {
  readonly #options: LivenessOptions

  constructor(options: LivenessOptions) {
    this.#options = options
  }

  /** Waits until everything has come together. Throws where it does not in time. */
  async converge({ silenceMsMax }: Options): Promise<void> {
    const { world, installation } = this.#options
    // A dead link is noticed after its silence, then comes a backoff, and what was held is offered once a minute.
    // An event that kills its process does so at each attempt, and each time a lock has to end.
    const deadline = world.now + silenceMsMax * 2 + 240_000
    const seen = new Map<Device, { progress: string; at: number }>()
    let redriveAt = world.now
    while (this.#late() !== undefined) {
      if (world.now >= deadline) throw this.#late() ?? new Error('unreachable')
      if (world.now >= redriveAt) {
        // What services have set aside waits until somebody has mended them.
        await world.runThrough(
          deadline,
          installation.redrive(installation.isMended ? 'all' : 'relay'),
        )
        redriveAt = world.now + 10_000
      }
      await world.runUntil(Math.min(deadline, world.now + 250))
      for (const device of this.#options.devices) this.#checkWedged(device, seen)
    }
  }

  /** Appends on links that are idle, one after the other, and looks when each is sent. */
  async probe(workload: Workload): Promise<void> {
    const { devices, overhearing } = this.#options
    const sent = new Set<string>()
    overhearing.onSubmitted = (_from, ids) => ids.forEach((id) => sent.add(id))
    for (let round = 0; round < 3; round++) {
      for (const device of devices) {
        for (const tab of device.tabs) await this.#probeTab(workload, device, tab, sent)
      }
      await this.#settle()
    }
  }

  async #probeTab(
    workload: Workload,
    device: Device,
    tab: Tab,
    sent: ReadonlySet<string>,
  ): Promise<void> {
    const { world, judge, history } = this.#options
    history.note(`${tab.life.name} probes`)
    const count = judge.appendedBy(device.name).length
    void workload.appendOne(device, tab)
    const appended = () => judge.appendedBy(device.name)[count]
    await world.runUntil(world.now + wakeMs, () => appended() !== undefined)
    const isSent = () => sent.has(appended() ?? '')
    await world.runUntil(world.now + wakeMs, isSent)
    if (!isSent()) {
      throw new Violation('L4', `${tab.life.name} has not sent ${appended()} after ${wakeMs} ms.`)
    }
  }

  /** What every tab shows is what its disk and the log say. */
  async compareStates(): Promise<void> {
    const { world, devices, judge } = this.#options
    for (const device of devices) {
      for (const tab of device.tabs) {
        const deadline = world.now + settleMs
        let compared = 'unsure'
        while (compared === 'unsure' && world.now < deadline) {
          compared =
            (await world.runThrough(deadline, compareShown(judge, device, tab))) ?? 'unsure'
        }
        if (compared === 'unsure') {
          throw new Violation('L2', `${tab.life.name} does not come up to its disk.`)
        }
      }
    }
  }

  /** A device knows what became of what it has appended, however long ago and by whichever tab. */
  async askVerdicts(): Promise<void> {
    const { world, devices, judge } = this.#options
    for (const { name, tabs } of devices) {
      const [tab] = tabs
      for (const id of judge.appendedBy(name).slice(-verdictsAsked)) {
        const expected = judge.outcome(id)
        if (!tab || !expected) continue
        const asking = tab.client.verdict(id as EventId)
        const found = await world.runThrough(world.now + settleMs, asking)
        const { type, position = undefined } = { ...found } as Partial<Outcome>
        if (type === expected.type && position === expected.position) continue
        const what = `${tab.life.name} says that ${id} is ${type} at ${position}`
        throw new Violation('I8', `${what}, and it is ${JSON.stringify(expected)}.`)
      }
    }
  }

  /** After a probe, devices come together at once; the bus may still be waiting out an old backoff. */
  async #settle(): Promise<void> {
    const { world } = this.#options
    const startedAt = world.now
    let busAt = startedAt
    for (let late = this.#late(); late !== undefined; late = this.#late()) {
      const isBus = late.invariant === 'L5' || late.invariant === 'I15'
      if (isBus) busAt = world.now
      if (world.now >= (isBus ? startedAt + busMs : busAt + settleMs)) throw late
      await world.runUntil(world.now + 100)
    }
  }

  /** The first thing that has not come together yet. */
  #late(): Violation | undefined {
    const { devices, judge, network, overhearing } = this.#options
    for (const device of devices) {
      if (!network.alive(device.name).some((id) => overhearing.isWelcomed(id))) {
        return new Violation('L2', `${device.name} has no link that is alive.`)
      }
      const [pending] = judge.pending(device.name)
      if (pending) return new Violation('L1', `${pending} has no verdict on ${device.name}.`)
      const head = judge.ids(inventoryLog).length
      const position = judge.position(device.name, inventoryLog)
      if (position < head)
        return new Violation('L2', `${device.name} is at ${position} of ${head}.`)
      for (const tab of device.tabs) {
        const late = lateTab(tab, head)
        if (late) return late
      }
    }
    const [unpublished] = [...judge.unpublished(inventoryLog), ...judge.unpublished(auditLog)]
    if (unpublished) return new Violation('L5', `${unpublished} is not with the broker.`)
    const [unheard] = judge.unheard()
    if (unheard) return new Violation('L5', `${unheard} of a service is not in the log.`)
    return this.#lateService()
  }

  /** Everything that was published is done, or waits for a person who was told of it. */
  #lateService(): Violation | undefined {
    const { judge, installation } = this.#options
    const { broker, orders, isMended } = installation
    const unfinished = orders.unfinished()
    if (unfinished) return new Violation('L5', `At the service ${unfinished}.`)
    const parked = isMended ? orders.parkedKeys().length : 0
    if (parked > 0) return new Violation('L5', `${parked} streams of the service are parked.`)
    const dead = isMended ? broker.deadLetters().length : 0
    if (dead > 0) return new Violation('L5', `${dead} dead letters are left at the broker.`)
    if (broker.waiting > 0) return new Violation('L5', `${broker.waiting} messages wait.`)
    const elsewhere = new Set([...orders.aside(), ...broker.deadLetters()])
    const undone = judge.undone(inventoryLog, (id) => elsewhere.has(id))
    if (undone) return new Violation('I15', `${undone} is neither done nor waits for a person.`)
    const untold = judge.untold()
    return untold ? new Violation('I15', `Nobody is told that ${untold} is parked.`) : undefined
  }

  /** A device whose tab says that it is online, and that has something to send, must get on. */
  #checkWedged(device: Device, seen: Map<Device, { progress: string; at: number }>): void {
    const { world, judge } = this.#options
    const pending = judge.pending(device.name)
    const progress = `${pending.length} ${judge.position(device.name, inventoryLog)}`
    const isOnline = device.tabs.some(({ client }) => {
      const { link, logs } = client.status.getSnapshot()
      // What is held is offered again once a minute, and the status says that it waits.
      return link === 'online' && Object.values(logs).every(({ forbidden }) => !forbidden)
    })
    const before = seen.get(device)
    if (!isOnline || pending.length === 0 || before?.progress !== progress) {
      seen.set(device, { progress, at: world.now })
    } else if (world.now - before.at > wedgedMs) {
      throw new Violation('L3', `${device.name} is online and has not moved for ${wedgedMs} ms.`)
    }
  }
}

function lateTab({ life, client, waiting, unsettled }: Tab, head: number): Violation | undefined {
  const { pending, logs } = client.status.getSnapshot()
  if (waiting > 0) return new Violation('L1', `${waiting} appends of ${life.name} never ended.`)
  if (pending > 0) return new Violation('L1', `${life.name} still shows ${pending} as pending.`)
  const [id] = unsettled
  if (id) return new Violation('L1', `${life.name} was not told what became of ${id}.`)
  if (Object.values(logs).some(({ forbidden }) => forbidden)) {
    return new Violation('L2', `${life.name} still takes a log for forbidden.`)
  }
  const { position = 0, caughtUp = false } = logs[inventoryLog.topic] ?? {}
  if (!caughtUp) return new Violation('L2', `${life.name} does not call itself caught up.`)
  if (position < head) return new Violation('L2', `${life.name} shows ${position} of ${head}.`)
  return undefined
}
