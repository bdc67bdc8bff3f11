/** The faults of a device's disk, at the store and as an app sees them. docs/faults.md has the list. */
import { TidemarkError } from '@tidemark/shared'
import {
  IDBDatabase,
  IDBFactory,
  IDBKeyRange,
  IDBObjectStore,
  IDBTransaction,
} from 'fake-indexeddb'
import { expect, test } from 'vitest'
import { createClient } from '../client.ts'
import { exportUnsynced } from '../export-unsynced.ts'
import { signOut } from '../sign-out.ts'
import { dexieStore } from '../store/dexie.ts'
import { createDisk } from '../store/memory.ts'
import type { Fate, Page, Refused, Store } from '../store/store.ts'
import { createTestNetwork, createTestSystem } from '../testing.ts'
import { TestGateway } from '../testing/gateway.ts'
import { inventoryLog, item, openBench, orders, received, talk } from '../testing/inventory.ts'

const ignore = Function.prototype as () => void
const log = { topic: 'inventory', scope: 'shop-7' }
const batch = (line: string) => ({ ...log, lines: [line] })
const epoch = '0198c0de-e90c-7000-8000-000000000001'
const position = (at: number) => at as Page['after']
const cursor = (at: number) => ({ epoch, position: position(at), id: 'x' }) as Page['cursor']
const page = (after: number, ...lines: string[]): Page => ({
  ...log,
  after: position(after),
  lines,
  cursor: cursor(after + lines.length),
})
const refusal = { code: 'ID_REUSED', details: undefined }
const refused = (id: string) =>
  ({ ...log, id, line: id, refusal, refusedAt: 1 }) as unknown as Refused
const fate = { ...log, type: 'superseded', ids: ['old'], by: ['new'] } as unknown as Fate
const everything = {
  seq: 0,
  pending: [],
  logs: [{ ...log, position: position(0), rewinds: 0 }],
  fate: 0,
}
const look = (store: Store) => store.load(everything as never, 1_000_000)

/** What writes more than one thing. */
const writes: Readonly<Record<string, (store: Store) => Promise<unknown>>> = {
  append: (store) => store.append([batch('4'), batch('5')], 'relaxed', ['r' as never]),
  apply: (store) => store.apply([page(2, 'three', 'four')], [1, 3]),
  settle: (store) => store.settle({ seqs: [1, 2], refused: [refused('1')], accepted: [] }),
  replace: (store) => store.replace(1, fate, batch('6')),
  withdraw: (store) => store.withdraw(3, { ...fate, type: 'withdrawn' }),
  rewind: (store) => store.rewind(log, cursor(2), cursor(1), [batch('4'), batch('5')]),
}
const requests = ['add', 'put', 'delete'] as const

/** The nth request of those that change something fails; answers with what puts it right again, and with whether it came to that. */
function failRequest(nth: number): { restore(): void; struck(): boolean } {
  const originals = requests.map((name) => [name, IDBObjectStore.prototype[name]] as const)
  let count = 0
  for (const [name, original] of originals) {
    IDBObjectStore.prototype[name] = function (this: IDBObjectStore, ...given: never[]) {
      count += 1
      if (count === nth) this.transaction.abort()
      return Reflect.apply(original as never, this, given)
    } as never
  }
  return {
    restore: () =>
      originals.forEach(([name, original]) =>
        Object.assign(IDBObjectStore.prototype, { [name]: original }),
      ),
    struck: () => count >= nth,
  }
}

test('[P1] whichever request of a transaction is the one that fails, nothing of it is written', async () => {
  for (const [name, write] of Object.entries(writes)) {
    let failures = 0
    for (let struck = true; struck; failures += 1) {
      const store = dexieStore({ name: 'atomic', indexedDB: new IDBFactory(), IDBKeyRange })
      await store.append([batch('1'), batch('2'), batch('3')])
      await store.linked(false)
      await store.apply([page(0, 'one', 'two')], [])
      await store.settle({ seqs: [], refused: [refused('r')], accepted: [] })
      const before = await look(store)
      const fault = failRequest(failures + 1)
      const isWritten = await write(store).then(
        () => true,
        () => false,
      )
      fault.restore()
      struck = fault.struck()
      const after = await look(store)
      if (struck) expect([name, isWritten, after]).toEqual([name, false, before])
      else expect(after).not.toEqual(before)
      await store.close()
    }
    expect(failures).toBeGreaterThan(2)
  }
})

test('[A12] strict reaches the transaction of the append that asked for it, and of no other', async () => {
  const asked: unknown[] = []
  const { transaction } = IDBDatabase.prototype
  const store = dexieStore({ name: 'strict', indexedDB: new IDBFactory(), IDBKeyRange })
  await store.open()
  IDBDatabase.prototype.transaction = function (this: IDBDatabase, ...given) {
    asked.push((given[2] as { durability?: string } | undefined)?.durability)
    return Reflect.apply(transaction, this, given)
  }
  await store.append([batch('1')])
  await store.append([batch('2')], 'strict')
  await store.settle({ seqs: [1], refused: [], accepted: [] })
  IDBDatabase.prototype.transaction = transaction
  expect(asked).toEqual(['relaxed', 'strict', 'relaxed'])
  await store.close()
})

test('[A8] a transaction that the browser loses on its way rejects once, and the next one is written', async () => {
  const store = dexieStore({ name: 'server lost', indexedDB: new IDBFactory(), IDBKeyRange })
  await store.append([batch('1')])
  const { commit } = IDBTransaction.prototype
  IDBTransaction.prototype.commit = function (this: IDBTransaction) {
    const error = new DOMException('Connection to Indexed Database server lost', 'UnknownError')
    Object.defineProperty(this, 'error', { get: () => error, set: ignore })
    this.objectStore('outbox').count().onsuccess = () => this.abort()
  }
  let answers = 0
  const appending = store.append([batch('2')]).finally(() => (answers += 1))
  await expect(appending).rejects.toMatchObject({ code: 'STORAGE_LOST' })
  IDBTransaction.prototype.commit = commit
  await store.append([batch('3')])
  expect((await look(store)).rows.map(({ lines }) => lines)).toEqual([['1'], ['3']])
  expect(answers).toBe(1)
  await store.close()
})

/** A client on an IndexedDB that the test makes. */
function openOn(indexedDB: IDBFactory, system = createTestSystem()) {
  const errors: unknown[] = []
  const client = createClient({
    url: 'ws://gateway',
    user: 'ann',
    models: { item },
    store: dexieStore({ name: 'faulty', system, indexedDB, IDBKeyRange }),
    connect: createTestNetwork().connect,
    onError: (error) => errors.push(error),
    system,
  })
  return { client, errors, system }
}

/** An IndexedDB that refuses to be opened, as some browsers' does for a page or for good. */
function refuseToOpen(name: string, message: string) {
  const indexedDB = new IDBFactory()
  const { open } = indexedDB
  const state = { isBroken: true, opened: 0 }
  indexedDB.databases = async () => []
  indexedDB.open = function (...given) {
    state.opened += 1
    if (!state.isBroken) return Reflect.apply(open, this, given)
    const request = Reflect.apply(open, new IDBFactory(), given)
    Object.defineProperty(request, 'error', { get: () => new DOMException(message, name) })
    Object.defineProperty(request, 'onupgradeneeded', { set: ignore })
    let fail: ((event: unknown) => void) | undefined
    Object.defineProperty(request, 'onerror', {
      get: () => fail,
      set: (heard) => {
        fail = heard
        queueMicrotask(() =>
          heard?.call(request, {
            target: request,
            preventDefault: () => undefined,
            stopPropagation: () => undefined,
          }),
        )
      },
    })
    Object.defineProperty(request, 'onsuccess', { set: ignore })
    return request
  }
  return { indexedDB, state }
}

test.each([
  ['SecurityError', 'The operation is insecure.'],
  // Firefox, in a private window or with a broken profile.
  [
    'InvalidStateError',
    'A mutation operation was attempted on a database that did not allow mutations.',
  ],
])(
  '[A5] a browser that lets this page store nothing, with %s, says STORAGE_UNAVAILABLE at the call and in the status',
  async (name, message) => {
    const { indexedDB } = refuseToOpen(name, message)
    const { client, system } = openOn(indexedDB)
    const appending = client.append(received(1))
    const rejected = expect(appending).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' })
    await system.advance(5_000)
    await rejected
    expect(client.status.getSnapshot()).toMatchObject({
      storage: 'STORAGE_UNAVAILABLE',
      pending: 0,
    })
    expect(client.model.item('sku-1').getSnapshot().status).toBe('loading')
    await client.close()
  },
)

test('[A13] a database that stays broken is tried a bounded number of times and said once; what mends it is noticed', async () => {
  const { indexedDB, state } = refuseToOpen('UnknownError', 'Internal error opening backing store')
  const { client, system, errors } = openOn(indexedDB)
  const hours = 2
  await system.advance(60_000)
  state.opened = 0
  await system.advance(hours * 3_600_000)
  expect(state.opened).toBeLessThan(hours * 1_800)
  expect(client.status.getSnapshot().storage).toBe('STORAGE_LOST')
  expect(errors).toHaveLength(1)
  state.isBroken = false
  await system.advance(120_000)
  expect(client.status.getSnapshot().storage).toBe('ok')
  await client.append(received(5))
  expect(client.model.item('sku-1').get()?.onHand).toBe(5)
  await client.close()
}, 60_000)

test('[U2] a database that cannot be opened any more can be given up, and the device starts anew', async () => {
  const { indexedDB, state } = refuseToOpen('UnknownError', 'Internal error opening backing store')
  const { client, system } = openOn(indexedDB)
  await system.advance(10_000)
  const exporting = expect(exportUnsynced(client)).rejects.toMatchObject({ code: 'STORAGE_LOST' })
  await system.advance(5_000)
  await exporting
  const given = signOut(client, { unsynced: 'discard' })
  await system.advance(5_000)
  await given
  state.isBroken = false
  const next = openOn(indexedDB, system)
  await next.client.append(received(5))
  await system.settle()
  expect(next.client.model.item('sku-1').get()?.onHand).toBe(5)
  await next.client.close()
})

test('[A1] while the disk takes nothing more, what was saved before is shown, is uploaded, and leaves the outbox', async () => {
  let isFull = false
  const bench = openBench({
    async before(method) {
      if (isFull && method === 'append') throw new TidemarkError('STORAGE_FULL')
    },
  })
  const gateway = new TestGateway(inventoryLog())
  await bench.client.append(received(5))
  isFull = true
  await expect(bench.client.append(received(1))).rejects.toMatchObject({ code: 'STORAGE_FULL' })
  await talk(gateway, bench)
  expect(gateway.log.lines).toHaveLength(1)
  expect(bench.client.status.getSnapshot().pending).toBe(0)
  expect(bench.client.model.item('sku-1').get()?.onHand).toBe(5)
  isFull = false
  await bench.client.append(received(2))
  await talk(gateway, bench)
  expect(gateway.log.lines).toHaveLength(2)
  await bench.client.close()
})

test('[S9] a verdict on an event of a log that is not read is written once the disk takes it', async () => {
  let failures = 0
  const bench = openBench({
    writeOnly: [orders],
    async before(method) {
      if (failures > 0 && method === 'settle') {
        failures -= 1
        throw new TidemarkError('STORAGE_LOST', { reason: 'locked' })
      }
    },
  })
  const { ids, settled } = await bench.client.append(
    orders.stream('o-1').OrderPlaced({ text: 'tea' }),
  )
  await bench.greet(inventoryLog())
  const { n } = bench.submit()
  failures = 4
  const verdict = { position: position(1), revisions: [1] }
  bench.connection().send({ type: 'verdicts', n, verdicts: [verdict] })
  await bench.system.advance(30_000)
  expect(failures).toBe(0)
  expect(await settled).toMatchObject({ type: 'accepted', position: 1 })
  expect(await bench.client.verdict(ids[0]!)).toMatchObject({ type: 'accepted', position: 1 })
  expect(bench.client.status.getSnapshot()).toMatchObject({ pending: 0, refused: 0 })
  await bench.client.close()
})

test('[S10] what a device forgot in a loss of power comes back from the log, and what it appends then is another event', async () => {
  const gateway = new TestGateway(inventoryLog())
  const disk = createDisk()
  const bench = openBench({ disk })
  await talk(gateway, bench)
  // The disk as it is now is what comes back: nothing after it was flushed.
  const flushed = structuredClone(disk)
  const first = await bench.client.append(received(5))
  await talk(gateway, bench)
  expect(await first.settled).toMatchObject({ type: 'accepted' })
  await bench.client.close()

  const after = openBench({ disk: flushed, system: bench.system })
  const second = await after.client.append(received(7))
  await talk(gateway, after)
  expect(await second.settled).toMatchObject({ type: 'accepted', position: 2 })
  expect(await after.client.verdict(first.ids[0]!)).toMatchObject({ type: 'accepted', position: 1 })
  expect(after.client.model.item('sku-1').get()?.onHand).toBe(12)
  expect(after.client.status.getSnapshot()).toMatchObject({ pending: 0, refused: 0 })
  expect(gateway.log.lines).toHaveLength(2)
  await after.client.close()
})

test('[E2] a loss that nobody has been told of stays one loss, whatever is appended meanwhile', async () => {
  const lost = { events: 2, since: 1 }
  let text: string | undefined = JSON.stringify({ incarnation: 'before', lost })
  const witness = { read: () => text, write: (next: string | undefined) => void (text = next) }
  const bench = openBench({ witness })
  await bench.system.settle()
  for (let n = 0; n < 5; n++) {
    await bench.client.append(received(1))
    await bench.system.advance(1_500)
  }
  expect(bench.client.status.getSnapshot()).toMatchObject({ pending: 5, lost })
  expect(JSON.parse(text ?? '')).toMatchObject({ lost, waiting: { events: 5 } })
  expect(bench.errors).toEqual([])
  await bench.client.close()
})
