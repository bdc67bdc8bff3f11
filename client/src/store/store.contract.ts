/** What every store has to do. Run by each adapter's test, in Node and in a browser page. */
import type { Cursor, Epoch, EventId, LogName, Position } from '@tidemark/shared'
import { expect, test } from 'vitest'
import {
  type AnyRefused,
  type Batch,
  type Checkpoint,
  type Fate,
  isOfferedAgain,
  type OutboxRow,
  type Page,
  type Refused,
  type Seen,
  type StateRow,
  type Store,
  type Want,
} from './store.ts'

/** A place where stores can be opened that share one database, as tabs do. */
export interface StorePlace {
  open(): Store
}

const log: LogName = { topic: 'inventory', scope: 'shop-7' }
const epoch = '0198c0de-0000-7000-8000-00000000e90c' as Epoch
const id = (n: number) => `0198c0de-0000-7000-8000-${String(n).padStart(12, '0')}` as EventId
const line = (n: number) => `{"position":${n},"event":{"id":"${id(n)}","text":"zwölf ✓"}}`
const batch = (n: number): Batch => ({ ...log, lines: [`{"id":"${id(n)}"}`] })
const cursor = (position: number): Cursor => ({
  epoch,
  position: position as Position,
  ...(position > 0 && { id: id(position) }),
})
const page = (after: number, upTo: number, text = line): Page => ({
  ...log,
  after: after as Position,
  lines: Array.from({ length: upTo - after }, (_, at) => text(after + at + 1)),
  cursor: cursor(upTo),
})
const refused = (n: number): Refused => ({
  ...log,
  id: id(n),
  line: batch(n).lines[0] ?? '',
  refusal: { code: 'ID_REUSED', details: undefined },
  refusedAt: 1,
})
const nothing: Seen = {
  seq: 0,
  pending: [],
  logs: [{ ...log, position: 0 as Position, rewinds: 0 }],
}
const seenUpTo = (position: number): Seen => ({
  seq: 0,
  pending: [],
  logs: [{ ...log, position: position as Position, rewinds: 0 }],
})
const lots = 10_000_000

/** Runs the contract. `place` makes an empty database each time. */
export function storeContract(name: string, place: () => StorePlace | Promise<StorePlace>): void {
  const check = (title: string, run: (store: Store, place: StorePlace) => Promise<void>): void => {
    test(`${name}: ${title}`, async () => {
      const here = await place()
      const store = here.open()
      await run(store, here)
      await store.close()
    })
  }
  checkIdentity(check)
  checkOutbox(check)
  checkEntries(check)
  checkSettling(check)
  checkRewinding(check)
  checkDeciding(check)
  checkStates(check)
}

type Checks = (title: string, run: (store: Store, place: StorePlace) => Promise<void>) => void

function checkIdentity(check: Checks): void {
  check(
    '[P7] a database has one identity, for every tab and after a reload',
    async (store, place) => {
      const tab = place.open()
      const [first, second] = await Promise.all([store.open(), tab.open()])
      expect(second).toEqual(first)
      expect(first.clientId).not.toBe(first.incarnation)
      await tab.close()
      const reloaded = place.open()
      expect(await reloaded.open()).toEqual(first)
      await reloaded.close()
    },
  )

  check('a closed store answers with an error', async (store) => {
    await store.open()
    await store.close()
    await expect(store.append([batch(1)])).rejects.toMatchObject({ code: 'STORAGE_LOST' })
  })

  check('[U2] a database that was destroyed is empty, and another one', async (store, place) => {
    const before = await store.open()
    await store.append([batch(1), batch(2)])
    await store.apply([page(0, 3)], [])
    await store.settle({ seqs: [1], refused: [refused(1)], accepted: [] })
    await store.destroy()
    await expect(store.append([batch(3)])).rejects.toMatchObject({ code: 'STORAGE_LOST' })
    const next = place.open()
    expect((await next.open()).incarnation).not.toBe(before.incarnation)
    const { rows, refused: left, logs } = await next.load(nothing, lots)
    expect([rows, left, logs[0]?.lines, logs[0]?.cursor]).toEqual([[], [], [], undefined])
    expect(await next.append([batch(4)])).toHaveLength(1)
    await next.close()
  })
}

function checkOutbox(check: Checks): void {
  check(
    '[A3] what several tabs append at once gets one order without a gap',
    async (store, place) => {
      const tab = place.open()
      const seqs = await Promise.all([
        store.append([batch(1), batch(2)]),
        tab.append([batch(3)]),
        store.append([batch(4)], 'strict'),
        tab.append([batch(5), batch(6)]),
      ])
      expect(seqs.flat().sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6])
      expect(seqs[0]).toHaveLength(2)
      expect(seqs[3]?.[1]).toBe((seqs[3]?.[0] ?? 0) + 1)
      const { rows } = await store.load(nothing, lots)
      expect(rows.map((row) => row.seq)).toEqual([1, 2, 3, 4, 5, 6])
      await tab.close()
    },
  )

  check(
    '[A2] an outbox row keeps its bytes, and everything else it was given',
    async (store, place) => {
      const given: Batch = {
        ...log,
        lines: ['{"a": 1 }', '"ü✓\\n😀"'],
        after: id(1),
        expectedRevision: 3,
      }
      const [seq] = await store.append([given])
      const tab = place.open()
      const { rows } = await tab.load(nothing, lots)
      expect(rows).toEqual([{ ...given, seq }])
      await tab.close()
    },
  )

  check('only rows that were not seen are loaded', async (store) => {
    await store.append([batch(1), batch(2), batch(3)])
    const { rows } = await store.load({ ...nothing, seq: 2 }, lots)
    expect(rows.map((row) => row.lines)).toEqual([batch(3).lines])
  })

  check(
    '[A3] many batches in one append keep their order, and leave one by one or together',
    async (store, place) => {
      const tab = place.open()
      const many = Array.from({ length: 1_000 }, (_, n) => batch(n))
      const seqs = await store.append(many)
      expect(await tab.append([batch(2_000)])).toEqual([1_001])
      expect(await tab.append([batch(2_001), batch(2_002)])).toEqual([1_002, 1_003])
      expect(seqs).toEqual(many.map((_each, at) => at + 1))
      const after = async (seq: number) =>
        (await tab.load({ ...nothing, seq }, lots)).rows.map((row) => row.seq)
      expect(await after(0)).toHaveLength(1_003)
      for (const seq of [1, 63, 64, 65, 500, 999, 1_002]) {
        expect((await after(seq))[0]).toBe(seq + 1)
      }
      const gone = [1, 2, 3, 70, 130, 131, 999, 1_000, 1_001]
      await store.settle({ seqs: gone, refused: [], accepted: [] })
      const left = (await after(0)).length
      expect(left).toBe(1_003 - gone.length)
      // The other tab has its own memory of what there was.
      const range = Array.from({ length: 600 }, (_, n) => n + 100)
      expect(await tab.apply([page(0, 1)], range)).toBe(true)
      const expected = [...seqs, 1_002, 1_003].filter(
        (seq) => !gone.includes(seq) && !range.includes(seq),
      )
      expect(await after(0)).toEqual(expected)
      const { rows } = await store.load(nothing, lots)
      for (const { seq, lines } of rows.slice(0, -2)) expect(lines).toEqual(batch(seq - 1).lines)
      await store.settle({ seqs: expected, refused: [], accepted: [] })
      expect(await after(0)).toEqual([])
      expect(await store.append([batch(1)])).toEqual([1_004])
      await tab.close()
    },
  )

  check(
    '[S14] a long outbox is read in bounded steps, from wherever the last one ended',
    async (store, place) => {
      const long = (n: number): Batch => ({ ...log, lines: [`"${'x'.repeat(2_000)}${n}"`] })
      await store.append(Array.from({ length: 400 }, (_, n) => long(n)))
      for (let n = 400; n < 700; n++) await store.append([long(n)])
      const taken = Array.from({ length: 300 }, (_, n) => long(n - 300))
      await store.rewind(log, undefined, cursor(0), taken)
      const tab = place.open()
      const found: OutboxRow[] = []
      let steps = 0
      for (let more = true; more; steps++) {
        const { rows, moreRows } = await tab.load(
          { ...nothing, seq: found.at(-1)?.seq ?? 0 },
          100_000,
        )
        expect(rows.length).toBeLessThan(taken.length + 700)
        found.push(...rows)
        more = moreRows
      }
      expect(steps).toBeGreaterThan(1)
      const wanted = [...taken, ...Array.from({ length: 700 }, (_, n) => long(n))]
      expect(found.map(({ lines }) => lines)).toEqual(wanted.map(({ lines }) => lines))
      await tab.close()
    },
  )

  check('a reader hears which of its pending rows have left the outbox', async (store) => {
    await store.append([batch(1), batch(2), batch(3), batch(4)])
    await store.settle({ seqs: [2, 4], refused: [], accepted: [] })
    const { left } = await store.load({ ...nothing, seq: 3, pending: [1, 2, 3, 4] }, lots)
    expect(left).toEqual([2, 4])
    expect((await store.load({ ...nothing, seq: 4, pending: [1, 3] }, lots)).left).toEqual([])
  })

  check(
    'a number is not given twice, also when the outbox was empty in between',
    async (store, place) => {
      const [first] = await store.append([batch(1)])
      await store.settle({ seqs: [first ?? 0], refused: [], accepted: [] })
      await store.close()
      const reloaded = place.open()
      expect(await reloaded.append([batch(2)])).toEqual([(first ?? 0) + 1])
      await reloaded.close()
    },
  )
}

function checkEntries(check: Checks): void {
  check('[P1] entries, cursor and the rows they settle change together', async (store, place) => {
    await store.append([batch(1), batch(2), batch(3)])
    expect(await store.apply([page(0, 2)], [1, 3])).toBe(true)
    const tab = place.open()
    const { logs, rows } = await tab.load(nothing, lots)
    expect(logs).toEqual([
      { ...log, cursor: cursor(2), rewinds: 0, lines: [line(1), line(2)], more: false },
    ])
    expect(rows.map((row) => row.seq)).toEqual([2])
    await tab.close()
  })

  check(
    '[S12] what entries say was set aside is on the list with them, or with none of them',
    async (store) => {
      expect(await store.apply([page(0, 2)], [], [refused(1)])).toBe(true)
      expect(await store.apply([page(0, 2)], [], [refused(2)])).toBe(false)
      const { refused: listed, logs } = await store.load(nothing, lots)
      expect([listed, logs[0]?.lines.length]).toEqual([[refused(1)], 2])
    },
  )

  check('[P2] what does not continue from the cursor is not written', async (store, place) => {
    const tab = place.open()
    await store.append([batch(1)])
    expect(await store.apply([page(0, 2)], [])).toBe(true)
    expect(await tab.apply([page(2, 3)], [])).toBe(true)
    for (const misfit of [page(0, 2), page(2, 4), page(4, 5)]) {
      expect(await store.apply([misfit], [1])).toBe(false)
    }
    const other = { topic: 'orders', scope: 'shop-7' }
    expect(await store.apply([{ ...page(0, 1), ...other }, page(2, 4)], [])).toBe(false)
    const seen: Seen = {
      seq: 0,
      pending: [],
      logs: [...nothing.logs, { ...nothing.logs[0]!, ...other }],
    }
    const { logs, rows } = await store.load(seen, lots)
    expect(logs.map((each) => each.lines.length)).toEqual([3, 0])
    expect(rows).toHaveLength(1)
    await tab.close()
  })

  check(
    '[P3] entries come back in order from any position, however they were written',
    async (store, place) => {
      let position = 0
      for (const step of [1, 1, 3, 700, 1, 2, 1200, 1, 1]) {
        expect(await store.apply([page(position, position + step)], [])).toBe(true)
        position += step
      }
      const tab = place.open()
      expect(await tab.apply([page(position, position + 1)], [])).toBe(true)
      position += 1
      const all = page(0, position).lines
      for (const after of [0, 1, 2, 4, 5, 300, 705, 706, 1900, position - 1, position]) {
        const { lines, more } = await store.read(log, after as Position, lots)
        expect(more).toBe(false)
        expect(lines).toEqual(all.slice(after))
        const { logs } = await tab.load(seenUpTo(after), lots)
        expect(logs[0]?.lines).toEqual(all.slice(after))
      }
      await tab.close()
    },
  )

  check('[P4] a big log is read in bounded steps', async (store) => {
    const fat = (n: number) => line(n).padEnd(2_000, ' ')
    for (let at = 0; at < 1_000; at += 100) await store.apply([page(at, at + 100, fat)], [])
    const lines: string[] = []
    for (let more = true; more;) {
      const step = await store.read(log, lines.length as Position, 100_000)
      const { logs } = await store.load(seenUpTo(lines.length), 100_000)
      expect(logs[0]?.lines).toEqual(step.lines)
      expect(step.lines.join('').length).toBeLessThan(2_000_000)
      lines.push(...step.lines)
      more = step.more
    }
    expect(lines).toEqual(page(0, 1_000, fat).lines)
  })

  check('logs do not touch each other', async (store) => {
    const others = [
      { topic: 'inventory', scope: 'shop' },
      { topic: 'inventory', scope: 'shop-70' },
      { topic: 'orders', scope: 'shop-7' },
    ]
    await store.apply([page(0, 2), ...others.map((other) => ({ ...page(0, 1), ...other }))], [])
    await store.rewind(others[0]!, cursor(1), cursor(0), [])
    expect((await store.read(log, 0 as Position, lots)).lines).toHaveLength(2)
    expect((await store.read(others[0]!, 0 as Position, lots)).lines).toHaveLength(0)
    expect((await store.read(others[1]!, 0 as Position, lots)).lines).toHaveLength(1)
  })
}

function checkSettling(check: Checks): void {
  check(
    '[S5] a refusal is written as its row leaves, and stays until it is discarded',
    async (store, place) => {
      await store.append([batch(1), batch(2)])
      await store.settle({ seqs: [1], refused: [refused(1)], accepted: [] })
      await store.close()
      const reloaded = place.open()
      const loaded = await reloaded.load(nothing, lots)
      expect(loaded.refused).toEqual([refused(1)])
      expect(loaded.rows.map((row) => row.seq)).toEqual([2])
      await reloaded.discard([id(1), id(9)])
      expect((await reloaded.load(nothing, lots)).refused).toEqual([])
      await reloaded.close()
    },
  )

  check('an accepted event of a log that is not read is remembered by its id', async (store) => {
    const accepted = { ...log, id: id(1), position: 7 as Position, revision: 2 }
    await store.append([batch(1)])
    await store.settle({ seqs: [1], refused: [], accepted: [accepted] })
    expect(await store.accepted(id(1))).toEqual(accepted)
    expect(await store.accepted(id(2))).toBe(undefined)
  })

  check('settling twice is settling once', async (store) => {
    await store.append([batch(1)])
    for (let time = 0; time < 2; time++) {
      await store.settle({ seqs: [1], refused: [refused(1)], accepted: [] })
    }
    expect((await store.load(nothing, lots)).refused).toHaveLength(1)
  })
}

const fate = (n: number, by: readonly number[] = []): Fate => ({
  ...log,
  type: by.length > 0 ? 'superseded' : 'withdrawn',
  ids: [id(n)],
  by: by.map(id),
})

function checkDeciding(check: Checks): void {
  check(
    'a row that is replaced goes to the end, once, and readers hear its fate',
    async (store, place) => {
      const tab = place.open()
      const decision = {
        model: 'item',
        key: 'k',
        command: 'pick',
        input: { a: 1 },
        commandId: id(9),
        attempt: 1,
      }
      await store.append([batch(1), batch(2)])
      expect((await tab.load(nothing, lots)).fates).toEqual({ upTo: 0, rows: [] })
      const next = { ...batch(3), expectedRevision: 2, decision }
      expect(await store.replace(1, fate(1, [3]), next)).toBe(true)
      expect(await tab.replace(1, fate(1, [4]), batch(4))).toBe(false)
      const { rows, fates } = await tab.load({ ...nothing, fate: 0 }, lots)
      expect(rows).toEqual([
        { ...batch(2), seq: 2 },
        { ...next, seq: 3 },
      ])
      expect(fates).toEqual({ upTo: 1, rows: [fate(1, [3])] })
      expect((await tab.load({ ...nothing, fate: 1 }, lots)).fates).toEqual({ upTo: 1, rows: [] })
      expect((await tab.load(nothing, lots)).fates).toEqual({ upTo: 1, rows: [] })
      expect(await tab.fate(id(1))).toEqual(fate(1, [3]))
      expect(await tab.fate(id(3))).toBe(undefined)
      await tab.close()
    },
  )

  check(
    '[X7] only what was appended since the last link ended is withdrawn',
    async (store, place) => {
      await store.append([batch(1), batch(2), batch(3)])
      await store.linked(false)
      expect(await store.withdraw(1, fate(1))).toBe(true)
      await store.linked(true)
      expect(await store.withdraw(2, fate(2))).toBe(false)
      await store.append([batch(4)])
      expect(await store.withdraw(4, fate(4))).toBe(false)
      await store.close()
      const reloaded = place.open()
      await reloaded.linked(false)
      const [fifth = 0] = await reloaded.append([batch(5)])
      await reloaded.linked(false)
      expect(await reloaded.withdraw(4, fate(4))).toBe(false)
      expect(await reloaded.withdraw(fifth, fate(5))).toBe(true)
      expect(await reloaded.withdraw(fifth, fate(5))).toBe(false)
      const { rows } = await reloaded.load(nothing, lots)
      expect(rows.map(({ seq }) => seq)).toEqual([2, 3, 4])
      await reloaded.close()
    },
  )

  check('[S11] what answers a refused event is appended as that leaves its list', async (store) => {
    const denied: AnyRefused = {
      ...refused(1),
      refusal: { ok: false, code: 'OUT_OF_STOCK', details: { onHand: 1 } },
      sides: { expectedRevision: 1, revision: 2, state: { onHand: 1 } },
      dependents: [id(2)],
    }
    await store.append([batch(1)])
    await store.settle({ seqs: [1], refused: [denied], accepted: [] })
    expect((await store.load(nothing, lots)).refused).toEqual([denied])
    expect(await store.append([batch(2)], 'relaxed', [id(1)])).toEqual([2])
    const loaded = await store.load(nothing, lots)
    expect([loaded.refused, loaded.rows.length]).toEqual([[], 1])
    // Two answers to one refusal would both happen.
    await expect(store.append([batch(3)], 'relaxed', [id(1)])).rejects.toMatchObject({
      code: 'NOT_REFUSED',
      details: { id: id(1) },
    })
    expect((await store.load(nothing, lots)).rows.map(({ seq }) => seq)).toEqual([2])
    expect(await store.append([batch(4)])).toEqual([3])
  })

  check(
    '[S5] what was refused is remembered when it leaves the list, but for dead letters',
    async (store) => {
      const dead: AnyRefused = {
        ...refused(3),
        refusal: {
          code: 'DEAD_LETTERED',
          details: { consumer: 'stock', code: 'HANDLER_FAILED', reason: 'no', attempts: 8 },
        },
      }
      await store.append([batch(1), batch(2)])
      const all = [refused(1), refused(2), dead]
      await store.settle({ seqs: [1, 2], refused: all, accepted: [] })
      await store.discard([id(1), id(3), id(7)])
      await store.append([batch(4)], 'relaxed', [id(2)])
      const resolved = (n: number) => ({
        type: 'resolved',
        ...log,
        ids: [id(n)],
        by: [],
        refusal: refused(n).refusal,
      })
      const { refused: left, fates } = await store.load({ ...nothing, fate: 0 }, lots)
      expect(left).toEqual([])
      expect(fates.rows).toEqual([resolved(1), resolved(2)])
      expect([await store.fate(id(1)), await store.fate(id(3))]).toEqual([resolved(1), undefined])
    },
  )
}

function checkRewinding(check: Checks): void {
  check(
    '[P5] a rewind takes back what comes after, and says so to other tabs',
    async (store, place) => {
      const tab = place.open()
      for (const [after, upTo] of [
        [0, 3],
        [3, 10],
        [10, 600],
      ] as const) {
        await store.apply([page(after, upTo)], [])
      }
      for (const [times, target] of [450, 7, 3, 1].entries()) {
        const from = cursor([600, 450, 7, 3][times] ?? 0)
        expect(await store.rewind(log, from, cursor(target), [])).toBe(true)
        const { logs } = await tab.load(nothing, lots)
        expect(logs[0]).toMatchObject({ cursor: cursor(target), rewinds: times + 1, more: false })
        expect(logs[0]?.lines).toEqual(page(0, target).lines)
      }
      expect(await tab.apply([page(3, 4)], [])).toBe(false)
      const again = (n: number) => line(n).replace('zwölf', 'anew')
      expect(await store.apply([page(1, 4, again)], [])).toBe(true)
      const { lines } = await tab.read(log, 0 as Position, lots)
      expect(lines).toEqual([line(1), again(2), again(3), again(4)])
      // Another tab writes what this one has written, otherwise.
      await tab.rewind(log, cursor(4), cursor(1), [])
      expect(await tab.apply([page(1, 4)], [])).toBe(true)
      expect(await store.apply([page(4, 5)], [])).toBe(true)
      expect((await tab.read(log, 0 as Position, lots)).lines).toEqual(page(0, 5).lines)
      await store.rewind(log, cursor(5), cursor(0), [])
      expect((await tab.load(seenUpTo(4), lots)).logs[0]?.lines).toEqual([])
      expect(await tab.apply([page(0, 1)], [])).toBe(true)
      await tab.close()
    },
  )

  check(
    '[P12] what is offered again enters the outbox before everything else, as its entries go',
    async (store, place) => {
      const tab = place.open()
      await store.append([batch(1), batch(2), batch(3)])
      await store.apply([page(0, 200)], [1])
      const pair: Batch = { ...log, lines: [...batch(150).lines, ...batch(151).lines] }
      const many = Array.from({ length: 130 }, (_, n) => batch(n + 1_000))
      expect(await store.rewind(log, cursor(200), cursor(100), [pair, ...many])).toBe(true)
      expect(await tab.rewind(log, cursor(100), cursor(50), [batch(60), batch(70)])).toBe(true)
      const all = async (from: Store, seq = 0) => (await from.load({ ...nothing, seq }, lots)).rows
      const rows = await all(tab)
      const wanted = [batch(60), batch(70), pair, ...many, batch(2), batch(3)]
      expect(rows.map(({ lines }) => lines)).toEqual(wanted.map(({ lines }) => lines))
      expect(rows.map(({ seq }) => seq)).toEqual(rows.map(({ seq }) => seq).sort((a, b) => a - b))
      expect(rows.map((row) => isOfferedAgain(row)).lastIndexOf(true)).toBe(wanted.length - 3)
      expect((await all(tab, 2)).map(({ seq }) => seq)).toEqual([3])
      // It leaves as everything else does, and its number is not given again.
      const [first = 0, second = 0, third = 0] = rows.map(({ seq }) => seq)
      expect(await store.withdraw(first, fate(60))).toBe(false)
      await store.settle({ seqs: [first, third], refused: [refused(60)], accepted: [] })
      expect(await tab.apply([page(50, 51)], [second])).toBe(true)
      expect((await all(store)).map(({ lines }) => lines)).toEqual(
        wanted.slice(3).map(({ lines }) => lines),
      )
      expect(await store.append([batch(4)])).toEqual([4])
      await store.rewind(log, cursor(51), cursor(0), [batch(5)])
      expect((await all(store))[0]).toEqual({ ...batch(5), seq: first - 1 })
      await tab.close()
    },
  )

  check(
    '[P12] where the log has moved on, a rewind writes nothing and offers nothing',
    async (store, place) => {
      const tab = place.open()
      await store.apply([page(0, 5)], [])
      expect(await tab.apply([page(5, 6)], [])).toBe(true)
      for (const from of [cursor(5), { ...cursor(6), id: id(9) }, undefined]) {
        expect(await store.rewind(log, from, cursor(2), [batch(3)])).toBe(false)
      }
      const { rows, logs } = await tab.load(nothing, lots)
      expect(rows).toEqual([])
      expect(logs[0]).toMatchObject({ cursor: cursor(6), rewinds: 0 })
      expect(await store.apply([page(6, 7)], [])).toBe(true)
      await tab.close()
    },
  )
}

const at = (position: number, build = 'item@1', isComplete = true): Checkpoint => ({
  build,
  model: 'item',
  position: position as Position,
  isComplete,
})
const stateRow = (key: string, onHand: number, colour?: string): StateRow => ({
  key,
  position: 1 as Position,
  revision: 1,
  state: { onHand, made: new Date(onHand), colours: new Set([colour]) },
  indexed: { onHand, ...(colour && { colour }) },
})
const readStates = async (store: Store, ...wants: readonly Want[]) => {
  const { states } = await store.load({ ...nothing, wants }, lots)
  return states.map((rows) => rows?.map(({ key }) => key))
}

function checkStates(check: Checks): void {
  check(
    '[M7] states are read as they were written, by keys and by ranges',
    async (store, place) => {
      const rows = [
        stateRow('a', 10, 'red'),
        stateRow('b', 2, 'blue'),
        stateRow('c', 300),
        stateRow('d', -1, 'red'),
        stateRow('é', 10, 'redder'),
      ]
      expect(await store.writeStates(at(4), undefined, rows)).toBe(4)
      await store.writeStates(at(9, 'other@1'), undefined, [stateRow('z', 5, 'red')])
      const tab = place.open()
      const build = 'item@1'
      const { states } = await tab.load({ ...nothing, wants: [{ build, keys: ['b', 'x'] }] }, lots)
      expect(states).toEqual([[rows[1]]])
      const range = (index: string | undefined, more: object): Want => ({
        build,
        range: { index, rowsMax: 100, ...more },
      })
      const found = await readStates(
        tab,
        range(undefined, {}),
        range(undefined, { rowsMax: 2, descending: true }),
        range('onHand', {}),
        range('onHand', { descending: true, rowsMax: 3 }),
        range('onHand', { from: 2, to: 10 }),
        range('colour', { from: 'red', to: 'red' }),
        range('colour', { from: 'c', rowsMax: Infinity }),
        { build: 'none', range: { rowsMax: 5 } },
        range('shape', {}),
      )
      expect(found).toEqual([
        ['a', 'b', 'c', 'd', 'é'],
        ['é', 'd'],
        ['d', 'b', 'a', 'é', 'c'],
        ['c', 'é', 'a'],
        ['b', 'a', 'é'],
        ['a', 'd'],
        ['a', 'd', 'é'],
        undefined,
        [],
      ])
      await tab.close()
    },
  )

  check(
    '[M7] a range that nothing lies in answers with nothing, and numbers come before strings',
    async (store) => {
      const rows = [stateRow('a', 10, 'red'), stateRow('b', 2), stateRow('c', 300, 'blue')]
      const mixed = [...rows, { ...stateRow('d', 0), indexed: { onHand: 'none' } }]
      await store.writeStates(at(4), undefined, mixed)
      const range = (index: string | undefined, more: object): Want => ({
        build: 'item@1',
        range: { index, rowsMax: 100, ...more },
      })
      for (const descending of [false, true]) {
        const inOrder = (...keys: readonly string[]) => (descending ? keys.toReversed() : keys)
        expect(
          await readStates(
            store,
            range('onHand', { descending, from: 10, to: 2 }),
            range('colour', { descending, from: 'red', to: 'blue' }),
            range('onHand', { descending, from: 'a', to: 5 }),
            range('onHand', { descending, from: 5, to: 'z' }),
            range('onHand', { descending, from: Infinity }),
            range('onHand', { descending, to: Infinity }),
            range('onHand', { descending, from: 'a' }),
            range('onHand', { descending, rowsMax: 0 }),
            range(undefined, { descending, rowsMax: 0 }),
            range(undefined, { descending, rowsMax: Number.MAX_VALUE }),
          ),
        ).toEqual([
          [],
          [],
          [],
          inOrder('a', 'c', 'd'),
          ['d'],
          inOrder('b', 'a', 'c'),
          ['d'],
          [],
          [],
          inOrder('a', 'b', 'c', 'd'),
        ])
      }
      expect(
        await readStates(store, {
          build: 'none',
          range: { index: 'onHand', from: 2, to: 1, rowsMax: 9 },
        }),
      ).toEqual([undefined])
    },
  )

  check('[M7] a state is found by what it is now, and not by what it was', async (store) => {
    await store.writeStates(at(1), undefined, [stateRow('a', 1, 'red'), stateRow('b', 2, 'red')])
    await store.writeStates(at(2), 1 as Position, [stateRow('a', 1, 'blue'), stateRow('b', 2)])
    const red: Want = { build: 'item@1', range: { index: 'colour', rowsMax: 9 } }
    expect(await readStates(store, red)).toEqual([['a']])
  })

  check('[M8] what several tabs write of one build is written once', async (store, place) => {
    const tab = place.open()
    const rows = [stateRow('a', 1)]
    const answers = await Promise.all([
      store.writeStates(at(5), undefined, rows),
      tab.writeStates(at(4), undefined, [stateRow('a', 99)]),
    ])
    const [first] = answers
    expect(answers).toEqual([first, first])
    expect(await store.writeStates(at(7), 3 as Position, rows)).toBe(first)
    expect(await store.writeStates(at(7), first, rows)).toBe(7)
    expect(await tab.checkpoints()).toEqual([at(7)])
    await tab.close()
  })

  check('[M8] a state that cannot be copied takes nothing with it', async (store) => {
    await store.writeStates(at(1), undefined, [stateRow('a', 1)])
    const bad = { ...stateRow('b', 2), state: { onClick: () => 1 } }
    await expect(
      store.writeStates(at(2), 1 as Position, [stateRow('a', 7), bad]),
    ).rejects.toMatchObject({ code: 'STATE_NOT_STORABLE', details: { model: 'item' } })
    expect(await store.checkpoints()).toEqual([at(1)])
    const { states } = await store.load(
      { ...nothing, wants: [{ build: 'item@1', keys: ['a', 'b'] }] },
      lots,
    )
    expect(states).toEqual([[stateRow('a', 1)]])
  })

  check('[M9] a build that is complete leaves only the newest of the others', async (store) => {
    for (const build of ['item@1', 'item@2']) {
      await store.writeStates(at(1, build), undefined, [stateRow('a', 1, 'red')])
    }
    await store.writeStates({ ...at(1, 'shelf@1'), model: 'shelf' }, undefined, [stateRow('s', 1)])
    await store.writeStates(at(1, 'item@3', false), undefined, [stateRow('a', 3, 'red')])
    expect((await store.checkpoints()).map(({ build }) => build)).toEqual([
      'item@1',
      'item@2',
      'shelf@1',
      'item@3',
    ])
    await store.writeStates(at(2, 'item@3'), 1 as Position, [])
    expect((await store.checkpoints()).map(({ build }) => build)).toEqual([
      'item@2',
      'shelf@1',
      'item@3',
    ])
    expect(await store.writeStates(at(3, 'item@1'), 1 as Position, [])).toBeUndefined()
    const range = (build: string, index?: string): Want => ({
      build,
      range: { index, rowsMax: 9 },
    })
    expect(
      await readStates(
        store,
        range('item@1'),
        range('item@1', 'colour'),
        range('item@2', 'colour'),
      ),
    ).toEqual([undefined, undefined, ['a']])
  })

  check('where no position was seen, a log is loaded without its entries', async (store) => {
    await store.apply([page(0, 3)], [])
    const { logs } = await store.load(
      { ...nothing, logs: [{ ...log, position: undefined, rewinds: 0 }] },
      lots,
    )
    expect(logs).toEqual([{ ...log, cursor: cursor(3), rewinds: 0, lines: [], more: false }])
  })
}
