import { type EventId, parseClaim } from '@tidemark/shared'
import { expect, test } from 'vitest'
import { compensate, resubmit } from './refused.ts'
import { createDisk } from './store/memory.ts'
import { TestGateway } from './testing/gateway.ts'
import { inventoryLog, openBench, received, talk } from './testing/inventory.ts'

const nobody = '0198c0de-aaaa-7000-8000-000000000000' as EventId

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
