/** What every log must do. Each adapter's test calls this with a way to open it. */
import {
  type EventId,
  type LogName,
  type Position,
  system,
  type System,
  writeClaim,
} from '@tidemark/shared'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type {
  Attempt,
  AttemptEvent,
  AuditRecord,
  Lease,
  Log,
  Outcome,
  Parked,
  Remedy,
} from './log.ts'

const log: LogName = { topic: 'inventory', scope: 'shop-7' }
const other: LogName = { topic: 'inventory', scope: 'shop-8' }
const at = (position: number) => position as Position

/** An event of an attempt, with a fresh id unless one is given. */
export function someEvent(
  stream = 'sku-1',
  data: unknown = { quantity: 1 },
  id = system.uuid() as EventId,
): AttemptEvent {
  const line = writeClaim({ id, stream, type: 'Received', version: 1, data, occurredAt: 1 })
  return { id, stream, line }
}

/** An attempt of these events, from the client `ann` unless said otherwise. */
export const attempt = (
  events: AttemptEvent | readonly AttemptEvent[],
  rest: Partial<Attempt> = {},
): Attempt => ({
  log,
  author: 'ann',
  source: 'client',
  events: 'id' in events ? [events] : events,
  ...rest,
})

/** Runs the contract on the log that `open` opens. */
export function logContract(open: (system: System) => Log | Promise<Log>): void {
  let now = 1_000_000
  let tested: Log
  beforeEach(async () => {
    now = 1_000_000
    tested = await open({ ...system, now: () => now })
  })
  afterEach(() => tested.close())

  const append = async (...attempts: Attempt[]): Promise<readonly Outcome[]> =>
    (await tested.append([attempts]))[0] ?? []
  const one = async (...args: Parameters<typeof attempt>): Promise<Outcome | undefined> =>
    (await append(attempt(...args)))[0]
  const lines = async (name = log, position = 0, bytesMax = 1_000_000) => {
    const page = await tested.read(name, at(position), bytesMax)
    return page.chunks.flatMap((chunk) => chunk.split('\n')).map((line) => JSON.parse(line))
  }

  test('[G1] positions of a log and revisions of a stream count from 1 without a gap', async () => {
    const first = someEvent('sku-1')
    const batch = [someEvent('sku-1'), someEvent('sku-2')]
    const elsewhere = someEvent('sku-1')
    expect(
      await append(attempt(first), attempt(batch), attempt(elsewhere, { log: other })),
    ).toEqual([
      { type: 'accepted', position: 1, revisions: [1], fresh: true },
      { type: 'accepted', position: 2, revisions: [2, 1], fresh: true },
      { type: 'accepted', position: 1, revisions: [1], fresh: true },
    ])
    expect((await tested.head(log)).position).toBe(3)
    expect((await lines()).map((entry) => [entry.position, entry.revision])).toEqual([
      [1, 1],
      [2, 2],
      [3, 1],
    ])
  })

  test('[G2] an entry is its placement around the very line that was submitted', async () => {
    const event = someEvent('sku-1', { odd: '\u2028 "quoted" \\ ü' })
    await one(event)
    const page = await tested.read(log, at(0), 1_000)
    expect(page.chunks).toEqual([
      `{"position":1,"revision":1,"receivedAt":1000000,"source":"client","author":"ann","event":${event.line}}`,
    ])
  })

  test('[G3] the same id, bytes and author get the same verdict again, and nothing is appended', async () => {
    const batch = [someEvent(), someEvent()]
    const verdict = await one(batch)
    await one(someEvent())
    expect(await one(batch)).toEqual({ ...verdict, fresh: false })
    expect((await tested.head(log)).position).toBe(3)
  })

  test('[G3] a repeat inside one transaction is a repeat', async () => {
    const event = someEvent()
    const [chain, twin] = await tested.append([[attempt(event)], [attempt(event)]])
    expect(chain?.[0]).toMatchObject({ position: 1, fresh: true })
    expect(twin?.[0]).toMatchObject({ position: 1, fresh: false })
  })

  test('[G4] a refusal is stored with its details and stays, whatever would be said now', async () => {
    const event = someEvent()
    const refusal = { code: 'NOT_ALLOWED', details: { reason: 'no' } } as const
    const denied = { type: 'refused', id: event.id, refusal } as const
    const first = await one(event, { denied })
    expect(first).toEqual({ ...denied, fresh: true })
    expect(await one(event)).toEqual({ ...denied, fresh: false })
    expect((await tested.head(log)).position).toBe(0)
  })

  test('[G4] an acceptance stays, whatever would be said now', async () => {
    const event = someEvent()
    await one(event)
    const refusal = { code: 'NOT_ALLOWED', details: { reason: 'no' } } as const
    const denied = { type: 'refused', id: event.id, refusal } as const
    expect(await one(event, { denied })).toMatchObject({ type: 'accepted', position: 1 })
    expect(await one(event, { denied: { type: 'held', reason: 'no' } })).toMatchObject({
      type: 'accepted',
    })
    expect(await one(event, { expectedRevision: 7 })).toMatchObject({ type: 'accepted' })
  })

  test('[G5] another payload or author under a known id is ID_REUSED, and the first verdict stands', async () => {
    const event = someEvent()
    await one(event)
    const reused = { type: 'refused', id: event.id, refusal: { code: 'ID_REUSED' } }
    expect(await one(someEvent('sku-1', { quantity: 2 }, event.id))).toMatchObject(reused)
    expect(await one(event, { author: 'eve' })).toMatchObject(reused)
    expect(await one(event)).toMatchObject({ type: 'accepted', position: 1, fresh: false })
  })

  test('[G5] an id is known in its own log alone', async () => {
    const event = someEvent()
    await one(event)
    expect(await one(event, { log: other })).toMatchObject({ type: 'accepted', fresh: true })
  })

  test('[G6] a batch is refused as a whole: the others are refused by the one that was the reason', async () => {
    const [good, bad] = [someEvent(), someEvent()]
    const refusal = { code: 'BAD_EVENT', details: { reason: 'odd' } } as const
    const denied = { type: 'refused', id: bad.id, refusal } as const
    expect(await one([good, bad], { denied })).toEqual({ ...denied, fresh: true })
    expect(await one([good, bad])).toEqual({ ...denied, fresh: false })
    expect(await one(good)).toEqual({
      type: 'refused',
      id: good.id,
      refusal: { code: 'BATCH_REFUSED', details: { by: bad.id } },
      fresh: false,
    })
    expect((await tested.head(log)).position).toBe(0)
  })

  test('[G6] a batch that reuses a known id is refused as a whole', async () => {
    const [known, fresh] = [someEvent(), someEvent()]
    await one(known)
    const reused = { type: 'refused', id: known.id, refusal: { code: 'ID_REUSED' } }
    expect(await one([fresh, known])).toMatchObject(reused)
    expect(await one(fresh)).toMatchObject({ refusal: { code: 'BATCH_REFUSED' } })
    expect(await one([known, known])).toMatchObject(reused)
    const twice = someEvent()
    expect(await one([twice, twice])).toMatchObject({ refusal: { code: 'ID_REUSED' } })
    expect(await one([twice, twice])).toMatchObject({ refusal: { code: 'ID_REUSED' } })
    expect((await tested.head(log)).position).toBe(1)
  })

  test('[G7] an event that rests on one that is not accepted is blocked, and has no verdict', async () => {
    const [cause, effect] = [someEvent(), someEvent()]
    const resting = attempt(effect, { after: cause.id })
    expect(await append(resting)).toEqual([{ type: 'blocked', by: cause.id }])
    expect(await append(attempt(cause), resting)).toMatchObject([
      { type: 'accepted' },
      { type: 'accepted', position: 2 },
    ])
  })

  test('[G7] what follows a blocked or held attempt in its chain is not looked at; other chains go on', async () => {
    const [lost, late] = [someEvent(), someEvent()]
    const held = { type: 'held', reason: 'not yet' } as const
    const outcomes = await tested.append([
      [attempt(someEvent()), attempt(someEvent(), { after: lost.id }), attempt(late)],
      [attempt(someEvent(), { denied: held }), attempt(late)],
      [attempt(someEvent())],
    ])
    expect(outcomes).toMatchObject([
      [{ type: 'accepted', position: 1 }, { type: 'blocked' }],
      [held],
      [{ type: 'accepted', position: 2 }],
    ])
    expect(await one(late)).toMatchObject({ type: 'accepted', fresh: true })
  })

  test('[G17] a hold stores nothing, also where an id is known for something else or stands twice', async () => {
    const [known, mine] = [someEvent(), someEvent()]
    await one(known)
    const held = { type: 'held', reason: 'not yours' } as const
    const eve = { author: 'eve', denied: held }
    expect(await one(known, eve)).toEqual(held)
    expect(await one([known, mine], eve)).toEqual(held)
    expect(await one([mine, mine], eve)).toEqual(held)
    expect(await one(mine)).toMatchObject({ type: 'accepted', position: 2, fresh: true })
  })

  test('[G8] of two attempts on the same revision of a stream one is accepted', async () => {
    const [left, right] = [someEvent(), someEvent()]
    const expected = { expectedRevision: 0 }
    expect(
      await tested.append([[attempt(left, expected)], [attempt(right, expected)]]),
    ).toMatchObject([
      [{ type: 'accepted' }],
      [
        {
          type: 'refused',
          id: right.id,
          refusal: { code: 'REVISION_CONFLICT', details: { expected: 0, actual: 1 } },
        },
      ],
    ])
    expect(await one(right, { expectedRevision: 1 })).toMatchObject({ type: 'refused' })
    expect(await one(someEvent(), { expectedRevision: 1 })).toMatchObject({ type: 'accepted' })
  })

  test('[I1] what comes from the broker under a known id is an echo, whatever its bytes', async () => {
    const event = someEvent()
    await one(event)
    const echo = attempt(someEvent('sku-1', { rewritten: true }, event.id), {
      source: 'broker',
      author: 'svc',
    })
    expect(await append(echo)).toMatchObject([{ type: 'accepted', position: 1, fresh: false }])
    expect((await tested.head(log)).position).toBe(1)
  })

  test('[I1] what an echo brought back first, after a restore, is its author’s own event', async () => {
    const event = someEvent()
    expect(await one(event, { source: 'broker' })).toMatchObject({ position: 1, fresh: true })
    expect(await one(event)).toMatchObject({ type: 'accepted', position: 1, fresh: false })
    expect(await one(event, { author: 'eve' })).toMatchObject({ refusal: { code: 'ID_REUSED' } })
  })

  test('[G9] receivedAt never goes back, also when the clock does', async () => {
    await one(someEvent())
    now -= 5_000
    await one(someEvent())
    now += 9_000
    await one(someEvent())
    const times = (await lines()).map((entry) => entry.receivedAt)
    expect(times).toEqual([1_000_000, 1_000_000, 1_004_000])
  })

  test('[D1] a page ends between batches, holds at least one, and says whether there is more', async () => {
    const batches = [1, 2, 3].map(() => [someEvent(), someEvent()])
    for (const batch of batches) await one(batch)
    const page = await tested.read(log, at(0), 1)
    expect(page).toMatchObject({ upTo: 2, more: true })
    const next = await tested.read(log, page.upTo, 1_000_000)
    expect(next).toMatchObject({ upTo: 6, more: false })
    expect((await lines(log, 2)).map((entry) => [entry.position, entry.batch])).toEqual([
      [3, batches[1]?.[0]?.id],
      [4, batches[1]?.[0]?.id],
      [5, batches[2]?.[0]?.id],
      [6, batches[2]?.[0]?.id],
    ])
    expect(await tested.read(log, at(6), 1_000)).toEqual({ upTo: 6, chunks: [], more: false })
    expect(await tested.read(other, at(0), 1_000)).toEqual({ upTo: 0, chunks: [], more: false })
  })

  test('[D1] a page that starts inside a batch, where a relay stopped, begins with the rest of it', async () => {
    const batch = [someEvent('sku-1'), someEvent('sku-2'), someEvent('sku-3')]
    await one(batch)
    await one(someEvent('sku-2'))
    const rest = await lines(log, 1)
    expect(rest.map((entry) => entry.position)).toEqual([2, 3, 4])
    expect(rest[0]?.event.id).toBe(batch[1]?.id)
  })

  test('[D1] reading page by page gives every entry of every log once, in order', async () => {
    for (let round = 0; round < 20; round += 1) {
      const chain = Array.from({ length: 30 }, (_, index) =>
        attempt(
          Array.from({ length: 1 + ((round + index) % 3) }, () => someEvent()),
          {
            log: index % 2 ? log : other,
          },
        ),
      )
      await tested.append([chain])
    }
    for (const name of [log, other]) {
      const { position: head } = await tested.head(name)
      const seen: number[] = []
      for (let position = 0; position < head;) {
        const found = await lines(name, position, 20_000)
        seen.push(...found.map((entry) => entry.position))
        position = seen.at(-1) ?? head
      }
      expect(seen).toEqual(Array.from({ length: head }, (_, index) => index + 1))
    }
  })

  test('[D2] a cursor stands where its entry stands, and leads back where it does not', async () => {
    const [first, second, ...batch] = [someEvent(), someEvent(), someEvent(), someEvent()]
    await append(attempt(first as AttemptEvent), attempt(second as AttemptEvent))
    await one(batch)
    const { epoch, position: head } = await tested.head(log)
    const locate = (position: number, id?: string) =>
      tested.locate(log, { epoch, position: at(position), ...(id && { id: id as EventId }) })
    expect(await locate(0)).toBe(0)
    expect(await locate(1, first?.id)).toBe(1)
    expect(await locate(4, batch[1]?.id)).toBe(4)
    expect(await locate(9, first?.id)).toBe(head)
    expect(await locate(3, batch[0]?.id)).toBe(2)
    expect(await locate(2, first?.id)).toBe(1)
    expect(await locate(1, second?.id)).toBe(0)
    expect(await locate(4)).toBe(2)
    expect(await tested.locate(other, { epoch, position: at(5) })).toBe(0)
    // An event that a restored log has taken anew may stand where it stood, and what is before it may not.
    const { chunks } = await tested.read(log, at(0), 1_000_000)
    const { receivedAt } = JSON.parse(chunks.join('\n').split('\n')[3] ?? '')
    const id = batch[1]?.id as EventId
    const locateAt = (time: number) =>
      tested.locate(log, { epoch, position: at(4), id, receivedAt: time })
    expect(await locateAt(receivedAt)).toBe(4)
    expect(await locateAt(receivedAt - 1)).toBe(2)
  })

  test('an empty log has an epoch, which it keeps', async () => {
    const { epoch, position } = await tested.head(log)
    expect(position).toBe(0)
    await one(someEvent())
    expect(await tested.head(log)).toEqual({ epoch, position: 1 })
  })

  test('logs are those that have entries', async () => {
    expect(await tested.logs()).toEqual([])
    await one(someEvent(), { denied: { type: 'held', reason: 'no' }, log: other })
    await one(someEvent())
    expect(await tested.logs()).toEqual([log])
  })

  test('each commit tells the logs that grew, and only those', async () => {
    const heard: (readonly LogName[])[] = []
    const stop = tested.onAppend((logs) => heard.push(logs))
    const event = someEvent()
    await append(attempt(event), attempt(someEvent(), { log: other }))
    await one(event)
    await one(someEvent(), { after: system.uuid() as EventId })
    stop()
    await one(someEvent())
    expect(heard).toEqual([[log, other]])
  })

  test('[R1] a lease has one holder at a time, and a new holder a higher term', async () => {
    const mine = await tested.lease('relay', 'a', 1_000)
    expect(await tested.lease('relay', 'b', 1_000)).toBeUndefined()
    expect(await tested.lease('relay', 'a', 1_000)).toEqual(mine)
    now += 1_001
    const theirs = await tested.lease('relay', 'b', 1_000)
    expect(theirs?.term).toBeGreaterThan(mine?.term ?? 0)
    expect(await tested.lease('relay', 'a', 1_000)).toBeUndefined()
    await tested.release(mine as Lease)
    expect(await tested.lease('relay', 'a', 1_000)).toBeUndefined()
    await tested.release(theirs as Lease)
    expect(await tested.lease('relay', 'a', 1_000)).toMatchObject({ name: 'relay' })
  })

  test('[R2] the relay’s progress is kept, and a holder whose lease is lost cannot move it', async () => {
    await one(someEvent())
    const mine = (await tested.lease('relay', 'a', 1_000)) as Lease
    const parked: Parked = {
      stream: 'sku-1',
      fromPosition: at(1),
      fromRevision: 1,
      code: 'MESSAGE_TOO_LARGE',
      reason: 'too large',
      attempts: 1,
    }
    expect(await tested.relayed(log)).toEqual({ cursor: 0, parked: [] })
    await tested.saveRelayed(mine, log, { cursor: at(1), parked: [parked], unparked: [] })
    expect(await tested.relayed(log)).toEqual({ cursor: 1, parked: [parked] })
    now += 1_001
    await tested.lease('relay', 'b', 1_000)
    await expect(
      tested.saveRelayed(mine, log, { cursor: at(0), parked: [], unparked: ['sku-1'] }),
    ).rejects.toMatchObject({ code: 'LEASE_LOST' })
    expect(await tested.relayed(log)).toEqual({ cursor: 1, parked: [parked] })
    const theirs = (await tested.lease('relay', 'b', 1_000)) as Lease
    await tested.saveRelayed(theirs, log, { cursor: at(1), parked: [], unparked: ['sku-1'] })
    expect(await tested.relayed(log)).toEqual({ cursor: 1, parked: [] })
  })

  /** Parks sku-1 at its first event, and says how to decide about it. */
  const park = async (): Promise<{ readonly parked: Parked; readonly lease: Lease }> => {
    await one(someEvent())
    const lease = (await tested.lease('relay', 'a', 1_000)) as Lease
    const parked: Parked = {
      stream: 'sku-1',
      fromPosition: at(1),
      fromRevision: 1,
      code: 'ENTITY_MISSING',
      reason: 'no such topic',
      attempts: 7,
    }
    await tested.saveRelayed(lease, log, { cursor: at(1), parked: [parked], unparked: [] })
    return { parked, lease }
  }
  const remedy: Remedy = { stream: 'sku-1', fromRevision: 1, action: 'redrive' }
  const record = (at: number): AuditRecord => ({
    at,
    by: 'ann',
    action: 'redrive',
    subject: 'sku-1',
    note: 'the topic is there now',
  })

  test('[O1] what a person decides about a parked stream is kept for the relay, and who it was for ever', async () => {
    const { parked, lease } = await park()
    expect(await tested.remedy(log, remedy, record(1))).toBe(true)
    expect((await tested.relayed(log)).parked).toEqual([{ ...parked, remedy: 'redrive' }])
    await tested.saveRelayed(lease, log, { cursor: at(1), parked: [], unparked: ['sku-1'] })
    expect((await tested.relayed(log)).parked).toEqual([])
    await tested.audit(record(2))
    expect(await tested.audits(10)).toEqual([record(2), record(1)])
    expect(await tested.audits(1)).toEqual([record(2)])
  })

  test('[O2] deciding twice decides once, and a decision about a stream that has moved on counts for nothing', async () => {
    const { parked, lease } = await park()
    expect(await tested.remedy(log, remedy, record(1))).toBe(true)
    expect(await tested.remedy(log, { ...remedy, action: 'discard' }, record(2))).toBe(false)
    const later = { ...parked, fromPosition: at(2), fromRevision: 2 }
    await tested.saveRelayed(lease, log, { cursor: at(2), parked: [later], unparked: [] })
    expect(await tested.remedy(log, remedy, record(3))).toBe(false)
    expect(await tested.remedy(log, { ...remedy, stream: 'sku-2' }, record(4))).toBe(false)
    expect(await tested.remedy(other, remedy, record(5))).toBe(false)
    expect((await tested.relayed(log)).parked).toEqual([later])
    expect(await tested.remedy(log, { ...remedy, fromRevision: 2 }, record(6))).toBe(true)
    expect((await tested.audits(10)).map((audit) => audit.at)).toEqual([6, 1])
  })
}
