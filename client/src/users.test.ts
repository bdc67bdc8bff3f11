import { parseRescue, TidemarkError } from '@tidemark/shared'
import { expect, test } from 'vitest'
import { signOut } from './sign-out.ts'
import { createDisk } from './store/memory.ts'
import { createTestSystem, createTestTabs, welcome } from './testing.ts'
import { inventoryLog, openBench, received } from './testing/inventory.ts'
import type { Witness } from './witness.ts'

type Bench = ReturnType<typeof openBench>
const status = ({ client }: Bench) => client.status.getSnapshot()
const take = (bench: Bench, type: string) => {
  const { received } = bench.connection()
  const at = received.findIndex((frame) => frame.type === type)
  return at < 0 ? undefined : received.splice(at, 1)[0]
}

function openTwoTabs(witness?: Witness) {
  const disk = createDisk()
  const system = createTestSystem()
  const { locks, broadcast } = createTestTabs()
  const open = () =>
    openBench({ disk, system, locks, broadcast: broadcast(), ...(witness && { witness }) })
  return { disk, system, a: open(), b: open() }
}

test('[U2] signing out keeps what is unsynced where that is asked for, and closes every tab', async () => {
  const { disk, system, a, b } = openTwoTabs()
  await a.greet(inventoryLog())
  await b.client.append([received(1), received(2)])
  expect(await signOut(b.client, { unsynced: 'keep' })).toBe(undefined)
  await system.settle()
  expect([status(a).link, status(b).link]).toEqual(['closed', 'closed'])
  await expect(a.client.append(received(3))).rejects.toMatchObject({ code: 'CLOSED' })
  expect(disk.outbox.size).toBe(1)
  const back = openBench({ disk, system })
  await system.settle()
  expect(status(back).pending).toBe(2)
  await back.client.close()
})

test('[U2] signing out with an export gives the file and leaves nothing behind', async () => {
  let text: string | undefined
  const witness = { read: () => text, write: (next: string | undefined) => void (text = next) }
  const { disk, system, a, b } = openTwoTabs(witness)
  await a.greet(inventoryLog())
  await a.client.append([received(1), received(2)])
  await b.client.append(received(3))
  const lines = [...disk.outbox.values()].map((row) => row.lines)
  const file = await signOut(b.client, { unsynced: 'export' })
  expect((await parseRescue(file)).batches.map((batch) => batch.lines)).toEqual(lines)
  await system.settle()
  expect([status(a).link, status(b).link]).toEqual(['closed', 'closed'])
  expect([disk.outbox.size, disk.identity, text]).toEqual([0, undefined, undefined])
  const next = openBench({ disk, system, witness })
  await system.settle()
  expect([status(next).pending, status(next).lost]).toEqual([0, undefined])
  await next.client.close()
})

test('[U2] where the database cannot be deleted the file is given all the same, and a discard says so', async () => {
  const before = async (method: string) => {
    if (method === 'destroy') throw new TidemarkError('STORAGE_BLOCKED')
  }
  const one = openBench({ before })
  await one.client.append(received(1))
  const file = await signOut(one.client, { unsynced: 'export' })
  expect((await parseRescue(file)).batches).toHaveLength(1)
  expect(one.errors).toMatchObject([{ code: 'STORAGE_BLOCKED' }])
  const two = openBench({ before })
  const discarded = signOut(two.client, { unsynced: 'discard' })
  await expect(discarded).rejects.toMatchObject({ code: 'STORAGE_BLOCKED' })
})

test('[U2] signing out deletes what is unsynced only where that is said, and does not wait for a frozen tab for ever', async () => {
  const { disk, system, a, b } = openTwoTabs()
  await a.greet(inventoryLog())
  await a.client.append(received(1))
  const frozen = createTestTabs()
  void frozen.locks.request('tidemark/ann/default', {}, () => new Promise(() => undefined))
  await b.client.close()
  const c = openBench({ disk, system, locks: frozen.locks })
  await system.settle()
  const signedOut = signOut(c.client, { unsynced: 'discard' })
  await system.advance(1_000)
  expect(disk.outbox.size).toBe(1)
  await system.advance(2_000)
  expect(await signedOut).toBe(undefined)
  expect(disk.outbox.size).toBe(0)
  await a.client.close()
})

test('[U4] a token that says how long it lasts is renewed on the open link before it ends', async () => {
  let calls = 0
  const bench = openBench({
    token: () => ({ token: `token-${++calls}`, expiresInMs: 3_600_000 }),
  })
  const { system } = bench
  expect((await bench.greet(inventoryLog())).token).toBe('token-1')
  bench.connection().received.length = 0
  const pass = async (ms: number) => {
    for (let passed = 0; passed < ms; passed += 10_000) {
      await system.advance(10_000)
      bench.connection().send({ type: 'pong' })
    }
  }
  await pass(2_800_000)
  expect(calls).toBe(1)
  await pass(100_000)
  expect(take(bench, 'reauth')).toEqual({ type: 'reauth', token: 'token-2' })
  await pass(2_900_000)
  expect(take(bench, 'reauth')).toEqual({ type: 'reauth', token: 'token-3' })
  expect([bench.connections.length, status(bench).link]).toEqual([1, 'online'])
  await bench.client.close()
  expect(system.timers()).toBe(0)
})

test('[U4] the life of a token counts from when it was asked for, however long the link took', async () => {
  const bench = openBench({ token: () => ({ token: 'token', expiresInMs: 20_000 }) })
  await bench.system.advance(9_000)
  await bench.greet(inventoryLog())
  await bench.system.advance(6_900)
  expect(take(bench, 'reauth')).toBe(undefined)
  await bench.system.advance(200)
  expect(take(bench, 'reauth')).toEqual({ type: 'reauth', token: 'token' })
  await bench.client.close()
})

test('[U4] where the next token cannot be had it is asked for again, and the link stays', async () => {
  let calls = 0
  const bench = openBench({
    token() {
      if (++calls === 2) throw new Error('offline')
      return { token: `token-${calls}`, expiresInMs: 10_000 }
    },
  })
  await bench.greet(inventoryLog())
  await bench.system.advance(8_000)
  expect([take(bench, 'reauth'), calls, bench.errors.length]).toEqual([undefined, 2, 1])
  await bench.system.advance(10_000)
  expect(take(bench, 'reauth')).toEqual({ type: 'reauth', token: 'token-3' })
  await bench.client.close()
})

test('[U4] a token that ended on the open link needs nobody while the next one is taken; needs-auth is only said where it is not', async () => {
  const bench = openBench({ token: () => 'token' })
  const seen = new Set<string>()
  bench.client.status.subscribe(() => seen.add(status(bench).link))
  await bench.greet(inventoryLog())
  await bench.client.append(received(5))
  bench
    .connection()
    .send({ type: 'error', code: 'UNAUTHENTICATED', details: { reason: 'expired' } })
  await bench.system.advance(1_000)
  expect(bench.connections).toHaveLength(2)
  await bench.greet(inventoryLog())
  expect(status(bench).link).toBe('online')
  expect([...seen]).not.toContain('needs-auth')
  bench.connection().drop(4401)
  await bench.system.advance(1_000)
  bench.connection().open()
  await bench.system.settle()
  bench
    .connection()
    .send({ type: 'error', code: 'UNAUTHENTICATED', details: { reason: 'expired' } })
  await bench.system.settle()
  expect(status(bench)).toMatchObject({ link: 'needs-auth', pending: 1 })
  await bench.client.close()
})

test('[U5] an app that has a new token says so in any tab: the open link is renewed, and one that waits is tried at once', async () => {
  const system = createTestSystem()
  const disk = createDisk()
  const { locks, broadcast } = createTestTabs()
  let token = 'one'
  const open = () => openBench({ system, disk, locks, broadcast: broadcast(), token: () => token })
  const [a, b] = [open(), open()]
  await a.greet(inventoryLog())
  token = 'two'
  b.client.reauth()
  await system.settle()
  expect(take(a, 'reauth')).toEqual({ type: 'reauth', token: 'two' })
  a.connection().drop(4401)
  await system.advance(1_000)
  a.connection().drop(4401)
  await system.settle()
  expect([status(a).link, status(b).link]).toEqual(['needs-auth', 'needs-auth'])
  const before = a.connections.length
  token = 'three'
  b.client.reauth()
  await system.advance(500)
  expect(a.connections.length).toBe(before + 1)
  a.connection().open()
  await system.settle()
  expect(take(a, 'hello')).toMatchObject({ token: 'three' })
  a.connection().send(welcome())
  await system.settle()
  expect([status(a).link, status(b).link]).toEqual(['online', 'online'])
  await a.client.close()
  await b.client.close()
})
