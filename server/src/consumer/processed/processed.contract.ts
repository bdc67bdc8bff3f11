/** What every consumer's database has to keep, whatever it is made of. */
import { expect, test } from 'vitest'
import type { Hold, Kept } from './holds.ts'
import type { Processed } from './processed.ts'
import type { SagaRow } from './sagas.ts'

/** One adapter under test, empty. */
export interface ProcessedHarness<Tx> {
  readonly processed: Processed<Tx>
  /** The same database as a process sees it that starts after the first was killed. */
  reopen(): Promise<Processed<Tx>>
  /** Writes an effect through the app's handle. Fails where the same name is written twice. */
  write(tx: Tx, name: string): Promise<void>
  /** Writes an effect that the database takes and then refuses to commit. Left out where it never does that. */
  readonly writeUncommittable?: (tx: Tx, name: string) => Promise<void>
  /** The committed effects, sorted. */
  effects(): Promise<readonly string[]>
}

const kept = (id: string): Kept => ({
  id,
  topic: 'inventory',
  scope: 'shop-7',
  author: 'u-42',
  line: `{"id":"${id}","data":"é"}`,
  replayed: false,
})

const hold = (more: Partial<Hold> = {}): Hold => ({
  state: 'retrying',
  code: 'HANDLER_FAILED',
  reason: 'boom',
  attempts: 1,
  firstAt: 10,
  lastAt: 20,
  dueAt: 30,
  ...more,
})

const message = (id: string, body: Uint8Array = Buffer.from('{"n":1}')) => ({
  id,
  key: 'shop-7/sku-1',
  attributes: { id, type: 'StockPicked', schemaversion: 1 },
  body,
  correlationId: 'c-1',
})

const mine = { consumer: 'stock', owner: 'me', strayBefore: 0, max: 10 }

const saga = (id: string, more: Partial<SagaRow> = {}): SagaRow => ({
  id,
  name: 'purchase',
  input: { total: 5 },
  cause: { id: 'e-1', topic: 't', scope: 's', stream: 'x', correlationId: 'e-1' },
  state: 'running',
  step: 0,
  attempts: 0,
  term: 0,
  dueAt: 100,
  startedAt: 1,
  changedAt: 1,
  ...more,
})

/** Runs the suite of the port against an adapter. `open` is called once for each test. */
export function processedContract<Tx>(
  name: string,
  open: () => Promise<ProcessedHarness<Tx>>,
): void {
  testTransactions(name, open)
  testAttempts(name, open)
  testHolds(name, open)
  testOutbox(name, open)
  testSagas(name, open)
}

type Open<Tx> = () => Promise<ProcessedHarness<Tx>>

function testTransactions<Tx>(name: string, open: Open<Tx>): void {
  test(`[C1] ${name}: effect, mark and result are committed together`, async () => {
    const { processed, write, effects, reopen } = await open()
    await processed.transaction(async (unit) => {
      await write(unit.tx, 'a')
      await unit.attempts.finish('stock', ['e-1'], 1)
      await unit.outbox.enqueue('stock', 'me', [{ topic: 't', message: message('r-1') }], 1)
    })
    const after = await reopen()
    expect(await effects()).toEqual(['a'])
    await after.transaction(async ({ attempts, outbox }) => {
      expect((await attempts.standing('stock', ['e-1'])).get('e-1')?.done).toBe(true)
      expect(await outbox.pending({ ...mine, max: 10 })).toMatchObject([{ message: { id: 'r-1' } }])
    })
  })

  test(`[C1] ${name}: where the work throws, none of it is left`, async () => {
    const { processed, write, effects } = await open()
    const failing = processed.transaction(async (unit) => {
      await write(unit.tx, 'a')
      await unit.attempts.finish('stock', ['e-1'], 1)
      throw new Error('boom')
    })
    await expect(failing).rejects.toThrow('boom')
    expect(await effects()).toEqual([])
    await processed.transaction(async ({ attempts }) => {
      expect(await attempts.standing('stock', ['e-1'])).toEqual(new Map())
    })
  })

  test(`${name}: a savepoint undoes its own part alone`, async () => {
    const { processed, write, effects } = await open()
    await processed.transaction(async (unit) => {
      await unit.savepoint(() => write(unit.tx, 'a'))
      const failing = unit.savepoint(async () => {
        await write(unit.tx, 'b')
        throw new Error('boom')
      })
      await expect(failing).rejects.toThrow('boom')
      await unit.savepoint(() => write(unit.tx, 'c'))
    })
    expect(await effects()).toEqual(['a', 'c'])
  })

  test(`${name}: an error of the app's own statement undoes its event, not its neighbours`, async () => {
    const { processed, write, effects } = await open()
    await processed.transaction(async (unit) => {
      await unit.savepoint(() => write(unit.tx, 'a'))
      await expect(unit.savepoint(() => write(unit.tx, 'a'))).rejects.toThrow()
      await unit.savepoint(() => write(unit.tx, 'b'))
    })
    expect(await effects()).toEqual(['a', 'b'])
  })

  test(`[C18] ${name}: an error that the app swallows is its event's, not the database's`, async () => {
    const { processed, write, effects } = await open()
    await processed.transaction(async (unit) => {
      await unit.savepoint(() => write(unit.tx, 'a'))
      const swallowed = unit.savepoint(() => write(unit.tx, 'a').catch(() => {}))
      const error: unknown = await swallowed.catch((thrown: unknown) => thrown)
      if (error !== undefined) expect(error).toMatchObject({ code: 'HANDLER_FAILED' })
      await unit.savepoint(() => write(unit.tx, 'b'))
    })
    expect(await effects()).toEqual(['a', 'b'])
  })

  test(`[C18] ${name}: what the database refuses to commit is the work's failure, and the database is well`, async ({
    skip,
  }) => {
    const { processed, write, effects, writeUncommittable } = await open()
    if (!writeUncommittable) return skip('it refuses nothing at a commit')
    const refused = processed.transaction(async (unit) => {
      await write(unit.tx, 'a')
      await unit.savepoint(() => writeUncommittable(unit.tx, 'b'))
    })
    await expect(refused).rejects.toMatchObject({ code: 'HANDLER_FAILED' })
    await processed.transaction(({ tx }) => write(tx, 'c'))
    expect(await effects()).toEqual(['c'])
  })

  test(`[C7] ${name}: whoever was given up cannot write any more`, async () => {
    const { processed, write, effects } = await open()
    const kept: Tx[] = []
    const given = processed.transaction(async (unit) => {
      kept.push(unit.tx)
      throw new Error('too slow')
    })
    await expect(given).rejects.toThrow('too slow')
    for (const tx of kept) await expect(async () => write(tx, 'late')).rejects.toThrow()
    await processed.transaction(async (unit) => write(unit.tx, 'next'))
    expect(await effects()).toEqual(['next'])
  })

  test(`[C3] ${name}: two transactions on one event have one effect`, async () => {
    const { processed, write, effects } = await open()
    await processed.transaction(({ attempts }) => attempts.count('stock', ['e-1'], false))
    let runs = 0
    const once = () =>
      processed.transaction(async (unit) => {
        if ((await unit.attempts.standing('stock', ['e-1'])).get('e-1')?.done) return
        runs += 1
        await write(unit.tx, 'effect')
        await unit.attempts.finish('stock', ['e-1'], 1)
      })
    await Promise.all([once(), once(), once()])
    expect(runs).toBe(1)
    expect(await effects()).toEqual(['effect'])
  })

  test(`[C10] ${name}: a read model moves from the revision that was read, or the writer hears of a conflict`, async () => {
    const { processed } = await open()
    await processed.transaction(async (unit) => {
      expect(await unit.revision('stock', 'item')).toBe(0)
      await unit.advance('stock', 'item', 0)
      await unit.advance('stock', 'item', 1)
      expect(await unit.revision('stock', 'item')).toBe(2)
    })
    const stale = processed.transaction((unit) => unit.advance('stock', 'item', 1))
    await expect(stale).rejects.toMatchObject({
      code: 'REVISION_CONFLICT',
      details: { expected: 1, actual: 2 },
    })
    const first = processed.transaction((unit) => unit.advance('stock', 'item', 0))
    await expect(first).rejects.toMatchObject({ code: 'REVISION_CONFLICT' })
  })

  test(`${name}: what people did is kept, newest first`, async () => {
    const { processed } = await open()
    const record = { consumer: 'stock', by: 'ann', action: 'redrive', subject: 'k' } as const
    await processed.transaction(async (unit) => {
      await unit.audit({ ...record, at: 1, note: 'first' })
      await unit.audit({ ...record, at: 2, note: 'second' })
      await unit.audit({ ...record, consumer: 'other', at: 3, note: 'not ours' })
      expect(await unit.audits('stock', 10)).toEqual([
        { ...record, at: 2, note: 'second' },
        { ...record, at: 1, note: 'first' },
      ])
    })
  })
}

function testAttempts<Tx>(name: string, open: Open<Tx>): void {
  test(`[C2] ${name}: attempts are counted, and survive the process that made them`, async () => {
    const { processed, reopen } = await open()
    await processed.transaction(({ attempts }) => attempts.count('stock', ['e-1', 'e-2'], false))
    const after = await reopen()
    await after.transaction(async ({ attempts }) => {
      await attempts.count('stock', ['e-1'], false)
      const standing = await attempts.standing('stock', ['e-1', 'e-2', 'e-3'])
      expect(standing.get('e-1')).toEqual({ attempts: 2, inCompany: false, done: false })
      expect(standing.get('e-2')).toEqual({ attempts: 1, inCompany: false, done: false })
      expect(standing.has('e-3')).toBe(false)
      expect((await attempts.standing('other', ['e-1'])).size).toBe(0)
    })
  })

  test(`[C6] ${name}: an attempt in company counts once with the first one alone`, async () => {
    const { processed } = await open()
    await processed.transaction(async ({ attempts }) => {
      const count = async (inCompany: boolean) => {
        await attempts.count('stock', ['e-1'], inCompany)
        return (await attempts.standing('stock', ['e-1'])).get('e-1')
      }
      expect(await count(true)).toEqual({ attempts: 1, inCompany: true, done: false })
      expect(await count(false)).toEqual({ attempts: 1, inCompany: false, done: false })
      expect(await count(false)).toMatchObject({ attempts: 2 })
    })
  })

  test(`${name}: a failure of its own makes the attempt in company count`, async () => {
    const { processed } = await open()
    await processed.transaction(async ({ attempts }) => {
      await attempts.count('stock', ['e-1'], true)
      await attempts.blame('stock', 'e-1')
      await attempts.count('stock', ['e-1'], false)
      expect((await attempts.standing('stock', ['e-1'])).get('e-1')?.attempts).toBe(2)
      await attempts.forgive('stock', 'e-1')
      expect((await attempts.standing('stock', ['e-1'])).get('e-1')?.attempts).toBe(0)
    })
  })

  test(`${name}: what is done stays known until it is pruned`, async () => {
    const { processed } = await open()
    await processed.transaction(async ({ attempts }) => {
      await attempts.count('stock', ['e-1', 'e-3'], false)
      await attempts.finish('stock', ['e-1'], 100)
      await attempts.finish('stock', ['e-2'], 200)
      const standing = await attempts.standing('stock', ['e-1', 'e-2', 'e-3'])
      expect([...standing.values()].filter(({ done }) => done)).toHaveLength(2)
      expect(await attempts.prune('stock', 150)).toBe(1)
      expect([...(await attempts.standing('stock', ['e-1', 'e-2', 'e-3'])).keys()].sort()).toEqual([
        'e-2',
        'e-3',
      ])
    })
  })
}

function testHolds<Tx>(name: string, open: Open<Tx>): void {
  test(`${name}: a held stream keeps its events in order, each once`, async () => {
    const { processed, reopen } = await open()
    await processed.transaction(async ({ holds }) => {
      await holds.hold('stock', 'k', hold({ parkedAt: 5, state: 'parked' }))
      for (const id of ['e-2', 'e-1', 'e-3']) await holds.setAside('stock', 'k', kept(id), 7)
      await holds.setAside('stock', 'k', kept('e-2'), 8)
    })
    const after = await reopen()
    await after.transaction(async ({ holds }) => {
      const aside = await holds.aside('stock', 'k', 2)
      expect(aside).toEqual([
        { ...kept('e-2'), seq: expect.any(Number), at: 7 },
        { ...kept('e-1'), seq: expect.any(Number), at: 7 },
      ])
      const held = await holds.held('stock', ['k', 'other'])
      const expected = { ...hold({ parkedAt: 5, state: 'parked' }), consumer: 'stock', key: 'k' }
      expect([...held]).toEqual([['k', { ...expected, events: 3 }]])
      expect(await holds.find('stock', 'e-2')).toMatchObject({ ...kept('e-2'), key: 'k' })
      await holds.takeBack('stock', 'e-2')
      expect(await holds.find('stock', 'e-2')).toBeUndefined()
      expect((await holds.aside('stock', 'k', 9)).map(({ id }) => id)).toEqual(['e-1', 'e-3'])
    })
  })

  test(`${name}: the retrying stream that waits longest is due first, parked ones never`, async () => {
    const { processed } = await open()
    await processed.transaction(async ({ holds }) => {
      expect(await holds.due('stock', 1_000)).toEqual({})
      await holds.hold('stock', 'late', hold({ dueAt: 300 }))
      await holds.hold('stock', 'soon', hold({ dueAt: 200 }))
      await holds.hold('stock', 'parked', hold({ state: 'parked', dueAt: 1 }))
      await holds.hold('other', 'not ours', hold({ dueAt: 1 }))
      expect(await holds.due('stock', 199)).toEqual({ nextAt: 200 })
      expect((await holds.due('stock', 200)).item?.key).toBe('soon')
      await holds.release('stock', 'soon')
      expect(await holds.due('stock', 200)).toEqual({ nextAt: 300 })
    })
  })

  test(`${name}: held streams are listed page by page, and counted`, async () => {
    const { processed } = await open()
    await processed.transaction(async (unit) => {
      for (const key of ['b', 'a', 'c']) {
        await unit.holds.hold('stock', key, hold({ state: key === 'c' ? 'retrying' : 'parked' }))
        await unit.holds.setAside('stock', key, kept(`e-${key}`), 1)
      }
      await unit.holds.hold('audit', 'z', hold())
      const first = await unit.holds.list({ max: 2 })
      expect(first.map(({ key }) => key)).toEqual(['z', 'a'])
      const rest = await unit.holds.list({ max: 9, after: { consumer: 'stock', key: 'a' } })
      expect(rest.map(({ key }) => key)).toEqual(['b', 'c'])
      const parked = await unit.holds.list({ consumer: 'stock', state: 'parked', max: 9 })
      expect(parked.map(({ key, events }) => [key, events])).toEqual([
        ['a', 1],
        ['b', 1],
      ])
      expect(await unit.backlog('stock')).toEqual({
        retryingStreams: 1,
        retryingEvents: 1,
        parkedStreams: 2,
        parkedEvents: 2,
        outgoing: 0,
        refused: 0,
      })
    })
  })
}

function testOutbox<Tx>(name: string, open: Open<Tx>): void {
  test(`[C5] ${name}: results wait in order until they are confirmed, whoever left them`, async () => {
    const { processed } = await open()
    await processed.transaction(async ({ outbox }) => {
      const results = ['r-1', 'r-2'].map((id) => ({ topic: 't', message: message(id) }))
      await outbox.enqueue('stock', 'me', results, 100)
      await outbox.enqueue('stock', 'you', [{ topic: 'u', message: message('r-3') }], 100)
      const ids = async (owner: string, strayBefore: number) =>
        (await outbox.pending({ ...mine, owner, strayBefore })).map((item) => item.message.id)
      expect(await ids('me', 100)).toEqual(['r-1', 'r-2'])
      expect(await ids('me', 101)).toEqual(['r-1', 'r-2', 'r-3'])
      expect(await ids('nobody', 0)).toEqual([])
      const others = { ...mine, strayBefore: 101, exceptTopics: ['t'] }
      expect(await outbox.pending(others)).toMatchObject([{ topic: 'u' }])
      const [first] = await outbox.pending({ ...mine, max: 1 })
      await outbox.confirm([first?.seq ?? 0])
      expect(await ids('me', 0)).toEqual(['r-2'])
    })
  })

  test(`[C5] ${name}: results of one key are published in order, also those that another run has left`, async () => {
    const { processed } = await open()
    await processed.transaction(async ({ outbox }) => {
      const other = { ...message('r-4'), key: 'shop-7/sku-2' }
      await outbox.enqueue('stock', 'dead', [{ topic: 't', message: message('r-1') }], 100)
      await outbox.enqueue('stock', 'me', [{ topic: 't', message: message('r-2') }], 101)
      await outbox.enqueue('stock', 'me', [{ topic: 'u', message: message('r-3') }], 101)
      await outbox.enqueue('stock', 'me', [{ topic: 't', message: other }], 101)
      const ids = async (strayBefore: number) =>
        (await outbox.pending({ ...mine, strayBefore })).map((item) => item.message.id)
      expect(await ids(100)).toEqual(['r-3', 'r-4'])
      expect(await ids(101)).toEqual(['r-1', 'r-2', 'r-3', 'r-4'])
      // What the broker will never take holds up nothing.
      const [first] = await outbox.pending({ ...mine, owner: 'dead' })
      await outbox.refuse(first?.seq ?? 0, 'MESSAGE_TOO_LARGE')
      expect(await ids(100)).toEqual(['r-2', 'r-3', 'r-4'])
    })
  })

  test(`${name}: a message comes out as it went in, whatever its bytes`, async () => {
    const { processed } = await open()
    const bodies = [
      Buffer.from('{"é":"\u0000\ufeff"}'),
      Buffer.from([0xff, 0x00, 0xfe]),
      Buffer.from(''),
    ]
    await processed.transaction(async ({ outbox }) => {
      const results = bodies.map((body) => ({ topic: 't', message: message('r', body) }))
      await outbox.enqueue('stock', 'me', results, 1)
      const pending = await outbox.pending({ ...mine, max: 10 })
      expect(pending.map((item) => Buffer.from(item.message.body))).toEqual(bodies)
      expect(pending[0]?.message).toMatchObject({ ...message('r'), body: expect.anything() })
    })
  })

  test(`${name}: what the broker will never take is kept aside, and may be tried again`, async () => {
    const { processed } = await open()
    await processed.transaction(async (unit) => {
      await unit.outbox.enqueue('stock', 'me', [{ topic: 't', message: message('r-1') }], 1)
      const [item] = await unit.outbox.pending(mine)
      await unit.outbox.refuse(item?.seq ?? 0, 'MESSAGE_TOO_LARGE')
      expect(await unit.outbox.pending({ ...mine, strayBefore: 9 })).toEqual([])
      expect(await unit.outbox.refused('stock', 9)).toMatchObject([
        { seq: item?.seq, refusedCode: 'MESSAGE_TOO_LARGE' },
      ])
      const found = await unit.outbox.findRefused('stock', item?.seq ?? 0)
      expect(found).toMatchObject({ refusedCode: 'MESSAGE_TOO_LARGE', message: { id: 'r-1' } })
      expect(await unit.outbox.findRefused('billing', item?.seq ?? 0)).toBeUndefined()
      expect(await unit.backlog('stock')).toMatchObject({ outgoing: 0, refused: 1 })
      await unit.outbox.refuse(item?.seq ?? 0, undefined)
      expect(await unit.outbox.findRefused('stock', item?.seq ?? 0)).toBeUndefined()
      expect(await unit.outbox.pending(mine)).toHaveLength(1)
    })
  })
}

function testSagas<Tx>(name: string, open: Open<Tx>): void {
  test(`${name}: what a saga is given, and what its steps return, is kept as JSON`, async () => {
    const { processed } = await open()
    const given = { at: new Date(0), left: undefined, list: [undefined] }
    const kept = { at: '1970-01-01T00:00:00.000Z', list: [null] }
    await processed.transaction(async ({ sagas }) => {
      await sagas.start(saga('s-1', { input: given }))
      await sagas.saveStep('s-1', { step: 0, name: 'a', state: 'completed', result: given, at: 1 })
      expect((await sagas.get('s-1'))?.input).toStrictEqual(kept)
      expect((await sagas.steps('s-1'))[0]?.result).toStrictEqual(kept)
    })
  })

  test(`${name}: a saga is started once, and found again after a restart`, async () => {
    const { processed, reopen } = await open()
    await processed.transaction(async ({ sagas }) => {
      expect(await sagas.start(saga('s-1'))).toBe(true)
      expect(await sagas.start(saga('s-1', { input: 'another' }))).toBe(false)
      await sagas.saveStep('s-1', { step: 1, name: 'b', state: 'completed', result: null, at: 2 })
      await sagas.saveStep('s-1', {
        step: 0,
        name: 'a',
        state: 'completed',
        result: { n: 1 },
        at: 2,
      })
      await sagas.saveStep('s-1', { step: 0, name: 'a', state: 'compensated', result: 0, at: 3 })
    })
    await (
      await reopen()
    ).transaction(async ({ sagas }) => {
      expect(await sagas.get('s-1')).toEqual(saga('s-1'))
      expect(await sagas.get('s-2')).toBeUndefined()
      expect(await sagas.steps('s-1')).toEqual([
        { step: 0, name: 'a', state: 'compensated', result: { n: 1 }, at: 3 },
        { step: 1, name: 'b', state: 'completed', result: null, at: 2 },
      ])
    })
  })

  test(`${name}: the unfinished saga that waits longest is due first`, async () => {
    const { processed } = await open()
    await processed.transaction(async ({ sagas }) => {
      await sagas.start(saga('s-1', { dueAt: 300, startedAt: 1 }))
      await sagas.start(saga('s-2', { dueAt: 200, startedAt: 2 }))
      await sagas.start(saga('s-3', { dueAt: 100, startedAt: 3, name: 'other' }))
      expect(await sagas.due(['purchase'], 100)).toEqual({ nextAt: 200 })
      expect((await sagas.due(['purchase'], 200)).item?.id).toBe('s-2')
      await sagas.save(saga('s-2', { state: 'needs-human', code: 'X', reason: 'y', startedAt: 2 }))
      expect(await sagas.due(['purchase'], 200)).toEqual({ nextAt: 300 })
      expect((await sagas.due(['purchase', 'other'], 200)).item?.id).toBe('s-3')
      const listed = await sagas.list({ name: 'purchase', max: 9 })
      expect(listed.map(({ id }) => id)).toEqual(['s-2', 's-1'])
      expect(await sagas.list({ state: 'needs-human', max: 9 })).toMatchObject([{ code: 'X' }])
    })
  })
}
