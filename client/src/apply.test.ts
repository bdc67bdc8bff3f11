import { type Position, TidemarkError } from '@tidemark/shared'
import { expect, test } from 'vitest'
import { createDisk } from './store/memory.ts'
import { TestLog, welcome } from './testing.ts'
import { foreignLine, inventoryLog, openBench, received } from './testing/inventory.ts'

const onHand = (bench: ReturnType<typeof openBench>, key = 'sku-1') =>
  bench.client.model.item(key).get()?.onHand

test('[P9] applied is said after the transaction that holds the entries, and not before', async () => {
  let complete = (): void => undefined
  const after = (method: string) =>
    method === 'apply' ? new Promise<void>((resolve) => (complete = resolve)) : Promise.resolve()
  const bench = openBench({ after })
  const log = inventoryLog()
  log.append([foreignLine(1)])
  await bench.greet(log)
  bench.connection().send(log.deliver())
  await bench.system.settle()
  expect(bench.connection().received).toEqual([])
  complete()
  await bench.system.settle()
  expect(bench.connection().received).toEqual([{ type: 'applied', ...log.name, upTo: 1 }])
  await bench.client.close()
})

test('[P8] entries behind a gap are not applied; the log is asked for again from the cursor', async () => {
  const bench = openBench()
  const log = inventoryLog()
  for (let n = 1; n <= 6; n++) log.append([foreignLine(n)])
  await bench.greet(log)
  bench.connection().send(log.deliver(0, 2), log.deliver(3, 5), log.deliver(5, 6))
  await bench.system.settle()
  expect(onHand(bench)).toBe(2)
  const cursor = { epoch: log.epoch, position: 2, id: log.idAt(2), receivedAt: 1 }
  expect(bench.connection().received).toEqual([
    { type: 'applied', ...log.name, upTo: 2 },
    { type: 'subscribe', ...log.name, cursor },
  ])
  bench.connection().send(log.subscribed(), log.deliver(2), log.deliver(0, 3), log.deliver(2))
  await bench.system.settle()
  expect(onHand(bench)).toBe(6)
  await bench.client.close()
})

test('[P8] entries of another epoch are not applied', async () => {
  const bench = openBench()
  const log = inventoryLog()
  log.append([foreignLine(1)])
  await bench.greet(log)
  const other = new TestLog(log.name, '0198c0de-e90c-7000-8000-000000000002')
  other.append([foreignLine(2, 9)])
  bench.connection().send(other.deliver())
  await bench.system.settle()
  expect(onHand(bench)).toBe(undefined)
  expect(bench.connection().received).toEqual([{ type: 'subscribe', ...log.name }])
  await bench.client.close()
})

test('[P8] a gateway whose entries never fit is left, not asked for ever', async () => {
  const bench = openBench()
  const log = inventoryLog()
  for (let n = 1; n <= 6; n++) log.append([foreignLine(n)])
  await bench.greet(log)
  for (let time = 0; time < 4; time++) {
    bench.connection().send(log.subscribed(), log.deliver(3, 5))
    await bench.system.settle()
  }
  expect(bench.connection().closed?.code).toBe(4400)
  expect(bench.client.status.getSnapshot().linkError).toBe('BAD_FRAME')
  await bench.client.close()
})

test('[P6] a log that was restored from a copy is rewound to what is common, and folded anew', async () => {
  const disk = createDisk()
  const bench = openBench({ disk })
  const log = inventoryLog()
  for (let n = 1; n <= 5; n++) log.append([foreignLine(n)], 'ben')
  await bench.greet(log)
  bench.connection().send(log.deliver())
  await bench.system.settle()
  expect(onHand(bench)).toBe(5)
  bench.connection().drop(1001)
  await bench.system.advance(1_000)
  const restored = new TestLog(log.name, '0198c0de-e90c-7000-8000-000000000002')
  restored.lines.push(...log.lines.slice(0, 3))
  restored.append([foreignLine(9, 100)])
  bench.connection().open()
  await bench.system.settle()
  const reset = (position: number) =>
    ({ type: 'reset', ...log.name, epoch: restored.epoch, position: position as Position }) as const
  const { welcome } = await import('./testing.ts')
  bench.connection().received.length = 0
  bench.connection().send(welcome(), reset(3))
  await bench.system.settle()
  const cursor = { epoch: restored.epoch, position: 3, id: log.idAt(3), receivedAt: 1 }
  expect(bench.connection().received).toEqual([{ type: 'subscribe', ...log.name, cursor }])
  expect(onHand(bench)).toBe(3)
  bench.connection().send(restored.subscribed(), restored.deliver(3), restored.caughtUp())
  await bench.system.settle()
  expect(onHand(bench)).toBe(103)
  expect(disk.logs.get('inventory/default')?.cursor).toMatchObject({
    epoch: restored.epoch,
    position: 4,
  })
  await bench.client.close()
})

test('[P6] a reset that leads nowhere ends at the beginning', async () => {
  const bench = openBench()
  const log = inventoryLog()
  log.append([foreignLine(1)], 'ben')
  await bench.greet(log)
  bench.connection().send(log.deliver())
  await bench.system.settle()
  bench.connection().received.length = 0
  bench.connection().send({ type: 'reset', ...log.name, epoch: log.epoch, position: 7 as Position })
  await bench.system.settle()
  const cursor = { epoch: log.epoch, position: 0 }
  expect(bench.connection().received).toEqual([{ type: 'subscribe', ...log.name, cursor }])
  expect(bench.client.model.item('sku-1').getSnapshot().status).toBe('absent')
  await bench.client.close()
})

test('[P10] a disk that does not take entries is tried again; nothing is skipped and nothing doubled', async () => {
  let failures = 3
  const before = async (method: string) => {
    if (method === 'apply' && failures-- > 0) throw new TidemarkError('STORAGE_FULL')
  }
  const bench = openBench({ before })
  const log = inventoryLog()
  log.append([foreignLine(1)])
  log.append([foreignLine(2)])
  await bench.greet(log)
  bench.connection().send(log.deliver(0, 1), log.deliver(1, 2))
  await bench.system.settle()
  expect(bench.client.status.getSnapshot().storage).toBe('STORAGE_FULL')
  await bench.system.advance(5_000)
  expect(bench.client.status.getSnapshot().storage).toBe('ok')
  expect(onHand(bench)).toBe(2)
  expect(bench.connections).toHaveLength(1)
  await bench.client.close()
})

test('[P10, L8] a disk that takes nothing for minutes is not blamed on the link', async () => {
  let isFull = true
  const before = async (method: string) => {
    if (isFull && method === 'apply') throw new TidemarkError('STORAGE_FULL')
  }
  const bench = openBench({ before })
  const log = inventoryLog()
  log.append([foreignLine(1)])
  await bench.system.settle()
  bench.connection().open()
  // Not caught up: more is to come, once this is on the disk.
  bench.connection().send(welcome(), log.subscribed(), log.deliver())
  const pass = async (ms: number) => {
    for (let passed = 0; passed < ms; passed += 5_000) {
      await bench.system.advance(5_000)
      bench.connection().send({ type: 'pong' })
    }
  }
  await pass(120_000)
  const { link, stalled } = bench.client.status.getSnapshot()
  expect([link, stalled, onHand(bench)]).toEqual(['online', undefined, undefined])
  isFull = false
  await pass(10_000)
  expect(onHand(bench)).toBe(1)
  expect(bench.connections).toHaveLength(1)
  // From here on it is the gateway that owes something.
  await pass(35_000)
  expect(bench.client.status.getSnapshot().stalled).toBe('download')
  await bench.client.close()
})

test('[P11] a log that may not be read says so, and what is pending stays', async () => {
  const bench = openBench()
  const log = inventoryLog()
  await bench.client.append(received(1))
  await bench.greet(log)
  bench.connection().send({ type: 'revoked', ...log.name })
  await bench.system.settle()
  expect(bench.client.status.getSnapshot()).toMatchObject({
    pending: 1,
    link: 'online',
    logs: { inventory: { forbidden: true } },
  })
  bench.connection().drop()
  await bench.system.advance(1_000)
  bench.connection().open()
  const { welcome } = await import('./testing.ts')
  bench.connection().send(welcome(), { type: 'error', code: 'FORBIDDEN', details: log.name })
  await bench.system.settle()
  expect(bench.client.status.getSnapshot().logs['inventory']).toMatchObject({ forbidden: true })
  // Nothing is owed, so nothing is missed.
  bench.submit()
  bench
    .connection()
    .send({ type: 'verdicts', n: 1, verdicts: [{ position: 1 as Position, revisions: [1] }] })
  await bench.system.advance(10_000)
  expect(bench.client.status.getSnapshot()).toMatchObject({ link: 'online', pending: 1 })
  await bench.client.close()
})

test('[P11] a log that may not be read is asked for again once a minute, on the same link', async () => {
  const bench = openBench()
  const log = inventoryLog()
  await bench.greet(log)
  bench.connection().send({ type: 'error', code: 'FORBIDDEN', details: log.name })
  await bench.system.settle()
  log.append([foreignLine(1)])
  const asked = () => bench.connection().received.filter(({ type }) => type === 'subscribe').length
  // The link itself has to be kept alive meanwhile.
  for (let ms = 0; ms < 61_000; ms += 1_000) {
    await bench.system.advance(1_000)
    bench.connection().send({ type: 'pong' })
  }
  expect(asked()).toBe(1)
  bench.connection().send(log.subscribed(), log.deliver(0, 1), log.caughtUp())
  await bench.system.settle()
  expect(bench.client.status.getSnapshot().logs['inventory']).toMatchObject({
    forbidden: false,
    caughtUp: true,
    position: 1,
  })
  expect(bench.connections).toHaveLength(1)
  await bench.client.close()
})

test('[S10] an own event that is delivered before its verdict, or without one, has settled', async () => {
  const disk = createDisk()
  const bench = openBench({ disk })
  const log = inventoryLog()
  const { settled } = await bench.client.append(received(5))
  await bench.greet(log)
  const { events } = bench.submit()
  log.append(events)
  bench.connection().send(log.deliver())
  expect(await settled).toEqual({ type: 'accepted', position: 1, revision: 1 })
  await bench.system.settle()
  expect(disk.outbox.size).toBe(0)
  bench.connection().drop()
  await bench.system.advance(1_000)
  await bench.greet(log)
  expect(() => bench.submit()).toThrow()
  expect(onHand(bench)).toBe(5)
  await bench.client.close()
})
