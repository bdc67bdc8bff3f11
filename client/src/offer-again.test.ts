import {
  type EventId,
  parseClaim,
  parseEntry,
  type Position,
  TidemarkError,
} from '@tidemark/shared'
import { expect, test } from 'vitest'
import { createDisk, type Disk } from './store/memory.ts'
import { createTestSystem, createTestTabs, TestLog, welcome } from './testing.ts'
import { copyOf, TestGateway } from './testing/gateway.ts'
import {
  type Bench,
  foreignLine,
  inventoryLog,
  openBench,
  picked,
  received,
  talk,
} from './testing/inventory.ts'

const onHand = (bench: Bench, key = 'sku-1') => bench.client.model.item(key).get()?.onHand
const idsIn = (log: TestLog) => log.lines.map((line) => parseEntry(log.name, line).id)
const pendingIn = (disk: Disk) => [...disk.outbox.values()].map(({ lines }) => lines)

/** The gateway's process ends; what comes back has a copy of its log. */
async function restore(gateway: TestGateway, upTo: number, ...benches: readonly Bench[]) {
  const [bench] = benches
  for (const each of benches) if (each.connections.length > 0) each.connection().drop()
  await bench?.system.advance(2_000)
  return new TestGateway(copyOf(gateway.log, upTo))
}

/** A device with five entries: of its own a fact, a batch of two and another fact; one is somebody else's. */
async function openWithEntries(options: Parameters<typeof openBench>[0] = {}) {
  const disk = options.disk ?? createDisk()
  const bench = openBench({ disk, ...options })
  const gateway = new TestGateway(inventoryLog())
  await bench.client.append(received(10))
  await bench.client.append([received(20), picked(1)])
  await talk(gateway, bench)
  gateway.log.append([foreignLine(1, 100)], 'ben')
  await bench.client.append(received(40))
  await talk(gateway, bench)
  expect([gateway.log.head, disk.outbox.size, onHand(bench)]).toEqual([5, 0, 169])
  return { bench, gateway, disk }
}

test('[P13] what a restored log has lost of this user is offered again, before what was appended since', async () => {
  const { bench, gateway, disk } = await openWithEntries()
  const before = gateway.log.lines
  const restored = await restore(gateway, 1, bench)
  await bench.client.append(picked(5))
  const shown = new Set<unknown>()
  const item = bench.client.model.item('sku-1')
  item.subscribe(() => shown.add(item.get()?.onHand))
  restored.isDelivering = false
  // Until the gateway has heard of it, it is pending again.
  const lost = parseEntry(gateway.log.name, before[1] ?? '')
  restored.serve(bench.connection())
  for (let round = 0; round < 3; round++) {
    await bench.system.settle()
    restored.serve(bench.connection())
    if (disk.outbox.size > 1) break
  }
  expect(await bench.client.verdict(lost.id)).toEqual({ type: 'pending' })
  expect(pendingIn(disk).map(({ length }) => length)).toEqual([2, 1, 1])
  // What is decided now rests on the newest, which is not what was offered again.
  const [newest = ''] = pendingIn(disk).at(-1) ?? []
  await item.pick({ quantity: 1 })
  expect([...disk.outbox.values()].at(-1)?.after).toBe(parseClaim(newest).id)
  restored.isDelivering = true
  await talk(restored, bench)
  expect(disk.outbox.size).toBe(0)
  expect(bench.client.status.getSnapshot()).toMatchObject({ pending: 0, refused: 0 })
  // The same bytes, in the same order and batches; what was not this user's is not offered.
  const claims = (log: TestLog) => log.lines.map((line) => line.slice(line.indexOf(',"event":')))
  const own = before.filter((_line, at) => at !== 3)
  expect(claims(restored.log).slice(0, 4)).toEqual(own.map((l) => l.slice(l.indexOf(',"event":'))))
  expect(restored.log.lines.map((line) => parseEntry(restored.log.name, line).batch)).toEqual([
    undefined,
    lost.id,
    lost.id,
    undefined,
    undefined,
    undefined,
  ])
  expect(restored.log.head).toBe(6)
  expect(onHand(bench)).toBe(63)
  // Nothing was shown twice, and nothing but the other's event went.
  expect([...shown].filter((each) => ![164, 64, 63].includes(each as number))).toEqual([])
  await bench.client.close()
})

test('[P13] what the restored log still has comes back by itself, and is not sent again', async () => {
  const { bench, gateway, disk } = await openWithEntries()
  // Nor is what a service has said, in whosever name.
  gateway.log.append([foreignLine(9)], 'ann', 'broker')
  await talk(gateway, bench)
  const restored = await restore(gateway, 3, bench)
  // Somebody was quicker: the log has grown beyond what this device had, so that more is taken back.
  for (let n = 10; n < 15; n++) restored.log.append([foreignLine(n)], 'ben')
  const sent: EventId[] = []
  for (let round = 0; round < 15; round++) {
    await bench.system.settle()
    for (const frame of bench.connection().received) {
      if (frame.type === 'submit') sent.push(...frame.events.map((line) => parseClaim(line).id))
    }
    restored.serve(bench.connection())
  }
  await bench.system.settle()
  expect(sent).toEqual([idsIn(gateway.log)[4]])
  expect(idsIn(restored.log)).toHaveLength(9)
  expect([disk.outbox.size, onHand(bench)]).toEqual([0, 10 + 20 - 1 + 40 + 5])
  await bench.client.close()
})

test('[P13] entries and the outbox change in one transaction: a crash around it loses nothing', async () => {
  for (const moment of ['before', 'after'] as const) {
    const system = createTestSystem()
    let isDying = false
    const die = async (method: string) => {
      if (!isDying || method !== 'rewind') return
      isDying = false
      throw new TidemarkError('STORAGE_LOST', { reason: 'the tab is gone' })
    }
    const { bench, gateway, disk } = await openWithEntries({ system, [moment]: die })
    const restored = await restore(gateway, 0, bench)
    isDying = true
    // Opened, greeted, and sent back.
    for (let round = 0; round < 3; round++) {
      if (!bench.connection().closed) restored.serve(bench.connection())
      await bench.system.settle()
    }
    expect(isDying).toBe(false)
    await bench.client.close()
    const lines = disk.logs.get('inventory/default')?.lines.length ?? 0
    expect([moment, lines, disk.outbox.size]).toEqual(
      moment === 'before' ? [moment, 5, 0] : [moment, 0, 3],
    )
    const reloaded = openBench({ disk, system })
    await talk(restored, reloaded)
    expect(idsIn(restored.log)).toEqual(idsIn(gateway.log).filter((_id, at) => at !== 3))
    expect([disk.outbox.size, onHand(reloaded)]).toEqual([0, 69])
    await reloaded.client.close()
  }
})

test('[P13] a disk that cannot be read right after it hides nothing', async () => {
  for (const nth of [1, 2, 3]) {
    let loads = -Infinity
    const before = async (method: string) => {
      if (method === 'rewind') loads = 0
      if (method === 'load' && ++loads === nth) {
        throw new TidemarkError('STORAGE_LOST', { reason: 'gone for a moment' })
      }
    }
    const { bench, gateway } = await openWithEntries({ before })
    const restored = await restore(gateway, 1, bench)
    await talk(restored, bench)
    await bench.system.advance(5_000)
    await talk(restored, bench)
    expect(bench.client.status.getSnapshot()).toMatchObject({ pending: 0, refused: 0 })
    expect([restored.log.head, onHand(bench)]).toEqual([4, 69])
    await bench.client.close()
  }
})

test('[P13] in the middle of a link, too, it goes before what still waits', async () => {
  const bench = openBench()
  const log = inventoryLog()
  log.append([foreignLine(1)])
  await bench.greet(log, { unansweredEventsMax: 1 })
  bench.connection().send(log.deliver())
  await bench.client.append(received(1))
  const [waiting] = (await bench.client.append(received(2))).ids
  await bench.system.settle()
  const sent = () => bench.submit().events.map((line) => parseClaim(line).id)
  const [first] = sent()
  bench.connection().send({ type: 'reset', ...log.name, epoch: log.epoch, position: 0 as never })
  await bench.system.settle()
  const fresh = new TestLog(log.name)
  bench.connection().send(fresh.subscribed(), fresh.caughtUp())
  const accept = async (n: number) => {
    const verdict = { position: n as never, revisions: [n] }
    bench.connection().send({ type: 'verdicts', n, verdicts: [verdict] })
    await bench.system.settle()
  }
  await accept(1)
  expect(sent()).toEqual([log.idAt(1)])
  await accept(2)
  expect(sent()).toEqual([waiting])
  expect(first).not.toBe(waiting)
  await bench.client.close()
})

test('[P13] what goes back in several steps is offered in one order, once the log has been read', async () => {
  const bench = openBench()
  const log = inventoryLog()
  for (let n = 1; n <= 3; n++) log.append([foreignLine(n)])
  await bench.greet(log)
  bench.connection().send(log.deliver())
  await bench.system.settle()
  const submits = () => bench.connection().received.filter(({ type }) => type === 'submit')
  for (const position of [2, 1, 0] as Position[]) {
    bench.connection().send({ type: 'reset', ...log.name, epoch: log.epoch, position })
    await bench.system.settle()
  }
  const fresh = new TestLog(log.name)
  bench.connection().send(fresh.subscribed())
  await bench.system.settle()
  expect(submits()).toEqual([])
  bench.connection().send(fresh.caughtUp())
  await bench.system.settle()
  const sent = bench.submit().events.map((line) => parseClaim(line).id)
  expect(sent).toEqual([1, 2, 3].map((at) => log.idAt(at)))
  await bench.client.close()
})

test('[P13] a batch is offered whole, also where the restored log has an end in its middle', async () => {
  const { bench, gateway, disk } = await openWithEntries()
  const [, second, third, , fifth] = idsIn(gateway.log)
  const restored = await restore(gateway, 1, bench)
  restored.log.append([foreignLine(9)], 'ben')
  restored.isDelivering = false
  await talk(restored, bench)
  expect(pendingIn(disk).map((lines) => lines.map((line) => parseClaim(line).id))).toEqual([
    [second, third],
    [fifth],
  ])
  await bench.client.close()
})

test('[P13] a link says where the device stands, and not where it stood', async () => {
  let isSlow = false
  let goOn = (): void => undefined
  const before = async (method: string) => {
    if (method === 'load' && isSlow) await new Promise<void>((resolve) => (goOn = resolve))
  }
  const after = async (method: string) => {
    if (method === 'rewind') isSlow = true
  }
  const { bench, gateway } = await openWithEntries({ before, after })
  const restored = await restore(gateway, 1, bench)
  for (let round = 0; round < 3; round++) {
    restored.serve(bench.connection())
    await bench.system.settle()
  }
  expect(isSlow).toBe(true)
  // The link ends while memory is being brought up to the disk.
  const count = bench.connections.length
  bench.connection().drop()
  await bench.system.advance(5_000)
  expect(bench.connections).toHaveLength(count)
  isSlow = false
  goOn()
  await bench.system.advance(5_000)
  bench.connection().open()
  await bench.system.settle()
  const [hello] = bench.connection().received
  expect(hello).toMatchObject({
    type: 'hello',
    subscriptions: [{ cursor: { position: 1, id: gateway.log.idAt(1), receivedAt: 1 } }],
  })
  await bench.client.close()
})

test('[S12] what a service has set aside is listed while it is offered again', async () => {
  const { bench, gateway } = await openWithEntries()
  const [, , , , fifth] = idsIn(gateway.log)
  const restored = await restore(gateway, 1, bench)
  const [id, consumer, reason] = [fifth!, 'shipping', 'nobody knows where to']
  const data = { id, consumer, code: 'NO_ADDRESS', reason, attempts: 3 }
  const answer = { ...JSON.parse(foreignLine(9)), type: 'tidemark.DeadLettered', causationId: id }
  restored.log.append([JSON.stringify({ ...answer, data })], 'shipping', 'broker')
  await talk(restored, bench)
  const refused = bench.client.refused.getSnapshot()
  expect(refused.map((each) => [each.id, each.refusal.code])).toEqual([[id, 'DEAD_LETTERED']])
  expect(await bench.client.verdict(id)).toMatchObject({ type: 'accepted' })
  await bench.client.close()
})

test('[P13] where the restored log may not be read, a verdict hides nothing', async () => {
  const { bench, gateway, disk } = await openWithEntries()
  bench.connection().drop()
  await bench.system.advance(2_000)
  await bench.client.append(received(7))
  bench.connection().open()
  await bench.system.settle()
  const details = gateway.log.name
  bench.connection().send(welcome(), { type: 'error', code: 'FORBIDDEN', details })
  await bench.system.settle()
  expect(bench.submit().events).toHaveLength(1)
  // It stands where this device has another entry, of the log as it was.
  const verdict = { position: 2 as Position, revisions: [2] }
  bench.connection().send({ type: 'verdicts', n: 1, verdicts: [verdict] })
  await bench.system.settle()
  expect([disk.outbox.size, onHand(bench)]).toEqual([1, 176])
  await bench.client.close()
})

test('[P13] every tab shows it, and several devices of one user offer it once', async () => {
  const system = createTestSystem()
  const disk = createDisk()
  const { locks, broadcast } = createTestTabs()
  const { bench: a, gateway } = await openWithEntries({
    disk,
    system,
    locks,
    broadcast: broadcast(),
  })
  const b = openBench({ disk, system, locks, broadcast: broadcast() })
  const other = openBench({ system })
  await talk(gateway, a, other)
  expect([onHand(b), onHand(other)]).toEqual([169, 169])
  const restored = await restore(gateway, 1, a, other)
  restored.isDelivering = false
  await talk(restored, a)
  expect(b.client.status.getSnapshot().pending).toBe(3)
  expect([onHand(a), onHand(b)]).toEqual([69, 69])
  restored.isDelivering = true
  await talk(restored, a, other)
  await talk(restored, a, other)
  expect(idsIn(restored.log)).toHaveLength(4)
  for (const bench of [a, b, other]) {
    expect(bench.client.status.getSnapshot()).toMatchObject({ pending: 0, refused: 0 })
    expect(onHand(bench)).toBe(69)
    await bench.client.close()
  }
})

test('[P13] a tab that slept through the accept and the restore shows and keeps what is offered again', async () => {
  const [system, disk] = [createTestSystem(), createDisk()]
  const { locks, broadcast } = createTestTabs()
  const wire = broadcast()
  const a = openBench({ disk, system, locks, broadcast: broadcast() })
  const b = openBench({ disk, system, locks, broadcast: wire })
  const gateway = new TestGateway(inventoryLog())
  await talk(gateway, a)
  await a.client.append(received(5))
  await system.settle()
  wire.isFrozen = true
  await talk(gateway, a)
  const restored = await restore(gateway, 0, a)
  const isOffered = () => [...disk.outbox.keys()].some((seq) => seq < 0)
  for (let turns = 0; turns < 9 && !isOffered(); turns += 1) {
    restored.serve(a.connection())
    await system.settle()
  }
  expect(isOffered()).toBe(true)
  wire.isFrozen = false
  await b.client.verdict('0198c0de-0000-7000-8000-000000000000' as EventId)
  expect([onHand(b), b.client.status.getSnapshot().pending]).toEqual([5, 1])

  await a.client.close()
  await system.advance(3_000)
  await talk(restored, b)
  expect([onHand(b), b.client.status.getSnapshot().pending]).toEqual([5, 0])
  expect([restored.log.head, disk.outbox.size]).toEqual([1, 0])
  await b.client.close()
})

test('[P14] a log that was started over on purpose is not offered what the old one held', async () => {
  const { bench, gateway, disk } = await openWithEntries()
  await restore(gateway, 0, bench)
  const fresh = new TestLog(gateway.log.name, '0198c0de-e90c-7000-8000-000000000009')
  bench.connection().open()
  bench.connection().send(welcome(), {
    type: 'reset',
    ...fresh.name,
    epoch: fresh.epoch,
    position: fresh.head,
    startOver: true,
  })
  bench.connection().send(fresh.subscribed(), fresh.caughtUp())
  await bench.system.settle()
  expect(bench.connection().received.some(({ type }) => type === 'submit')).toBe(false)
  expect([disk.outbox.size, onHand(bench)]).toEqual([0, undefined])
  expect(bench.client.model.item('sku-1').getSnapshot().status).toBe('absent')
  await bench.client.close()
})

test('[S13] what was lost in a restore and no longer fits is on the list of refused events as that', async () => {
  const { bench, gateway, disk } = await openWithEntries()
  const [, second, third, , fifth] = idsIn(gateway.log)
  const restored = await restore(gateway, 1, bench)
  const called = await bench.client.model.item('sku-1').pick({ quantity: 1 })
  restored.forbidden.add(second!)
  await talk(restored, bench)
  const refused = bench.client.refused.getSnapshot()
  expect(refused.map(({ id, refusal }) => [id, refusal])).toEqual([
    [second, { code: 'LOST_IN_RESTORE', details: { code: 'NOT_ALLOWED' } }],
    [third, { code: 'BATCH_REFUSED', details: { by: second } }],
  ])
  expect(await bench.client.verdict(second!)).toMatchObject({ type: 'refused' })
  expect(await bench.client.verdict(fifth!)).toMatchObject({ type: 'accepted', position: 2 })
  // A command that was pending is decided again, on what there is now.
  expect(called).toMatchObject({ ok: true })
  if (called.ok) expect(await called.settled).toMatchObject({ type: 'accepted' })
  expect([disk.outbox.size, onHand(bench)]).toEqual([0, 49])
  await bench.client.close()
})
