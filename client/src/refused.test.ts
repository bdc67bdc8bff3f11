import { type EventId, parseClaim } from '@tidemark/shared'
import { expect, test } from 'vitest'
import { compensate, resubmit } from './refused.ts'
import { createDisk } from './store/memory.ts'
import { sqliteStore } from './store/sqlite.ts'
import { createTestSystem, createTestTabs, type TestLog } from './testing.ts'
import { TestGateway } from './testing/gateway.ts'
import {
  type Bench,
  foreignLine,
  inventoryLog,
  openBench,
  received,
  talk,
} from './testing/inventory.ts'

const nobody = '0198c0de-aaaa-7000-8000-000000000000' as EventId

/** A consumer sets an event aside. */
const setAside = (log: TestLog, n: number, id: EventId, consumer: string): void => {
  const data = { id, consumer, code: 'NO_ADDRESS', reason: 'nobody knows where to', attempts: 3 }
  const letter = { ...(JSON.parse(foreignLine(n)) as object), type: 'tidemark.DeadLettered', data }
  log.append([JSON.stringify(letter)], 'a-service', 'broker')
}
const listOf = ({ client }: Bench) =>
  client.refused.getSnapshot().map(({ id, refusal }) => {
    const { consumer } = { consumer: undefined, ...refusal.details }
    return [id, consumer ?? refusal.code]
  })

test('[S12] what a second consumer sets aside is shown in every tab, and once', async () => {
  const [system, disk, tabs] = [createTestSystem(), createDisk(), createTestTabs()]
  const [leader, follower] = [0, 1].map(() =>
    openBench({ system, disk, locks: tabs.locks, broadcast: tabs.broadcast() }),
  ) as [Bench, Bench]
  const gateway = new TestGateway(inventoryLog())
  const { ids } = await leader.client.append(received(5))
  await talk(gateway, leader)
  const id = ids[0]!
  for (const [n, consumer] of ['first', 'second'].entries()) {
    setAside(gateway.log, n + 1, id, consumer)
    await talk(gateway, leader)
    for (const tab of [leader, follower]) expect(listOf(tab)).toEqual([[id, consumer]])
  }
  setAside(gateway.log, 3, id, 'third')
  setAside(gateway.log, 4, id, 'fourth')
  await talk(gateway, leader)
  for (const tab of [leader, follower]) expect(listOf(tab)).toEqual([[id, 'fourth']])
  await leader.client.close()
  await follower.client.close()
})

test('[S5] the list of refused events is in the order in which the device heard of them, also when it is read again', async () => {
  const system = createTestSystem()
  const bench = openBench({ system, store: sqliteStore(':memory:', { system }) } as object)
  const gateway = new TestGateway(inventoryLog())
  const first = (await bench.client.append(received(1))).ids[0]!
  const second = (await bench.client.append(received(2))).ids[0]!
  gateway.forbidden.add(second)
  await talk(gateway, bench)
  await system.advance(10)
  setAside(gateway.log, 1, first, 'shipping')
  await talk(gateway, bench)
  const listed = [
    [second, 'NOT_ALLOWED'],
    [first, 'shipping'],
  ]
  const snapshot = bench.client.refused.getSnapshot()
  expect(listOf(bench)).toEqual(listed)
  await bench.client.verdict(first)
  expect(listOf(bench)).toEqual(listed)
  expect(bench.client.refused.getSnapshot()).toBe(snapshot)
  await bench.client.close()
})

test('[S11] a refused event is edited and appended again: with a new id that names the old, which leaves the list', async () => {
  const disk = createDisk()
  const bench = openBench({ disk })
  const gateway = new TestGateway(inventoryLog())
  const { ids } = await bench.client.append(received(5))
  gateway.forbidden.add(ids[0]!)
  await talk(gateway, bench)
  expect(bench.client.refused.getSnapshot()).toHaveLength(1)
  const again = await resubmit(bench.client, ids[0]!, received(4))
  expect(bench.client.refused.getSnapshot()).toEqual([])
  expect(disk.refused.size).toBe(0)
  const [row] = [...disk.outbox.values()]
  expect(parseClaim(row?.lines[0] ?? '')).toMatchObject({
    id: again.ids[0],
    causationId: ids[0],
    correlationId: ids[0],
    data: { quantity: 4 },
  })
  await talk(gateway, bench)
  expect(await again.settled).toMatchObject({ type: 'accepted' })
  await expect(resubmit(bench.client, nobody, received(1))).rejects.toMatchObject({
    code: 'NOT_REFUSED',
  })
  await expect(compensate(bench.client, ids[0]!)).rejects.toMatchObject({
    code: 'NOT_REFUSED',
  })
  await bench.client.close()
})

test('[S11] what does not fit its schema is not resubmitted, and the refused event stays', async () => {
  const bench = openBench()
  const gateway = new TestGateway(inventoryLog())
  const { ids } = await bench.client.append(received(5))
  gateway.forbidden.add(ids[0]!)
  await talk(gateway, bench)
  await expect(resubmit(bench.client, ids[0]!, received(-1))).rejects.toMatchObject({
    code: 'SCHEMA_INVALID',
  })
  await expect(compensate(bench.client, ids[0]!)).rejects.toMatchObject({
    code: 'NO_COMPENSATION',
  })
  expect(bench.client.refused.getSnapshot()).toHaveLength(1)
  await bench.client.close()
})
