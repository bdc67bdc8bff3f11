import { expect, test } from 'vitest'
import { createDisk } from './store/memory.ts'
import { TestGateway } from './testing/gateway.ts'
import { foreignLine, inventoryLog, openBench, received, talk } from './testing/inventory.ts'

/** A device with four keys on its disk, and room for one in memory. */
async function openSmall() {
  const disk = createDisk()
  const gateway = new TestGateway(inventoryLog())
  for (let n = 1; n <= 4; n++) gateway.log.append([foreignLine(n, n, `sku-${n}`)])
  const first = openBench({ disk })
  await talk(gateway, first)
  await first.system.advance(30_000)
  await first.client.close()
  const bench = openBench({ disk, system: first.system, keysInMemoryMax: 1 })
  await talk(gateway, bench)
  return { bench, gateway }
}

test('[M13] a list has what came for keys that are not in memory and that nobody has asked for', async () => {
  const { bench, gateway } = await openSmall()
  const list = bench.client.model.item.list()
  const keys = () => list.getSnapshot().items.map(({ key }) => key)
  list.subscribe(() => undefined)
  keys()
  await bench.system.settle()
  gateway.log.append([foreignLine(5, 5, 'sku-5')])
  await talk(gateway, bench)
  keys()
  await bench.system.settle()
  expect(list.getSnapshot().status).toBe('ready')
  expect(keys()).toEqual(['sku-1', 'sku-2', 'sku-3', 'sku-4', 'sku-5'])
  await bench.client.close()
})

test('[M13] a list has what came for such keys before anybody looked at the list', async () => {
  const { bench, gateway } = await openSmall()
  gateway.log.append([foreignLine(5, 5, 'sku-5')])
  await talk(gateway, bench)
  const list = bench.client.model.item.list()
  const keys = () => list.getSnapshot().items.map(({ key }) => key)
  list.subscribe(() => void keys())
  keys()
  await bench.system.settle()
  expect(keys()).toEqual(['sku-1', 'sku-2', 'sku-3', 'sku-4', 'sku-5'])
  await bench.client.close()
})

/** Asks for this many different lists, and listens to each for a moment. */
function browse({ client }: ReturnType<typeof openBench>, count: number): void {
  for (let limit = 1_000; limit < 1_000 + count; limit++) {
    const list = client.model.item.list({ limit })
    const stop = list.subscribe(() => undefined)
    list.getSnapshot()
    stop()
  }
}

test('[M16] a list is the same between two looks, and for as long as somebody listens', async () => {
  const bench = openBench()
  await bench.client.append(received(1))
  await bench.system.settle()
  const { list } = bench.client.model.item
  const [looked, heard] = [list({ limit: 1 }), list({ limit: 2 })]
  const snapshots = [looked.getSnapshot(), heard.getSnapshot()]
  heard.subscribe(() => undefined)
  browse(bench, 40)
  expect([list({ limit: 1 }), list({ limit: 2 })]).toEqual([looked, heard])
  expect(list({ limit: 1 })).toBe(looked)
  expect(looked.getSnapshot()).toBe(snapshots[0])
  browse(bench, 1_000)
  expect(list({ limit: 2 })).toBe(heard)
  expect(heard.getSnapshot()).toBe(snapshots[1])
  await bench.client.close()
})

test('[M16] of lists and keys that nobody listens to only the last are remembered', async () => {
  const bench = openBench()
  await bench.client.append(received(1))
  await bench.system.settle()
  const { item } = bench.client.model
  const [list, key] = [item.list(), item('none')]
  key.subscribe(() => undefined)()
  expect(key.getSnapshot().status).toBe('absent')
  browse(bench, 100)
  for (let n = 0; n < 10_001; n++) item(`none-${n}`).getSnapshot()
  expect(item.list()).not.toBe(list)
  expect(item('none')).not.toBe(key)
  await bench.client.close()
})

test('[M16] a list or a key that is held is right again as soon as it is used, however many came between', async () => {
  const { bench } = await openSmall()
  const { item } = bench.client.model
  const [read, heard, key] = [item.list(), item.list({ limit: 9 }), item('sku-9')]
  for (const list of [read, heard]) list.getSnapshot()
  browse(bench, 100)
  await bench.client.append(received(9, 'sku-9'))
  await bench.system.settle()
  let changes = 0
  const stop = heard.subscribe(() => (changes += 1))
  await bench.system.settle()
  expect(changes).toBe(1)
  for (const list of [read, heard]) {
    list.getSnapshot()
    await bench.system.settle()
    expect(list.getSnapshot().items.map((each) => each.key)).toEqual([
      'sku-1',
      'sku-2',
      'sku-3',
      'sku-4',
      'sku-9',
    ])
    expect(list.getSnapshot()).toBe(list.getSnapshot())
  }
  stop()
  expect(item.list({ limit: 9 })).toBe(heard)
  browse(bench, 100)
  // Somebody else asks for the same.
  const other = item.list({ limit: 9 })
  expect(other).not.toBe(heard)
  await bench.client.append(received(1, 'sku-10'))
  for (const list of [heard, other]) {
    list.getSnapshot()
    await bench.system.settle()
    expect(list.getSnapshot().items).toHaveLength(6)
  }
  expect(key.get()).toEqual({ onHand: 9 })
  await bench.client.close()
})
