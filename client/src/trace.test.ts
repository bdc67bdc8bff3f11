import { type EventId, type Position, writeEntry, TidemarkError } from '@tidemark/shared'
import { expect, test } from 'vitest'
import { compensate } from './refused.ts'
import { createDisk } from './store/memory.ts'
import type { TestLog } from './testing.ts'
import { TestGateway } from './testing/gateway.ts'
import {
  type Bench,
  foreignLine,
  inventoryLog,
  openBench,
  picked,
  received,
  talk,
} from './testing/inventory.ts'
import { trace } from './trace.ts'

/** Puts what a service answers into the log, as ingest does. */
function answer(log: TestLog, n: number, causationId: EventId, type: string, data: unknown): void {
  const line = JSON.stringify({
    ...(JSON.parse(foreignLine(n)) as object),
    type,
    causationId,
    data,
  })
  const place = { position: log.head + 1, revision: n, receivedAt: 2, author: 'a-service' }
  log.lines.push(writeEntry({ ...place, source: 'broker' }, line))
}

const letter = (id: EventId) => ({
  id,
  consumer: 'shipping',
  code: 'NO_ADDRESS',
  reason: 'nobody knows where to',
  attempts: 3,
})
const stepsOf = async ({ client }: Bench, id: EventId) =>
  (await trace(client, id)).steps.map(({ type }) => type)

test('[H1] the way of an event is told from its append to what answered it, after a reload too', async () => {
  const disk = createDisk()
  const bench = openBench({ disk })
  const gateway = new TestGateway(inventoryLog())
  const { ids } = await bench.client.append(received(5))
  const id = ids[0]!
  expect(await stepsOf(bench, id)).toEqual(['appended'])
  await bench.greet(gateway.log)
  expect(await stepsOf(bench, id)).toEqual(['appended', 'submitted'])
  bench.connection().drop()
  await bench.system.advance(1_000)
  await talk(gateway, bench)
  expect(await stepsOf(bench, id)).toEqual(['appended', 'submitted', 'accepted'])
  const upTo = gateway.log.head as Position
  const published = { type: 'published', ...gateway.log.name, upTo } as const
  bench.connection().send({ ...published, parked: [] })
  answer(gateway.log, 2, id, 'StockPicked', { quantity: 1 })
  await talk(gateway, bench)
  expect(await stepsOf(bench, id)).toEqual([
    'appended',
    'submitted',
    'accepted',
    'published',
    'answered',
  ])
  const parked = [{ stream: 'sku-1', fromRevision: 1, code: 'MESSAGE_TOO_LARGE' as const }]
  bench.connection().send({ ...published, parked })
  await bench.system.settle()
  expect((await trace(bench.client, id)).steps).toContainEqual({
    type: 'parked',
    code: 'MESSAGE_TOO_LARGE',
  })
  await bench.client.close()
  const reloaded = openBench({ disk, system: bench.system })
  expect(await stepsOf(reloaded, id)).toEqual(['appended', 'submitted', 'accepted', 'answered'])
  const { steps } = await trace(reloaded.client, id)
  const last = steps.at(-1)
  if (last?.type !== 'answered') throw new Error('no answer')
  // The way of the answer leads back.
  expect(await trace(reloaded.client, last.by.id)).toMatchObject({
    causationId: id,
    steps: [
      { type: 'appended' },
      { type: 'submitted' },
      { type: 'accepted' },
      { type: 'published' },
    ],
  })
  await reloaded.client.close()
})

test('[H2] what nobody here knows has no way, and a missing cause is no fault', async () => {
  const bench = openBench()
  const gateway = new TestGateway(inventoryLog())
  const nobody = '0198c0de-aaaa-7000-8000-000000000000' as EventId
  answer(gateway.log, 1, nobody, 'StockReceived', { quantity: 1 })
  answer(gateway.log, 2, nobody, 'tidemark.DeadLettered', letter(nobody))
  await talk(gateway, bench)
  expect((await trace(bench.client, gateway.log.idAt(1))).causationId).toBe(nobody)
  expect(await stepsOf(bench, nobody)).toEqual(['answered', 'dead-lettered'])
  expect(bench.client.refused.getSnapshot()).toEqual([])
  expect(bench.client.status.getSnapshot()).toMatchObject({ link: 'online' })
  expect(await trace(bench.client, '0198c0de-bbbb-7000-8000-000000000000' as EventId)).toEqual({
    id: '0198c0de-bbbb-7000-8000-000000000000',
    steps: [],
  })
  await bench.client.close()
})

test('[H1] a decision that was made again leads to the events that took its place', async () => {
  const bench = openBench()
  const gateway = new TestGateway(inventoryLog())
  await bench.client.append(received(5))
  const pick = await bench.client.model.item('sku-1').pick({ quantity: 1 })
  if (!pick.ok) throw new Error('denied')
  gateway.log.append([foreignLine(1, 1)])
  await talk(gateway, bench)
  const { ids } = await pick.settled
  expect((await trace(bench.client, pick.ids[0]!)).steps).toEqual([{ type: 'superseded', by: ids }])
  expect(await stepsOf(bench, ids[0]!)).toEqual(['appended', 'submitted', 'accepted'])
  await bench.client.close()
})

test('[S12] what a consumer has set aside is on its author’s list, once, until its compensation takes it back', async () => {
  const disk = createDisk()
  const bench = openBench({ disk })
  const gateway = new TestGateway(inventoryLog())
  gateway.log.append([foreignLine(1, 5)], 'somebody')
  const { ids } = await bench.client.append(picked(2))
  const id = ids[0]!
  await talk(gateway, bench)
  answer(gateway.log, 2, id, 'tidemark.DeadLettered', letter(id))
  const foreign = gateway.log.idAt(1)
  answer(gateway.log, 3, foreign, 'tidemark.DeadLettered', letter(foreign))
  await talk(gateway, bench)
  await bench.client.close()
  const reloaded = openBench({ disk, system: bench.system })
  await reloaded.system.settle()
  const { id: _id, ...details } = letter(id)
  expect(reloaded.client.refused.getSnapshot()).toMatchObject([
    { id, refusal: { code: 'DEAD_LETTERED', details } },
  ])
  // It was accepted all the same, and counts until it is taken back.
  expect(await reloaded.client.verdict(id)).toMatchObject({ type: 'accepted' })
  expect(reloaded.client.model.item('sku-1').get()).toEqual({ onHand: 3 })
  const compensation = await compensate(reloaded.client, id)
  expect(reloaded.client.refused.getSnapshot()).toEqual([])
  expect(reloaded.client.model.item('sku-1').get()).toEqual({ onHand: 5 })
  await talk(gateway, reloaded)
  expect(await compensation.settled).toMatchObject({ type: 'accepted' })
  expect(await stepsOf(reloaded, id)).toEqual([
    'appended',
    'submitted',
    'accepted',
    'dead-lettered',
    'compensated',
  ])
  await reloaded.client.close()
})

test('[S12] what has been dealt with is not on the list again when the entries that said it are written late', async () => {
  let isBroken = false
  const before = async (method: string) => {
    if (isBroken && method === 'apply') throw new TidemarkError('STORAGE_FULL')
  }
  const bench = openBench({ before })
  const gateway = new TestGateway(inventoryLog())
  const { ids } = await bench.client.append(received(2))
  await talk(gateway, bench)
  answer(gateway.log, 2, ids[0]!, 'tidemark.DeadLettered', letter(ids[0]!))
  isBroken = true
  await talk(gateway, bench)
  expect(bench.client.refused.getSnapshot()).toEqual([])
  isBroken = false
  await bench.system.advance(1_000)
  expect(bench.client.refused.getSnapshot()).toHaveLength(1)
  await bench.client.refused.discard(ids[0]!)
  await bench.system.advance(5_000)
  expect(bench.client.refused.getSnapshot()).toEqual([])
  await bench.client.close()
})
