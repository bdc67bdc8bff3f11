import { fold, model, parseClaim, parseEntry } from '@tidemark/shared'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { ListQuery } from './lists.ts'
import type { LiveState, ModelHandle } from './models.ts'
import { createDisk, type Disk, memoryStore } from './store/memory.ts'
import { createTestSystem, createTestTabs, TestLog } from './testing.ts'
import { TestGateway } from './testing/gateway.ts'
import {
  type Bench,
  foreignLine,
  inventory,
  inventoryLog,
  openBench,
  picked,
  received,
  talk,
} from './testing/inventory.ts'

interface Stock {
  readonly onHand: number
}

const stockModel = (version = 1, each = 1) =>
  model(inventory, {
    version,
    initial: { onHand: 0 },
    on: {
      StockReceived: (state: Stock, { data }) => ({ onHand: state.onHand + each * data.quantity }),
      StockPicked: (state: Stock, { data }) => ({ onHand: state.onHand - each * data.quantity }),
    },
    indexes: {
      onHand: ({ onHand }) => onHand,
      kind: ({ onHand }) => (onHand === 0 ? undefined : onHand % 2 === 0 ? 'even' : 'odd'),
    },
  })

/** By the last letter of the stream, over all streams; picks do not count. */
const shelves = model(inventory, {
  version: 1,
  initial: { deliveries: 0 },
  key: ({ stream }) => stream.slice(-1),
  on: { StockReceived: ({ deliveries }) => ({ deliveries: deliveries + 1 }) },
})

const stock = stockModel()
type Names = 'stock' | 'shelf'
interface Opened {
  readonly bench: Bench
  readonly models: Readonly<Record<Names, ModelHandle<unknown>>>
}

function open(disk: Disk, options: { models?: object; keysInMemoryMax?: number } = {}): Opened {
  const models = options.models ?? { stock, shelf: shelves }
  const bench = openBench({ disk, ...options, models: models as never })
  return { bench, models: bench.client.model as never }
}

const rangeOf = (n: number): readonly number[] => Array.from({ length: n }, (_, at) => at)

/** A disk with a log of many entries, whose states have been written. */
async function filledDisk(entries: number, keys: number): Promise<{ disk: Disk; log: TestLog }> {
  const disk = createDisk()
  const log = inventoryLog()
  const { bench } = open(disk)
  await bench.greet(log)
  for (const n of rangeOf(entries)) log.append([foreignLine(n, 1, `sku-${n % keys}`)])
  bench.connection().send(log.deliver())
  await bench.system.advance(3_000)
  await bench.client.close()
  return { disk, log }
}

test('[M10] a start reads states and the entries after them, however long the log is', async () => {
  const { disk, log } = await filledDisk(1_000, 10)
  expect([...disk.builds.values()].map(({ checkpoint }) => checkpoint.position)).toEqual([
    1_000, 1_000,
  ])
  disk.logs.get('inventory/default')?.lines.fill('unreadable', 0, 1_000)
  const { bench, models } = open(disk)
  await bench.system.settle()
  expect(models.stock('sku-3').get()).toEqual({ onHand: 100 })
  expect(models.shelf('3').get()).toEqual({ deliveries: 100 })
  await bench.greet(log)
  log.append([foreignLine(5_000, 7, 'sku-3')])
  bench.connection().send(log.deliver(1_000))
  await bench.system.settle()
  expect(models.stock('sku-3').get()).toEqual({ onHand: 107 })
  await bench.client.close()
  const reloaded = open(disk)
  await reloaded.bench.system.settle()
  expect(reloaded.models.stock('sku-3').get()).toEqual({ onHand: 107 })
  await reloaded.bench.client.close()
})

test('[M10] only what has changed is written again', async () => {
  const { disk, log } = await filledDisk(1_000, 100)
  const before = new Map(disk.builds.get([...disk.builds.keys()][0] ?? '')?.rows)
  const { bench } = open(disk)
  await bench.greet(log)
  log.append([foreignLine(5_000, 7, 'sku-3')])
  bench.connection().send(log.deliver(1_000))
  await bench.system.advance(3_000)
  const [{ rows, checkpoint } = { rows: new Map(), checkpoint: undefined }] = disk.builds.values()
  const changed = [...rows].filter(([key, row]) => before.get(key) !== row).map(([key]) => key)
  expect([changed, checkpoint?.position]).toEqual([['sku-3'], 1_001])
  await bench.client.close()
})

test('[M10] models that were written at different times are each folded from where they are', async () => {
  const { disk, log } = await filledDisk(100, 10)
  const [stale] = [...disk.builds].filter(([, { checkpoint }]) => checkpoint.model === 'shelf')
  const kept = stale && structuredClone(stale)
  const first = open(disk)
  await first.bench.greet(log)
  for (const n of rangeOf(50)) log.append([foreignLine(200 + n, 1, `sku-${n % 10}`)])
  first.bench.connection().send(log.deliver(100))
  await first.bench.system.advance(3_000)
  await first.bench.client.close()
  if (kept) disk.builds.set(...kept)
  const { bench, models } = open(disk)
  await bench.system.settle()
  expect([models.stock('sku-3').get(), models.shelf('3').get()]).toEqual([
    { onHand: 15 },
    { deliveries: 15 },
  ])
  await bench.client.close()
})

test('[M11] a model of another version is folded anew while the old states are shown, and swapped at once', async () => {
  const { disk, log } = await filledDisk(100, 4)
  let go: () => void = () => undefined
  const before = (method: string) =>
    method === 'read' ? new Promise<void>((resolve) => (go = resolve)) : Promise.resolve()
  const models = { stock: stockModel(2, 10), shelf: shelves } as never
  const bench = openBench({ disk, before, models })
  const { stock: handle } = bench.client.model as unknown as { stock: ModelHandle<unknown> }
  const seen: unknown[] = []
  handle('sku-1').subscribe(() => seen.push(handle('sku-1').getSnapshot()))
  await bench.system.settle()
  expect(handle('sku-1').getSnapshot()).toMatchObject({
    status: 'rebuilding',
    state: { onHand: 25 },
  })
  expect(handle.list().getSnapshot()).toMatchObject({ status: 'rebuilding' })
  expect(handle('none').getSnapshot().status).toBe('loading')
  await bench.client.append(received(1, 'sku-1'))
  expect(handle('sku-1').getSnapshot()).toMatchObject({ state: { onHand: 25 }, pending: 1 })
  await bench.greet(log)
  log.append([foreignLine(5_000, 2, 'sku-1')])
  bench.connection().send(log.deliver(100))
  await bench.system.settle()
  expect(handle('sku-1').getSnapshot()).toMatchObject({ state: { onHand: 25 }, pending: 1 })
  go()
  await bench.system.settle()
  expect(handle('sku-1').getSnapshot()).toMatchObject({
    status: 'present',
    state: { onHand: 280 },
    confirmed: { onHand: 270 },
  })
  expect(handle('none').getSnapshot().status).toBe('absent')
  expect(seen.at(-1)).toMatchObject({ state: { onHand: 280 } })
  await bench.system.advance(3_000)
  const positions = [...disk.builds.values()].map(({ checkpoint }) => checkpoint.isComplete)
  expect(positions).toEqual([true, true, true])
  await bench.client.close()
})

test('[M11] while an app is developed a fold that was edited is folded anew, whatever its version says', async () => {
  const { disk } = await filledDisk(100, 4)
  const edited = open(disk, { models: { stock: { ...stockModel(1, 1), initial: { onHand: 5 } } } })
  await edited.bench.system.settle()
  expect(edited.models.stock('sku-1').get()).toEqual({ onHand: 30 })
  await edited.bench.client.close()
})

test('[M9] tabs with old and with new code live on one disk', async () => {
  const { disk, log } = await filledDisk(20, 2)
  const newer = open(disk, { models: { stock: stockModel(2, 10), shelf: shelves } })
  const older = open(disk)
  await newer.bench.greet(log)
  for (const n of [1, 2, 3]) {
    log.append([foreignLine(100 + n, 1, 'sku-1')])
    newer.bench.connection().send(log.deliver(19 + n))
    await newer.bench.system.advance(3_000)
    await older.bench.system.advance(61_000)
    expect(newer.models.stock('sku-1').get()).toEqual({ onHand: 100 + 10 * n })
    expect(older.models.stock('sku-1').getSnapshot()).toMatchObject({ status: 'present' })
  }
  expect(
    [...disk.builds.values()].filter(({ checkpoint }) => checkpoint.model === 'stock'),
  ).toHaveLength(2)
  for (const { bench } of [newer, older]) await bench.client.close()
})

test('[M9] a tab whose states others have deleted folds them anew, and shows nothing less meanwhile', async () => {
  const { disk } = await filledDisk(20, 10)
  const { bench, models } = open(disk, { keysInMemoryMax: 3 })
  await bench.system.settle()
  disk.builds.clear()
  const list = models.stock.list()
  list.subscribe(() => undefined)
  list.getSnapshot()
  models.stock('sku-7').getSnapshot()
  await bench.system.settle()
  for (const key of list.getSnapshot().items.map((each) => each.key)) models.stock(key).get()
  await bench.system.advance(3_000)
  list.getSnapshot()
  await bench.system.settle()
  expect(models.stock('sku-7').get()).toEqual({ onHand: 2 })
  expect(list.getSnapshot()).toMatchObject({ status: 'ready' })
  expect(list.getSnapshot().items).toHaveLength(10)
  await bench.client.close()
})

test('[M14] states that cannot be stored are kept in memory, and the model says so', async () => {
  const disk = createDisk()
  const log = inventoryLog()
  const live = model(inventory, {
    version: 1,
    initial: { onHand: 0, log: () => undefined },
    on: {
      StockReceived: (state, { data }) => ({ ...state, onHand: state.onHand + data.quantity }),
    },
  })
  const { bench, models } = open(disk, { models: { stock: live, shelf: shelves } })
  await bench.greet(log)
  log.append([foreignLine(1, 3)])
  bench.connection().send(log.deliver())
  await bench.system.advance(10_000)
  expect(models.stock('sku-1').get()).toMatchObject({ onHand: 3 })
  expect(bench.client.status.getSnapshot()).toMatchObject({ degraded: ['stock'], storage: 'ok' })
  expect(bench.errors).toMatchObject([{ code: 'STATE_NOT_STORABLE' }])
  expect([...disk.builds.values()].map(({ checkpoint }) => checkpoint.model)).toEqual(['shelf'])
  await bench.client.close()
})

test('[M15] more keys than there is room for are read when asked for; loading is not absent', async () => {
  const { disk } = await filledDisk(400, 200)
  const { bench, models } = open(disk, { keysInMemoryMax: 20 })
  const [there, notThere] = [models.stock('sku-150'), models.stock('nowhere')]
  let told = 0
  there.subscribe(() => (told += 1))
  await bench.system.settle()
  expect([there, notThere].map((each) => each.getSnapshot().status)).toEqual(['loading', 'loading'])
  await bench.system.settle()
  expect(there.get()).toEqual({ onHand: 2 })
  expect(notThere.getSnapshot().status).toBe('absent')
  expect(told).toBeGreaterThan(0)
  await bench.client.close()
})

test('[M15] a tab that reads what the leader has written meanwhile folds nothing twice', async () => {
  const { disk, log } = await filledDisk(100, 50)
  const tabs = createTestTabs()
  const system = createTestSystem()
  const [leader, follower] = [0, 1].map(() => {
    const world = { system, locks: tabs.locks, broadcast: tabs.broadcast(), keysInMemoryMax: 5 }
    return openBench({ disk, ...world, models: { stock } as never })
  }) as [Bench, Bench]
  await leader.greet(log)
  log.append([foreignLine(5_000, 7, 'sku-40')])
  leader.connection().send(log.deliver(100))
  await system.advance(3_000)
  expect([...disk.builds.values()].at(0)?.checkpoint.position).toBe(101)
  const { stock: handle } = follower.client.model as unknown as Opened['models']
  handle('sku-40').getSnapshot()
  await system.settle()
  expect(handle('sku-40').get()).toEqual({ onHand: 9 })
  for (const { client } of [leader, follower]) await client.close()
})

test('[M15] a command on a key that is not in memory is decided on what the disk has', async () => {
  const disk = createDisk()
  const log = inventoryLog()
  const first = openBench({ disk })
  await first.greet(log)
  for (const n of rangeOf(40)) log.append([foreignLine(n, 5, `sku-${n}`)])
  first.connection().send(log.deliver())
  await first.system.advance(3_000)
  await first.client.close()
  const bench = openBench({ disk, keysInMemoryMax: 4 })
  expect(await bench.client.model.item('sku-33').pick({ quantity: 6 })).toMatchObject({
    code: 'OUT_OF_STOCK',
    details: { onHand: 5 },
  })
  const taken = await bench.client.model.item('sku-34').pick({ quantity: 4 })
  expect(taken.ok).toBe(true)
  expect([...disk.outbox.values()].at(-1)).toMatchObject({ expectedRevision: 1 })
  await bench.client.close()
})

// What follows does anything in any order, and compares with folding everything that the disk has.

const streams = ['a', 'b', 'c', 'd', 'ea', 'fb', 'ga']

/** What the models should show, by folding all that is on the disk. */
function expected(disk: Disk) {
  const log = inventoryLog().name
  const entries = (disk.logs.get('inventory/default')?.lines ?? []).map((line) =>
    parseEntry(log, line),
  )
  const pending = [...disk.outbox.values()]
    .sort((a, b) => a.seq - b.seq)
    .flatMap(({ lines }) => lines.map((line) => ({ ...log, author: 'ann', ...parseClaim(line) })))
  const states = (shown: typeof stock | typeof shelves) => {
    const all = new Map<string, unknown>()
    for (const event of [...entries, ...pending]) {
      if (!Object.hasOwn(shown.on, event.type)) continue
      const key = shown.key(event)
      all.set(key, fold(shown as typeof stock, (all.get(key) ?? shown.initial) as Stock, event))
    }
    return all
  }
  return { stock: states(stock), shelf: states(shelves) }
}

const queries: readonly ListQuery[] = [
  {},
  { limit: 2 },
  { descending: true, limit: 3 },
  { orderBy: 'onHand' },
  { orderBy: 'onHand', limit: 3 },
  { orderBy: 'onHand', descending: true, limit: 2 },
  { where: { kind: 'odd' } },
  { where: { kind: 'even' }, limit: 2 },
  { where: { onHand: { from: 2, to: 6 } }, orderBy: 'onHand', limit: 2 },
  { where: { onHand: { from: 1 }, kind: 'odd' }, orderBy: 'onHand', descending: true, limit: 2 },
  { where: { kind: { from: 'f' } }, orderBy: 'onHand' },
]

function arranged(states: ReadonlyMap<string, unknown>, query: ListQuery): readonly string[] {
  const rows = [...(states as ReadonlyMap<string, Stock>)].map(([key, { onHand }]) => {
    return { key, onHand, kind: onHand === 0 ? undefined : onHand % 2 === 0 ? 'even' : 'odd' }
  })
  const { where = {}, orderBy = 'key', descending, limit } = query as ListQuery & { orderBy: 'key' }
  const isIn = (value: number | string | undefined, condition: unknown): boolean => {
    if (typeof condition !== 'object') return value === condition
    const { from, to } = condition as { from?: number | string; to?: number | string }
    return (
      value !== undefined &&
      (from === undefined || value >= from) &&
      (to === undefined || value <= to)
    )
  }
  const found = rows
    .filter((row) => Object.entries(where).every(([name, each]) => isIn(row[name as 'kind'], each)))
    .sort((a, b) => {
      const [x, y] = [a[orderBy], b[orderBy]]
      return x < y ? -1 : x > y ? 1 : a.key < b.key ? -1 : 1
    })
  if (descending) found.reverse()
  return found.slice(0, limit).map(({ key }) => key)
}

/** Two tabs on one disk, with room for three keys each. */
class Anything {
  readonly disk = createDisk()
  readonly system = createTestSystem()
  readonly #tabs = createTestTabs()
  gateway = new TestGateway(inventoryLog())
  readonly opened: Opened[]
  n = 0

  constructor() {
    this.opened = [this.#open(), this.#open()]
  }

  get benches(): readonly Bench[] {
    return this.opened.map(({ bench }) => bench)
  }

  #open(): Opened {
    const { disk, system } = this
    const world = { locks: this.#tabs.locks, broadcast: this.#tabs.broadcast() }
    const models = { stock, shelf: shelves } as never
    const bench = openBench({ disk, system, keysInMemoryMax: 3, models, ...world })
    return { bench, models: bench.client.model as never }
  }

  async act(what: number, stream: string): Promise<void> {
    this.n += 1
    const at = this.n % 3 === 0 ? 1 : 0
    const opened = this.opened[at]
    if (!opened) return
    const { bench, models } = opened
    if (what === 0) await bench.client.append(received(1 + (this.n % 3), stream))
    if (what === 1) await bench.client.append(picked(1 + (this.n % 2), stream))
    if (what === 2) this.gateway.log.append([foreignLine(this.n, 1 + (this.n % 4), stream)])
    if (what === 3) await talk(this.gateway, ...this.benches)
    if (what === 4) await this.system.advance(this.n % 2 === 0 ? 2_500 : 16_000)
    if (what === 5) models.stock(stream).getSnapshot()
    if (what === 6) await this.#reload(at)
    if (what === 7) await this.#restore()
    await this.system.settle()
  }

  async #reload(at: number): Promise<void> {
    await this.opened[at]?.bench.client.close()
    this.opened[at] = this.#open()
  }

  /** The gateway comes back with less; another tab hears of it first. */
  async #restore(): Promise<void> {
    const cursor = this.disk.logs.get('inventory/default')?.cursor
    if (!cursor || cursor.position < 2) return
    const epoch =
      `0198c0de-e90c-7000-8000-${String(this.n).padStart(12, '0')}` as typeof cursor.epoch
    const kept = this.gateway.log.lines.slice(0, Math.floor(cursor.position / 2))
    const restored = new TestLog(this.gateway.log.name, epoch)
    for (const line of kept) restored.append([JSON.stringify(JSON.parse(line).event)])
    const tab = memoryStore(this.disk, { system: this.system })
    const position = restored.head
    await tab.rewind(restored.name, cursor, { epoch, position, id: restored.idAt(position) }, [])
    this.gateway = new TestGateway(restored)
    for (const bench of this.benches) {
      if (bench.connections.length > 0) bench.connection().drop()
      // As the doorbell between tabs would.
      await bench.client.verdict(restored.idAt(position))
    }
    await this.system.advance(61_000)
  }

  async check(): Promise<void> {
    for (const { models } of this.opened) await this.#checkTab(models)
  }

  async #checkTab(models: Opened['models']): Promise<void> {
    const wanted = expected(this.disk)
    for (const name of ['stock', 'shelf'] as const) {
      for (const key of name === 'stock' ? streams : ['a', 'b', 'c', 'd']) {
        const handle: LiveState<unknown> = models[name](key)
        handle.getSnapshot()
        await this.system.settle()
        const { status, state } = handle.getSnapshot()
        const there = wanted[name].get(key)
        expect([name, key, status, state]).toEqual([name, key, there ? 'present' : 'absent', there])
      }
    }
    for (const query of queries) {
      const list = models.stock.list(query)
      const stop = list.subscribe(() => undefined)
      list.getSnapshot()
      await this.system.settle()
      list.getSnapshot()
      await this.system.settle()
      const { status, items } = list.getSnapshot()
      expect([query, status, items.map(({ key }) => key)]).toEqual([
        query,
        'ready',
        arranged(wanted.stock, query),
      ])
      stop()
    }
  }
}

test('[M12] what is folded as it comes, evicted, read back and loaded again is what is folded from the beginning', async () => {
  const act = fc.tuple(fc.nat({ max: 7 }), fc.constantFrom(...streams))
  await fc.assert(
    fc.asyncProperty(fc.array(act, { minLength: 5, maxLength: 40 }), async (acts) => {
      const anything = new Anything()
      await anything.system.settle()
      for (const [at, [what, stream]] of acts.entries()) {
        await anything.act(what, stream)
        if (at % 5 === 4) await anything.check()
      }
      await talk(anything.gateway, ...anything.benches)
      await anything.check()
      for (const { client } of anything.benches) await client.close()
    }),
    { numRuns: 300 },
  )
}, 120_000)

test('[M13] a list with a limit asks the disk for little, and is right at once when what it shows leaves it', async () => {
  const { disk, log } = await filledDisk(2_000, 500)
  const { bench, models } = open(disk, { keysInMemoryMax: 300 })
  await bench.greet(log)
  const list = models.stock.list({ orderBy: 'onHand', descending: true, limit: 3 })
  list.subscribe(() => undefined)
  list.getSnapshot()
  await bench.system.settle()
  expect(list.getSnapshot().items.map(({ key }) => key)).toEqual(['sku-99', 'sku-98', 'sku-97'])
  await bench.client.append(received(10, 'sku-7'))
  expect(list.getSnapshot().items.map(({ key }) => key)).toEqual(['sku-7', 'sku-99', 'sku-98'])
  await bench.client.append(picked(1, 'sku-99'))
  expect(list.getSnapshot().items.map(({ key }) => key)).toEqual(['sku-7', 'sku-98', 'sku-97'])
  const byKey = rangeOf(500).map((n) => `sku-${n}`)
  const [first, ...next] = byKey
    .toSorted()
    .toReversed()
    .filter((key) => key !== 'sku-7')
  expect(first).toBe('sku-99')
  for (const key of next.slice(0, 100)) await bench.client.append(picked(1, key))
  list.getSnapshot()
  await bench.system.settle()
  const keys = list.getSnapshot().items.map(({ key }) => key)
  expect(keys).toEqual(['sku-7', ...next.slice(100, 102)])
  expect(list.getSnapshot()).toBe(list.getSnapshot())
  expect(models.stock.list({ limit: 3, descending: true, orderBy: 'onHand' })).toBe(list)
  await bench.client.close()
})

test('[M13] a list with a limit is right when what has moved into it has left memory', async () => {
  const { disk, log } = await filledDisk(2_000, 500)
  const { bench, models } = open(disk, { keysInMemoryMax: 20 })
  await bench.greet(log)
  const list = models.stock.list({ orderBy: 'onHand', descending: true, limit: 1 })
  const shown = () => list.getSnapshot().items.map(({ key }) => key)
  list.subscribe(() => void shown())
  shown()
  await bench.system.settle()
  expect(shown()).toEqual(['sku-99'])
  log.append([foreignLine(5_000, 50, 'sku-250')])
  bench.connection().send(log.deliver(2_000))
  await bench.system.settle()
  await bench.system.advance(3_000)
  for (const n of rangeOf(200)) {
    models.stock(`sku-${n}`).getSnapshot()
    await bench.system.settle()
  }
  expect(shown()).toEqual(['sku-250'])
  await bench.client.close()
})

test('[M13] a list whose range is empty or mixed, or whose limit is 0, is ready in whole and in part', async () => {
  const { disk } = await filledDisk(30, 10)
  for (const keysInMemoryMax of [1_000, 3]) {
    const { bench, models } = open(disk, { keysInMemoryMax })
    const keysOf = async (query: ListQuery) => {
      const list = models.stock.list(query)
      const stop = list.subscribe(() => undefined)
      list.getSnapshot()
      await bench.system.settle()
      const { status, items } = list.getSnapshot()
      stop()
      return [status, ...items.map(({ key }) => key)]
    }
    await bench.client.append(received(1, 'sku-1'))
    for (const onHand of [{ from: 4, to: 3 }, { from: '', to: 4 }, { from: Infinity }]) {
      expect(await keysOf({ where: { onHand } })).toEqual(['ready'])
    }
    expect(await keysOf({ limit: 0 })).toEqual(['ready'])
    expect(await keysOf({ where: { onHand: { from: 4, to: '' } } })).toEqual(['ready', 'sku-1'])
    expect(await keysOf({ where: { onHand: { from: -Infinity } }, limit: Infinity })).toHaveLength(
      11,
    )
    await bench.client.close()
    disk.outbox.clear()
  }
})

test('[M13] a query that no index can answer is rejected at the call, and not taken for another', () => {
  const { bench, models } = open(createDisk())
  models.stock.list()
  const value = null as never
  const queries: readonly ListQuery[] = [
    ...[NaN, -1, 1.5].map((limit) => ({ limit })),
    ...[NaN, { from: NaN }, { to: value }].map((onHand) => ({ where: { onHand } })),
    { where: { colour: 1 } },
  ]
  for (const query of queries) {
    expect(() => models.stock.list(query)).toThrow(
      expect.objectContaining({ code: 'QUERY_INVALID' }) as Error,
    )
  }
  void bench.client.close()
})

test('[M13] the indexes of a model are known to the compiler, and to the list', () => {
  const { bench, models } = open(createDisk())
  expect(() => models.stock.list({ orderBy: 'colour' })).toThrow(/QUERY_INVALID .*colour/)
  // @ts-expect-error -- the model declares no such index
  const misspelt: ListQuery<keyof typeof stock.indexes & string> = { orderBy: 'onhand' }
  expect(misspelt.orderBy).toBe('onhand')
  void bench.client.close()
})
