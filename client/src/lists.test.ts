import { expect, test } from 'vitest'
import { createDisk } from './store/memory.ts'
import { TestGateway } from './testing/gateway.ts'
import { foreignLine, inventoryLog, openBench, talk } from './testing/inventory.ts'

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
