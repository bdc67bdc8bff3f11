import { type EventId, isTidemarkError, parseRescue } from '@tidemark/shared'
import { IDBFactory, IDBKeyRange } from 'fake-indexeddb'
import { expect, test } from 'vitest'
import { createClient } from './client.ts'
import { insideOf } from './inside.ts'
import { compensate } from './refused.ts'
import { exportUnsynced, importUnsynced } from './rescue.ts'
import { signOut } from './sign-out.ts'
import { dexieStore } from './store/dexie.ts'
import { createDisk } from './store/memory.ts'
import { createTestSystem, createTestTabs } from './testing.ts'
import { inventory, inventoryLog, item, openBench, received } from './testing/inventory.ts'
import { trace } from './trace.ts'
import { withdraw } from './withdraw.ts'
import { webBroadcast } from './world.ts'

const id = '0198c0de-0000-7000-8000-ffffffffffff' as EventId

/** Appends that share no transaction with their neighbours, and what becomes of each. */
function appendMany({ client }: Pick<ReturnType<typeof openBench>, 'client'>, count: number) {
  const fates = Array.from({ length: count }, () => 'nothing')
  const all = fates.map(async (_, at) => {
    try {
      await client.append(received(1), { durability: at % 2 ? 'strict' : 'relaxed' })
      fates[at] = 'saved'
    } catch (error) {
      fates[at] = isTidemarkError(error) ? error.code : String(error)
    }
  })
  return { fates, all: Promise.all(all) }
}
const count = (fates: readonly string[], what: string) =>
  fates.filter((each) => each === what).length

/** A disk whose transactions take a while, as those of IndexedDB do. */
function openSlowBench(options: Parameters<typeof openBench>[0] = {}) {
  const system = createTestSystem()
  let underway = 0
  const before = async () => {
    underway += 1
    await system.breathe()
  }
  const after = async () => {
    await system.breathe()
    underway -= 1
  }
  return { ...openBench({ system, before, after, ...options }), underway: () => underway }
}

test('[A14] every call on a client that is being closed is refused with CLOSED at once, and nothing is said of the disk', async () => {
  const bench = openSlowBench()
  const { client, errors, system } = bench
  await client.append(received(5))
  const file = await exportUnsynced(client)
  const closing = client.close()
  const calls = [
    () => client.append(received(1)),
    () => client.model.item('sku-1').pick({ quantity: 1 }),
    () => client.model.item('never read').pick({ quantity: 1 }),
    () => client.verdict(id),
    () => client.entries(inventory),
    () => client.refused.discard(id),
    () => withdraw(client, id),
    () => trace(client, id),
    () => compensate(client, id),
    () => exportUnsynced(client),
    () => importUnsynced(client, file),
  ]
  const check = async () => {
    for (const call of calls) await expect(call()).rejects.toMatchObject({ code: 'CLOSED' })
  }
  await check()
  await closing
  await check()
  client.reauth()
  client.pause()
  client.resume()
  await system.settle()
  expect([client.status.getSnapshot().storage, errors]).toEqual(['ok', []])
})

test('[A14] a command that waits for its state when the client is closed is refused with CLOSED', async () => {
  const bench = openSlowBench()
  const picking = bench.client.model.item('sku-1').pick({ quantity: 1 })
  const refused = expect(picking).rejects.toMatchObject({ code: 'CLOSED' })
  await bench.client.close()
  await refused
})

test('[A14] what is being written when a client is closed is finished and says so, what waits is refused, and close waits for it', async () => {
  const disk = createDisk()
  const bench = openSlowBench({ disk })
  await bench.client.append(received(1))
  const { fates, all } = appendMany(bench, 12)
  await bench.system.breathe()
  await bench.client.close()
  expect(bench.underway()).toBe(0)
  await all
  expect(count(fates, 'saved')).toBeGreaterThan(0)
  expect(count(fates, 'saved') + count(fates, 'CLOSED')).toBe(12)
  expect(disk.outbox.size).toBe(1 + count(fates, 'saved'))
  expect(bench.errors).toEqual([])
})

test('[A14] the same with IndexedDB and a channel of the platform', async () => {
  const indexedDB = new IDBFactory()
  const store = () => dexieStore({ name: 'x', indexedDB, IDBKeyRange })
  const broadcast = webBroadcast('closing')
  const { connect } = { connect: () => ({ send: () => undefined, close: () => undefined }) }
  const options = { url: 'ws://gateway', user: 'ann', models: { item }, connect }
  const client = createClient({ ...options, store: store(), broadcast })
  await client.append(received(1))
  const { fates, all } = appendMany({ client }, 12)
  await client.close()
  await all
  broadcast.post('too late')
  expect(count(fates, 'saved') + count(fates, 'CLOSED')).toBe(12)
  const { rows } = await store().load({ seq: 0, pending: [], logs: [] }, Infinity)
  expect(rows).toHaveLength(1 + count(fates, 'saved'))
})

test('[U2] all that was resolved as durable is in the file of a sign-out, whatever was being written', async () => {
  const bench = openSlowBench()
  await bench.client.append(received(1))
  const { fates, all } = appendMany(bench, 12)
  await bench.system.breathe()
  const file = await signOut(bench.client, { unsynced: 'export' })
  await all
  expect(count(fates, 'saved') + count(fates, 'CLOSED')).toBe(12)
  expect((await parseRescue(file)).batches).toHaveLength(1 + count(fates, 'saved'))
  expect(insideOf(bench.client).replica.outbox.events).toBe(1 + count(fates, 'saved'))
})

test('[A14] the tab that leads hears of what another was still writing as it closed', async () => {
  const { locks, broadcast } = createTestTabs()
  const [disk, system] = [createDisk(), createTestSystem()]
  const leader = openBench({ disk, system, locks, broadcast: broadcast() })
  await leader.greet(inventoryLog())
  const other = openSlowBench({ disk, system, locks, broadcast: broadcast() })
  await system.settle()
  const appending = other.client.append(received(5))
  await system.breathe()
  await other.client.close()
  await appending
  await system.settle()
  expect(leader.submit().events).toHaveLength(1)
  await leader.client.close()
})
