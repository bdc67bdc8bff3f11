import { model } from '@tidemark/shared'
import { expect, test } from 'vitest'
import { createDisk } from './store/memory.ts'
import {
  foreignLine,
  inventory,
  inventoryLog,
  openBench,
  picked,
  received,
} from './testing/inventory.ts'

test('[M1] what is shown does not flicker and does not count twice when an entry takes the place of a pending event', async () => {
  const bench = openBench()
  const log = inventoryLog()
  const sku = bench.client.model.item('sku-1')
  await bench.greet(log)
  const seen: unknown[] = []
  sku.subscribe(() => {
    const { state, confirmed, pending } = sku.getSnapshot()
    seen.push([state?.onHand, confirmed?.onHand, pending])
  })
  await bench.client.append(received(5))
  await bench.client.append(picked(2))
  log.append([foreignLine(1, 100)])
  bench.connection().send(log.deliver(0, 1))
  await bench.system.settle()
  const frames = [bench.submit(), bench.submit()]
  const verdicts = frames.flatMap((frame) => frame.events).map((line) => log.append([line]))
  bench.connection().send({ type: 'verdicts', n: 1, verdicts })
  await bench.system.settle()
  bench.connection().send(log.deliver(1, 2), log.deliver(2, 3))
  await bench.system.settle()
  expect(seen).toEqual([
    [5, undefined, 1],
    [3, undefined, 2],
    [103, 100, 2],
    [103, 103, 0],
  ])
  await bench.client.close()
})

test('[M2] a state is loading until the disk has been read, and only then absent', async () => {
  let loaded = (): void => undefined
  const before = (method: string) =>
    method === 'load' ? new Promise<void>((resolve) => (loaded = resolve)) : Promise.resolve()
  const bench = openBench({ before })
  const sku = bench.client.model.item('sku-1')
  const list = bench.client.model.item.list()
  let told = 0
  sku.subscribe(() => (told += 1))
  list.subscribe(() => (told += 1))
  await bench.system.settle()
  expect([sku.getSnapshot().status, list.getSnapshot().status]).toEqual(['loading', 'loading'])
  loaded()
  await bench.system.settle()
  expect([sku.getSnapshot().status, list.getSnapshot().status]).toEqual(['absent', 'ready'])
  expect(told).toBe(2)
  void bench.client.close()
})

test('[M3] a snapshot is the same object until its key changes, and a list keeps the objects of the others', async () => {
  const bench = openBench()
  await bench.system.settle()
  const { item } = bench.client.model
  await bench.client.append(received(1, 'b'))
  await bench.client.append(received(1, 'a'))
  const [a, b, list] = [item('a').getSnapshot(), item('b').getSnapshot(), item.list().getSnapshot()]
  expect(list.items).toEqual([a, b])
  let told = 0
  item('a').subscribe(() => (told += 1))
  await bench.client.append(received(1, 'b'))
  expect(told).toBe(0)
  expect(item('a').getSnapshot()).toBe(a)
  expect(item.list().getSnapshot().items[0]).toBe(a)
  expect(item.list().getSnapshot().items[1]).not.toBe(b)
  expect(item.list().getSnapshot()).toBe(item.list().getSnapshot())
  expect(item('a')).toBe(item('a'))
  await bench.client.close()
})

test('[M3] many events that come together are one notification', async () => {
  const bench = openBench()
  const log = inventoryLog()
  await bench.greet(log)
  let told = 0
  bench.client.model.item.list().subscribe(() => (told += 1))
  for (let n = 1; n <= 500; n++) log.append([foreignLine(n, 1, `sku-${n}`)])
  bench.connection().send(log.deliver())
  await bench.system.settle()
  expect(told).toBe(1)
  expect(bench.client.model.item.list().getSnapshot().items).toHaveLength(500)
  await bench.client.close()
})

test('[M4] what is folded as it comes is what is folded from the disk', async () => {
  const disk = createDisk()
  const bench = openBench({ disk })
  const log = inventoryLog()
  await bench.greet(log)
  for (let n = 1; n <= 50; n++) {
    log.append([foreignLine(n, n, `sku-${n % 7}`)])
    if (n % 10 === 0) await bench.client.append(picked(n, `sku-${n % 3}`))
    bench.connection().send(log.deliver(n - 1, n))
    await bench.system.settle()
  }
  const shown = bench.client.model.item.list().getSnapshot()
  await bench.client.close()
  const reloaded = openBench({ disk })
  await reloaded.system.settle()
  expect(reloaded.client.model.item.list().getSnapshot()).toEqual(shown)
  await reloaded.client.close()
})

test('[M5] a fold or a listener that throws stops neither the others nor the client', async () => {
  const fragile = model(inventory, {
    version: 1,
    initial: 0,
    on: {
      StockReceived: (sum, event) => {
        if (event.data.quantity === 13) throw new Error('unlucky')
        return sum + event.data.quantity
      },
    },
  })
  const { item } = await import('./testing/inventory.ts')
  const bench = openBench({ models: { item, fragile } as never })
  const log = inventoryLog()
  await bench.greet(log)
  bench.client.model.item('sku-1').subscribe(() => {
    throw new Error('a listener')
  })
  for (const [at, quantity] of [1, 13, 2].entries()) log.append([foreignLine(at + 1, quantity)])
  bench.connection().send(log.deliver())
  await bench.system.settle()
  const { model: models } = bench.client as unknown as {
    model: Record<string, (key: string) => { get(): unknown }>
  }
  expect(models['item']?.('sku-1').get()).toEqual({ onHand: 16 })
  expect(models['fragile']?.('sku-1').get()).toBe(3)
  expect(bench.client.status.getSnapshot()).toMatchObject({ degraded: ['fragile'], link: 'online' })
  expect(bench.errors.map(String)).toEqual(['Error: unlucky', 'Error: a listener'])
  await bench.client.close()
})
