import { type EventId, model, refuse, TidemarkError } from '@tidemark/shared'
import { expect, test } from 'vitest'
import * as z from 'zod'
import { createDisk } from './store/memory.ts'
import { createTestSystem } from './testing.ts'
import { TestGateway } from './testing/gateway.ts'
import {
  type Bench,
  foreignLine,
  inventory,
  inventoryLog,
  openBench,
  picked,
  received,
  talk,
} from './testing/inventory.ts'
import { withdraw } from './withdraw.ts'

const sku = 'sku-1'
const stateOf = (bench: Bench, key = sku) => bench.client.model.item(key).get()

test('[X1] a command is decided on the state with pending events in it, and is durable when it resolves', async () => {
  const disk = createDisk()
  const bench = openBench({ disk })
  await bench.client.append(received(5))
  const item = bench.client.model.item(sku)
  const picks = await Promise.all([2, 2, 2].map((quantity) => item.pick({ quantity })))
  expect(picks.map(({ ok }) => ok)).toEqual([true, true, false])
  expect(picks[2]).toEqual({ ok: false, code: 'OUT_OF_STOCK', details: { onHand: 1 } })
  expect(disk.outbox.size).toBe(3)
  expect(stateOf(bench)).toEqual({ onHand: 1 })
  await bench.client.close()
  const reloaded = openBench({ disk })
  await reloaded.system.settle()
  expect(stateOf(reloaded)).toEqual({ onHand: 1 })
  const rows = [...disk.outbox.values()]
  expect(rows[1]).toMatchObject({ expectedRevision: 1, decision: { command: 'pick', attempt: 0 } })
  await reloaded.client.close()
})

test('[X1] what is appended and not awaited is seen by the command that comes after', async () => {
  const bench = openBench()
  const appending = bench.client.append(received(5))
  expect(await bench.client.model.item(sku).pick({ quantity: 5 })).toMatchObject({ ok: true })
  await appending
  await bench.client.close()
})

test('[X2] commands on pending events come in order: each names the newest pending event and the revision that it saw', async () => {
  const bench = openBench()
  const gateway = new TestGateway(inventoryLog())
  gateway.log.append([foreignLine(1, 5)])
  await talk(gateway, bench)
  bench.connection().drop()
  await bench.system.settle()
  const fact = await bench.client.append(received(1))
  const item = bench.client.model.item(sku)
  const first = await item.pick({ quantity: 2 })
  const second = await item.pickInTwo({ quantity: 2 })
  if (!first.ok || !second.ok) throw new Error('denied')
  const rows = [...bench.disk.outbox.values()]
  expect(rows.map(({ after, expectedRevision }) => [after, expectedRevision])).toEqual([
    [undefined, undefined],
    [fact.ids[0], 2],
    [first.ids[0], 3],
  ])
  expect(second.ids).toHaveLength(2)
  await bench.system.advance(1_000)
  await talk(gateway, bench)
  expect(await second.settled).toMatchObject({ type: 'accepted', revision: 4, ids: second.ids })
  expect(stateOf(bench)).toEqual({ onHand: 0 })
  expect(bench.client.status.getSnapshot()).toMatchObject({ pending: 0, refused: 0 })
  await bench.client.close()
})

test('[X3] after a conflict, and once the stream is caught up, a command is decided again: the old events are superseded by others', async () => {
  const bench = openBench()
  const gateway = new TestGateway(inventoryLog())
  await talk(gateway, bench)
  bench.connection().drop()
  await bench.system.settle()
  await bench.client.append(received(5))
  const first = await bench.client.model.item(sku).pick({ quantity: 2 })
  const second = await bench.client.model.item(sku).pick({ quantity: 1 })
  if (!first.ok || !second.ok) throw new Error('denied')
  gateway.log.append([foreignLine(1, 10)])
  const seen: unknown[] = []
  bench.client.model.item(sku).subscribe(() => seen.push(stateOf(bench)?.onHand))
  await bench.system.advance(1_000)
  gateway.isDelivering = false
  await talk(gateway, bench)
  expect(bench.disk.fates).toEqual([])
  gateway.isDelivering = true
  await talk(gateway, bench)
  const settled = await first.settled
  expect(settled).toMatchObject({ type: 'accepted' })
  expect(settled.ids).not.toEqual(first.ids)
  expect(await bench.client.verdict(first.ids[0]!)).toEqual({
    type: 'superseded',
    by: settled.ids,
  })
  expect(await second.settled).toMatchObject({ type: 'accepted' })
  expect(stateOf(bench)).toEqual({ onHand: 12 })
  expect(new Set(seen)).toEqual(new Set([12]))
  expect(bench.client.status.getSnapshot()).toMatchObject({ pending: 0, refused: 0 })
  await bench.client.close()
})

/** Folds nothing of what its command decides. */
const incoming = (version: number) =>
  model(inventory, {
    version,
    initial: { received: 0 },
    on: { StockReceived: ({ received: sum }, { data }) => ({ received: sum + data.quantity }) },
  }).command('pick', z.object({ quantity: z.int() }), (state, { quantity }, emit) =>
    state.received < quantity ? refuse('TOO_FEW') : emit.StockPicked({ quantity }),
  )

test.each([1, 2])(
  '[X3] a command is decided again whose state has left memory and is looked at by nobody, by version %d of its model',
  async (version) => {
    const [disk, gateway] = [createDisk(), new TestGateway(inventoryLog())]
    const system = createTestSystem()
    const open = (item = incoming(1)): Bench =>
      openBench({ disk, system, models: { item } as never, keysInMemoryMax: 4 })
    for (let n = 1; n <= 20; n++) gateway.log.append([foreignLine(n, 1, `sku-${n}`)])
    const first = open()
    await talk(gateway, first)
    await system.advance(3_000)
    await first.client.close()
    const offline = open()
    const pick = await offline.client.model.item('sku-3').pick({ quantity: 1 })
    if (!pick.ok) throw new Error('denied')
    await offline.client.close()
    // What somebody else did is read and written, and its state let go of, before there is a verdict.
    gateway.log.append([foreignLine(21, 1, 'sku-3')])
    const unanswered = open()
    await unanswered.greet(gateway.log)
    unanswered.connection().send(gateway.log.deliver(20))
    await system.advance(3_000)
    await unanswered.client.close()
    const bench = open(incoming(version))
    await talk(gateway, bench)
    expect(bench.client.status.getSnapshot()).toMatchObject({ pending: 0, refused: 0 })
    expect(disk.fates).toMatchObject([{ type: 'superseded', ids: pick.ids }])
    await bench.client.close()
  },
)

test('[X4] a command that no longer holds is refused in the domain’s own words, and what rests on it is decided without it', async () => {
  const bench = openBench()
  const gateway = new TestGateway(inventoryLog())
  gateway.log.append([foreignLine(1, 5)])
  await talk(gateway, bench)
  bench.connection().drop()
  await bench.system.settle()
  const large = await bench.client.model.item(sku).pick({ quantity: 4 })
  const small = await bench.client.model.item(sku).pick({ quantity: 1 })
  if (!large.ok || !small.ok) throw new Error('denied')
  gateway.log.append([foreignLine(2, 2).replace('StockReceived', 'StockPicked')])
  await bench.system.advance(1_000)
  await talk(gateway, bench)
  const settled = await large.settled
  if (settled.type !== 'refused' || settled.refusal.code !== 'OUT_OF_STOCK') {
    throw new Error('not refused')
  }
  expect(settled.refusal.details.onHand).toBe(3)
  expect(await small.settled).toMatchObject({ type: 'accepted' })
  expect(stateOf(bench)).toEqual({ onHand: 2 })
  expect(bench.client.refused.getSnapshot()).toMatchObject([
    {
      id: large.ids[0],
      refusal: { code: 'OUT_OF_STOCK', details: { onHand: 3 } },
      decision: { command: 'pick', input: { quantity: 4 } },
      sides: { expectedRevision: 1, revision: 2, state: { onHand: 3 } },
      dependents: small.ids,
    },
  ])
  await bench.client.close()
})

test('[X4] what rests on an event whose refusal is still being written is decided again at once', async () => {
  let release = (): void => undefined
  const isFree = new Promise<void>((resolve) => (release = resolve))
  const bench = openBench({
    before: async (method) => {
      if (method === 'settle') await isFree
    },
  })
  const fact = await bench.client.append(received(5))
  const pick = await bench.client.model.item(sku).pick({ quantity: 2 })
  if (!pick.ok) throw new Error('denied')
  await bench.greet(inventoryLog())
  const [by] = fact.ids
  const refused = { id: by!, code: 'NOT_ALLOWED' as const, details: { reason: 'no' } }
  bench.connection().send({ type: 'verdicts', n: 1, verdicts: [{ refused }] })
  bench.connection().send({ type: 'blocked', n: 2, by: by! })
  await bench.system.settle()
  release()
  expect(await pick.settled).toMatchObject({ refusal: { code: 'OUT_OF_STOCK' } })
  await bench.client.close()
})

test('[X5] a decision that waits to be made again survives a reload, and is made once', async () => {
  const disk = createDisk()
  const gateway = new TestGateway(inventoryLog())
  const bench = openBench({ disk })
  await bench.client.append(received(5))
  await bench.client.model.item(sku).pick({ quantity: 2 })
  gateway.log.append([foreignLine(1, 1)])
  await bench.greet(inventoryLog())
  const { events } = bench.submit()
  // The gateway's answer is lost with the tab.
  gateway.log.append(events.slice(0, 1))
  gateway.verdicts.set((JSON.parse(events[0]!) as { id: EventId }).id, {
    position: 2 as never,
    revisions: [2],
  })
  await bench.client.close()
  const reloaded = openBench({ disk, system: bench.system })
  await talk(gateway, reloaded)
  expect(stateOf(reloaded)).toEqual({ onHand: 4 })
  expect(reloaded.client.status.getSnapshot()).toMatchObject({ pending: 0, refused: 0 })
  expect(gateway.log.lines).toHaveLength(3)
  await reloaded.client.close()
})

test('[X6] where others are always quicker, the gateway’s refusal is what remains after ten decisions', async () => {
  const bench = openBench()
  const gateway = new TestGateway(inventoryLog())
  gateway.log.append([foreignLine(1, 50)])
  await talk(gateway, bench)
  const revision = gateway.revision.bind(gateway)
  let others = 1
  gateway.revision = (stream) => {
    gateway.log.append([foreignLine((others += 1), 1)])
    return revision(stream)
  }
  const pick = await bench.client.model.item(sku).pick({ quantity: 1 })
  if (!pick.ok) throw new Error('denied')
  for (let time = 0; time < 10; time++) await talk(gateway, bench)
  expect(await pick.settled).toMatchObject({ refusal: { code: 'REVISION_CONFLICT' } })
  expect(others).toBe(11)
  expect(bench.client.status.getSnapshot()).toMatchObject({ pending: 0, refused: 1 })
  await bench.client.close()
})

test('[X7] what no link can have been handed is withdrawn with its batch; what may be on its way is not', async () => {
  const disk = createDisk()
  const gateway = new TestGateway(inventoryLog())
  const bench = openBench({ disk })
  const early = await bench.client.append(received(9))
  await talk(gateway, bench)
  bench.connection().drop()
  await bench.system.settle()
  const batch = await bench.client.append([received(1), received(2)])
  const other = await bench.client.append(received(4))
  expect(await withdraw(bench.client, early.ids[0]!)).toEqual({ ok: false, code: 'NOT_PENDING' })
  expect(await withdraw(bench.client, batch.ids[1]!)).toEqual({ ok: true, ids: batch.ids })
  expect(await batch.settled).toEqual({ type: 'withdrawn' })
  expect(stateOf(bench)).toEqual({ onHand: 13 })
  await bench.client.close()
  const reloaded = openBench({ disk, system: bench.system })
  await reloaded.system.settle()
  expect(await reloaded.client.verdict(batch.ids[0]!)).toEqual({ type: 'withdrawn' })
  await reloaded.greet(gateway.log)
  expect(await withdraw(reloaded.client, other.ids[0]!)).toEqual({ ok: false, code: 'HANDED_OVER' })
  await reloaded.client.close()
})

test('[X7] what was handed to a link is not withdrawn, though the disk was too full to say so', async () => {
  const bench = openBench({
    before: async (method) => {
      if (method === 'linked') throw new TidemarkError('STORAGE_FULL')
    },
  })
  const { ids } = await bench.client.append(received(9))
  await bench.greet(inventoryLog())
  expect(bench.submit()).toMatchObject({ n: 1 })
  expect(await withdraw(bench.client, ids[0]!)).toEqual({ ok: false, code: 'HANDED_OVER' })
  bench.connection().drop()
  await bench.system.settle()
  expect(await withdraw(bench.client, ids[0]!)).toEqual({ ok: false, code: 'HANDED_OVER' })
  await bench.client.close()
})

test('[X7] what is withdrawn is not sent, though the disk could not be read at once', async () => {
  let isLost = false
  const bench = openBench({
    before: async (method) => {
      if (method === 'load' && isLost) throw new TidemarkError('STORAGE_LOST', { reason: 'test' })
    },
    after: async (method) => {
      if (method === 'withdraw') isLost = true
    },
  })
  const { ids } = await bench.client.append(received(9))
  expect(await withdraw(bench.client, ids[0]!)).toEqual({ ok: true, ids })
  await bench.greet(inventoryLog())
  isLost = false
  await bench.system.advance(20_000)
  expect(() => bench.submit()).toThrow('no submit')
  expect(stateOf(bench)).toBeUndefined()
  await bench.client.close()
})

test('[X8] an input that does not fit and a command that throws reject with a code, and nothing is saved', async () => {
  const failing = inventory
  const { item } = await import('./testing/inventory.ts')
  const z = await import('zod')
  const broken = item.command('explode', z.object({}), () => {
    throw new Error('boom')
  })
  const bench = openBench({ models: { item: broken } as never })
  const handle = bench.client.model.item(sku) as unknown as ReturnType<
    typeof bench.client.model.item
  > & { explode(input: object): Promise<unknown> }
  await expect(handle.pick({ quantity: -1 })).rejects.toMatchObject({ code: 'SCHEMA_INVALID' })
  await expect(handle.pick({ quantity: 1n as never })).rejects.toMatchObject({ code: 'NOT_JSON' })
  await expect(handle.explode({})).rejects.toMatchObject({
    code: 'COMMAND_FAILED',
    details: { model: 'item', command: 'explode', reason: 'Error: boom' },
  })
  expect(bench.client.status.getSnapshot()).toMatchObject({ pending: 0, degraded: ['item'] })
  await bench.client.append(failing.stream(sku).StockReceived({ quantity: 1 }))
  expect(await handle.pick({ quantity: 1 })).toMatchObject({ ok: true })
  await bench.client.close()
  await expect(handle.pick({ quantity: 1 })).rejects.toMatchObject({ code: 'CLOSED' })
})

test('[X4] a fact that rests on a command which is decided again hears at once that its ground is gone', async () => {
  const gateway = new TestGateway(inventoryLog())
  const bench = openBench()
  await bench.client.append(received(5))
  const pick = await bench.client.model.item(sku).pick({ quantity: 2 })
  if (!pick.ok) throw new Error('denied')
  const fact = await bench.client.append(received(1, 'sku-2'), { after: pick.ids[0]! })
  gateway.log.append([foreignLine(1, 1)])
  const before = bench.system.mono()
  await talk(gateway, bench)
  await bench.system.advance(2_000)
  await talk(gateway, bench)
  expect(bench.client.status.getSnapshot().pending).toBe(0)
  expect(await fact.settled).toMatchObject({
    type: 'refused',
    refusal: { code: 'BATCH_REFUSED', details: { by: pick.ids[0] } },
  })
  expect(bench.system.mono() - before).toBeLessThan(10_000)
  await bench.client.close()
})

test('[X9] in another tab the superseded events go and their successors come in one step', async () => {
  const { createTestTabs } = await import('./testing.ts')
  const disk = createDisk()
  const gateway = new TestGateway(inventoryLog())
  const { locks, broadcast } = createTestTabs()
  const leader = openBench({ disk, locks, broadcast: broadcast() })
  await leader.system.settle()
  const follower = openBench({
    disk,
    locks,
    broadcast: broadcast(),
    system: leader.system,
  })
  await talk(gateway, leader)
  await follower.client.append(received(5))
  gateway.log.append([foreignLine(1, 1)])
  const pick = await follower.client.model.item(sku).pick({ quantity: 2 })
  if (!pick.ok) throw new Error('denied')
  const seen: unknown[] = []
  follower.client.model.item(sku).subscribe(() => seen.push(stateOf(follower)?.onHand))
  await talk(gateway, leader, follower)
  expect(await pick.settled).toMatchObject({ type: 'accepted' })
  expect(new Set(seen)).toEqual(new Set([4]))
  expect(await follower.client.append(picked(1))).toBeTruthy()
  await leader.client.close()
  await follower.client.close()
})

test('[X8] a command that the app does not know any more when it is to be decided again is refused with a code', async () => {
  const disk = createDisk()
  const gateway = new TestGateway(inventoryLog())
  const bench = openBench({ disk })
  await bench.client.append(received(5))
  await bench.client.model.item(sku).pick({ quantity: 2 })
  await bench.client.close()
  gateway.log.append([foreignLine(1, 1)])
  const { model } = await import('@tidemark/shared')
  const older = model(inventory, { version: 1, initial: { onHand: 0 }, on: {} })
  const updated = openBench({ disk, system: bench.system, models: { item: older } as never })
  await talk(gateway, updated)
  expect(updated.client.refused.getSnapshot()).toMatchObject([
    { refusal: { code: 'UNKNOWN_COMMAND', details: { model: 'item', command: 'pick' } } },
  ])
  expect(updated.client.status.getSnapshot()).toMatchObject({ pending: 0, link: 'online' })
  await updated.client.close()
})
