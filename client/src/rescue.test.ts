import { type EventId, parseRescue, TidemarkError, writeRescue } from '@tidemark/shared'
import { expect, test } from 'vitest'
import { adopt, exportUnsynced, importUnsynced } from './rescue.ts'
import { signOut } from './sign-out.ts'
import { createDisk, type Disk } from './store/memory.ts'
import { createTestSystem } from './testing.ts'
import { TestGateway } from './testing/gateway.ts'
import { inventoryLog, openBench, orders, picked, received, talk } from './testing/inventory.ts'

const linesOf = (disk: Disk) => [...disk.outbox.values()].flatMap((row) => row.lines)

test('[V1] what waits is brought to another device with the same ids and bytes, however often', async () => {
  const one = openBench({ system: createTestSystem({ seed: 1 }) })
  const two = openBench({ system: createTestSystem({ seed: 2 }) })
  await one.client.append(received(5))
  const decided = await one.client.model.item('sku-1').pickInTwo({ quantity: 2 })
  if (!decided.ok) throw new Error('not decided')
  const file = await exportUnsynced(one.client)
  expect(await parseRescue(file)).toMatchObject({ user: 'ann', scope: 'default' })
  const first = await importUnsynced(two.client, file)
  expect(first.imported).toHaveLength(3)
  expect(linesOf(two.disk)).toEqual(linesOf(one.disk))
  expect(two.client.model.item('sku-1').get()).toEqual({ onHand: 1 })
  const again = await importUnsynced(two.client, file)
  expect(again).toEqual({ imported: [], known: first.imported })
  expect(linesOf(two.disk)).toEqual(linesOf(one.disk))

  // Both devices send them in the end, and the log has them once.
  const gateway = new TestGateway(inventoryLog())
  await talk(gateway, one)
  await talk(gateway, two)
  expect(gateway.log.lines).toHaveLength(3)
  for (const bench of [one, two]) {
    expect(bench.client.status.getSnapshot()).toMatchObject({ pending: 0, refused: 0 })
  }
  // And after that too.
  expect((await importUnsynced(two.client, file)).known).toHaveLength(3)
  expect(two.client.status.getSnapshot().pending).toBe(0)
  await one.client.close()
  await two.client.close()
})

test('[V1] what comes in from a file while it is delivered from elsewhere is shown once, and leaves with its verdict', async () => {
  const system = createTestSystem({ seed: 2 })
  const one = openBench({ system: createTestSystem({ seed: 1 }) })
  await one.client.append(received(5))
  const file = await exportUnsynced(one.client)
  const gateway = new TestGateway(inventoryLog())
  const before = async (method: string): Promise<void> => {
    if (method !== 'append') return
    await talk(gateway, one)
    await talk(gateway, two)
  }
  const two = openBench({ system, before })
  await talk(gateway, two)
  expect((await importUnsynced(two.client, file)).imported).toHaveLength(1)
  await two.client.close()

  const again = openBench({ system, disk: two.disk })
  await talk(gateway, again)
  expect(again.client.model.item('sku-1').get()).toEqual({ onHand: 5 })
  expect(again.client.status.getSnapshot().pending).toBe(0)
  expect(linesOf(two.disk)).toEqual([])
  expect(gateway.log.lines).toHaveLength(1)
  await again.client.close()
  await one.client.close()
})

test('[V1] a file that is imported twice at once is in the outbox once', async () => {
  const one = openBench({ system: createTestSystem({ seed: 1 }) })
  const system = createTestSystem({ seed: 2 })
  // Transactions take a while, as those of IndexedDB do.
  const two = openBench({ system, before: () => system.breathe() })
  const { ids } = await one.client.append(received(5))
  const file = await exportUnsynced(one.client)
  const damaged = expect(importUnsynced(two.client, 'hello')).rejects.toMatchObject({
    code: 'RESCUE_INVALID',
  })
  const all = await Promise.all([file, file].map((each) => importUnsynced(two.client, each)))
  expect(all).toEqual([
    { imported: ids, known: [] },
    { imported: [], known: ids },
  ])
  await damaged
  expect(two.disk.outbox.size).toBe(1)
  await one.client.close()
  await two.client.close()
})

test('[V1] exporting takes nothing out of the outbox, and what is decided on what came in rests on it', async () => {
  const one = openBench({ system: createTestSystem({ seed: 1 }) })
  const two = openBench({ system: createTestSystem({ seed: 2 }) })
  await one.client.append(received(5))
  const file = await exportUnsynced(one.client)
  expect(one.client.status.getSnapshot().pending).toBe(1)
  const { imported } = await importUnsynced(two.client, file)
  await two.client.model.item('sku-1').pick({ quantity: 2 })
  expect([...two.disk.outbox.values()].at(-1)?.after).toBe(imported[0])
  await one.client.close()
  await two.client.close()
})

test('[V1, S8] a batch of a file that no frame can carry is imported and refused, and holds up nothing', async () => {
  const one = openBench({ topics: [orders] })
  // Its gateway takes more than others do.
  await one.greet(inventoryLog(), { frameBytesMax: 4_194_304 })
  const draft = orders.stream('o-1').OrderPlaced({ text: 'x'.repeat(150_000) })
  const large = await one.client.append(Array.from({ length: 8 }, () => draft))
  await one.client.append(received(5))
  const file = await exportUnsynced(one.client)
  const two = openBench({ topics: [orders], system: createTestSystem({ seed: 2 }) })
  expect((await importUnsynced(two.client, file)).imported).toHaveLength(9)
  await two.greet(inventoryLog())
  expect(two.submit()).toMatchObject({ n: 1, batches: [{ topic: 'inventory' }] })
  expect(two.client.status.getSnapshot()).toMatchObject({ pending: 1, refused: 8 })
  expect(await two.client.verdict(large.ids[0]!)).toMatchObject({
    refusal: { code: 'BATCH_TOO_LARGE', details: { max: 1_048_576 } },
  })
  await one.client.close()
  await two.client.close()
})

test('[V2] a damaged file, and one of somebody else, of another scope or of an unknown topic, is refused and nothing is written', async () => {
  const { client, disk } = openBench()
  const other = openBench({ user: 'ben' })
  await other.client.append(received(5))
  const theirs = await exportUnsynced(other.client)
  const mine = await openFileOf('ann')
  const origin = { clientId: 'c', user: 'ann', exportedAt: 1 }
  const [batch] = (await parseRescue(mine)).batches
  if (!batch) throw new Error('no batch')
  const elsewhere = await writeRescue({ ...origin, scope: 'elsewhere' }, [])
  const unknown = await writeRescue({ ...origin, scope: 'default' }, [
    batch,
    { ...batch, topic: 'payroll' },
  ])
  const wrong: readonly [string, string][] = [
    [theirs, 'RESCUE_INVALID'],
    [
      mine.replace('"quantity', '"Quantity').replace('\\"quantity', '\\"Quantity'),
      'RESCUE_INVALID',
    ],
    ['hello', 'RESCUE_INVALID'],
    [elsewhere, 'RESCUE_INVALID'],
    [unknown, 'UNKNOWN_TOPIC'],
  ]
  for (const [file, code] of wrong) {
    await expect(importUnsynced(client, file)).rejects.toMatchObject({ code })
  }
  expect(disk.outbox.size).toBe(0)
  await client.close()
  await other.client.close()
})

async function openFileOf(user: string): Promise<string> {
  const bench = openBench({ user, system: createTestSystem({ seed: 9 }) })
  await bench.client.append(received(5))
  return signOut(bench.client, { unsynced: 'export' })
}

test('[U3] what somebody wrote before they had signed in becomes their own, and leaves the outbox that it was in', async () => {
  const system = createTestSystem()
  const anonymous = openBench({ user: 'anonymous', system })
  const { ids } = await anonymous.client.append(received(5))
  await anonymous.client.append(picked(2))
  const lines = linesOf(anonymous.disk)
  const ann = openBench({ system })
  const { imported } = await adopt(ann.client, anonymous.client)
  expect(imported).toHaveLength(2)
  expect(imported[0]).toBe(ids[0] as EventId)
  expect(linesOf(ann.disk)).toEqual(lines)
  expect(anonymous.disk.outbox.size).toBe(0)
  expect(anonymous.client.status.getSnapshot().link).toBe('closed')
  const gateway = new TestGateway(inventoryLog())
  await talk(gateway, ann)
  expect(gateway.log.lines).toHaveLength(2)
  expect(ann.client.status.getSnapshot().pending).toBe(0)
  await ann.client.close()
})

test('[U3] an adoption that the disk did not take is done again, with what was appended until it began', async () => {
  const system = createTestSystem()
  const anonymous = openBench({ user: 'anonymous', system })
  let isFull = true
  const before = async (method: string) => {
    if (method !== 'append' || !isFull) return
    // By then the other one takes nothing more that could be left behind.
    await expect(anonymous.client.append(received(7))).rejects.toMatchObject({ code: 'CLOSED' })
    throw new TidemarkError('STORAGE_FULL')
  }
  const ann = openBench({ system, before })
  await anonymous.client.append(received(5))
  await anonymous.client.append(received(6))
  const full = adopt(ann.client, anonymous.client)
  await expect(full).rejects.toMatchObject({ code: 'STORAGE_FULL' })
  expect([anonymous.disk.outbox.size, ann.disk.outbox.size]).toEqual([2, 0])
  isFull = false
  expect((await adopt(ann.client, anonymous.client)).imported).toHaveLength(2)
  expect([anonymous.disk.outbox.size, ann.disk.outbox.size]).toEqual([0, 2])
  await ann.client.close()
})

test('[U3] an adoption that broke off half-way is done again without doubles', async () => {
  const system = createTestSystem()
  const disk = createDisk()
  const anonymous = openBench({ user: 'anonymous', system, disk })
  await anonymous.client.append(received(5))
  const ann = openBench({ system })
  await importUnsynced(ann.client, await exportUnsynced(anonymous.client), { from: 'anonymous' })
  await anonymous.client.close()
  const reloaded = openBench({ user: 'anonymous', system, disk })
  const { known, imported } = await adopt(ann.client, reloaded.client)
  expect([known.length, imported.length]).toEqual([1, 0])
  expect(ann.disk.outbox.size).toBe(1)
  expect(disk.outbox.size).toBe(0)
  await ann.client.close()
})
