import { type EventId, parseClaim, parseEntry } from '@tidemark/shared'
import { expect, test } from 'vitest'
import { createDisk, type Disk } from './store/memory.ts'
import { createTestSystem, type TestSystem } from './testing.ts'
import { copyOf, TestGateway } from './testing/gateway.ts'
import { type Bench, inventory, inventoryLog, openBench } from './testing/inventory.ts'
import { withdraw } from './withdraw.ts'

const log = inventoryLog().name

/** Where each event is that the disk knows of as its own. */
function placesOf(disk: Disk): Map<EventId, string[]> {
  const places = new Map<EventId, string[]>()
  const put = (id: EventId, place: string) => places.set(id, [...(places.get(id) ?? []), place])
  for (const { lines } of disk.outbox.values()) {
    for (const line of lines) put(parseClaim(line).id, 'pending')
  }
  for (const id of disk.refused.keys()) put(id, 'refused')
  for (const { type, ids } of disk.fates) for (const id of ids) put(id, type)
  for (const line of disk.logs.get('inventory/default')?.lines ?? []) {
    put(parseEntry(log, line).id, 'accepted')
  }
  return places
}

class Device {
  readonly disk = createDisk()
  readonly ids = new Set<EventId>()
  readonly settled = new Map<EventId, unknown>()
  readonly #system: TestSystem
  bench: Bench

  constructor(system: TestSystem) {
    this.#system = system
    this.bench = openBench({ disk: this.disk, system })
  }

  check(): void {
    for (const { lines } of this.disk.outbox.values()) {
      for (const line of lines) this.ids.add(parseClaim(line).id)
    }
    const places = placesOf(this.disk)
    for (const id of this.ids) {
      expect([id, places.get(id)?.length, places.get(id)]).toEqual([id, 1, places.get(id)])
    }
  }

  async reload(): Promise<void> {
    await this.bench.client.close()
    this.bench = openBench({ disk: this.disk, system: this.#system })
  }

  async act(random: () => number): Promise<void> {
    const { client } = this.bench
    const stream = `sku-${Math.floor(random() * 2)}`
    const quantity = 1 + Math.floor(random() * 3)
    const item = client.model.item(stream)
    const what = random()
    if (what < 0.3) await client.append(inventory.stream(stream).StockReceived({ quantity }))
    else if (what < 0.6) await this.#watch(item.pick({ quantity }))
    else if (what < 0.8) await this.#watch(item.pickInTwo({ quantity }))
    else if (what < 0.9) {
      const [row] = [...this.disk.outbox.values()].slice(-1)
      if (row) await withdraw(client, parseClaim(row.lines[0] ?? '').id)
    } else if (this.bench.connections.length > 0) this.bench.connection().drop()
  }

  async #watch(
    calling:
      | ReturnType<ReturnType<Bench['client']['model']['item']>['pick']>
      | ReturnType<ReturnType<Bench['client']['model']['item']>['pickInTwo']>,
  ) {
    const called = await calling
    if (called.ok) void called.settled.then((settled) => this.settled.set(called.ids[0]!, settled))
  }
}

/** The gateway comes back with half of its log. */
async function restored(gateway: TestGateway, devices: readonly Device[]): Promise<TestGateway> {
  const copy = copyOf(gateway.log, Math.floor(gateway.log.head / 2))
  for (const { bench } of devices) if (bench.connections.length > 0) bench.connection().drop()
  for (const device of devices) device.check()
  return new TestGateway(copy)
}

test('[X10] at every moment every event is in one place: pending, accepted, refused, superseded or withdrawn', async () => {
  let conflicts = 0
  for (let seed = 1; seed <= 12; seed++) {
    const system = createTestSystem({ seed })
    let gateway = new TestGateway(inventoryLog())
    const devices = [new Device(system), new Device(system)]
    for (let step = 0; step < 60; step++) {
      if (seed % 2 === 0 && step === 40) gateway = await restored(gateway, devices)
      const device = devices[Math.floor(system.random() * 2)]!
      const what = system.random()
      if (what < 0.6) await device.act(system.random)
      else if (what < 0.9) {
        if (device.bench.connections.length > 0) gateway.serve(device.bench.connection())
      } else if (what < 0.93) await device.reload()
      else await system.advance(2_000)
      await system.settle()
      for (const each of devices) each.check()
    }
    for (let round = 0; round < 60; round++) {
      for (const { bench } of devices) {
        if (bench.connections.length > 0) gateway.serve(bench.connection())
        await system.advance(500)
      }
    }
    for (const device of devices) {
      device.check()
      expect(device.disk.outbox.size).toBe(0)
      expect(device.bench.errors).toEqual([])
      for (const stream of ['sku-0', 'sku-1']) {
        const snapshot = device.bench.client.model.item(stream).getSnapshot()
        expect(snapshot.state).toEqual(
          devices[0]!.bench.client.model.item(stream).getSnapshot().state,
        )
        // What comes back as a fact after a restore is not decided again.
        if (seed % 2 === 1) expect(snapshot.state?.onHand ?? 0).toBeGreaterThanOrEqual(0)
      }
      conflicts += device.disk.fates.filter(({ type }) => type === 'superseded').length
      await device.bench.client.close()
    }
  }
  expect(conflicts).toBeGreaterThan(10)
})
