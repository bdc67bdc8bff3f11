import {
  defaultLimits,
  type EventId,
  type SubmittedBatch,
  topic,
  writeClaim,
} from '@tidemark/shared'
import { beforeEach, expect, test } from 'vitest'
import * as z from 'zod'
import { type Rules, toAttempt } from './check.ts'
import { memoryLog } from './log/memory.ts'
import type { Log, Outcome } from './log/log.ts'
import type { Authorize } from './permission.ts'
import { type Clock, createClock } from './testing/clock.ts'
import { name, someClaim } from './testing/client.ts'

const odd = topic(name.topic, {
  StockReceived: z.object({ quantity: z.int() }),
  Odd: z.any().refine((data) => data.items.length > 0),
})

let clock: Clock
let log: Log

beforeEach(() => {
  clock = createClock()
  log = memoryLog({ system: clock.system })
})

const claim = (rest: Parameters<typeof someClaim>[1] = {}) => someClaim(clock.system, rest)
const unreadable = (id = clock.system.uuid()): string => JSON.stringify({ id, stream: 7 })

/** What becomes of a batch that `author` submits. */
async function submit(
  lines: readonly string[],
  authorize: Authorize = () => 'allow',
  rest: { readonly author?: string; readonly batch?: Partial<SubmittedBatch> } = {},
): Promise<Outcome | undefined> {
  const { author = 'ann', batch = {} } = rest
  const rules: Rules = { topics: new Map([[odd.name, odd]]), limits: defaultLimits, authorize }
  const attempt = await toAttempt(
    rules,
    { author },
    { ...name, size: lines.length, ...batch },
    lines,
  )
  return (await log.append([[attempt]]))[0]?.[0]
}

test('[G4] data on which a schema throws is refused, like any that does not fit', async () => {
  const event = claim({ type: 'Odd', data: {} })
  expect(await submit([writeClaim(event)])).toMatchObject({
    type: 'refused',
    id: event.id,
    refusal: { code: 'SCHEMA_INVALID' },
  })
})

test('[G17] whoever may not write a log is held, whatever they submit, and takes no id there', async () => {
  const [mine, other] = [claim(), claim()]
  const lines = [
    JSON.stringify({ id: mine.id }),
    writeClaim({ ...mine, data: { quantity: 'many' } }),
    writeClaim({ ...mine, stream: 'x'.repeat(125) }),
    writeClaim({ ...mine, data: { quantity: 1, text: 'x'.repeat(300_000) } }),
  ]
  const hold: Authorize = () => ({ answer: 'hold', reason: 'not your shop' })
  const held = { type: 'held', reason: 'not your shop' }
  const mallory = { author: 'mallory' }
  for (const line of lines) expect(await submit([line], hold, mallory)).toEqual(held)
  const many = Array.from({ length: 101 }, (_, at) => writeClaim(at === 0 ? mine : claim()))
  expect(await submit(many, hold, mallory)).toEqual(held)
  // With an id that is known for something else, and twice in one batch.
  await submit([writeClaim(other)])
  expect(await submit([writeClaim(other), writeClaim(mine)], hold, mallory)).toEqual(held)
  expect(await submit([writeClaim(mine), writeClaim(mine)], hold, mallory)).toEqual(held)
  expect(await submit([unreadable()], undefined, { batch: { topic: 'unheard' } })).toMatchObject({
    type: 'held',
  })
  expect(await submit([writeClaim(mine)])).toMatchObject({ type: 'accepted', fresh: true })
})

test('[G17] permission is asked with what could be read of a batch, and then the rest is refused', async () => {
  const asked: (readonly EventId[])[] = []
  const allow: Authorize = (access) => {
    if (access.action === 'append') asked.push(access.events.map(({ id }) => id))
    return Promise.resolve('allow')
  }
  const [good, bad] = [claim(), clock.system.uuid()]
  expect(await submit([writeClaim(good), unreadable(bad)], allow)).toMatchObject({
    type: 'refused',
    id: bad,
    refusal: { code: 'BAD_EVENT' },
  })
  expect(await submit([unreadable()], allow)).toMatchObject({ refusal: { code: 'BAD_EVENT' } })
  expect(asked).toEqual([[good.id], []])
})

test('[G17] what nobody could read is refused by name where it is refused for good', async () => {
  const id = clock.system.uuid()
  expect(await submit([unreadable(id)], () => 'refuse')).toMatchObject({
    type: 'refused',
    id,
    refusal: { code: 'NOT_ALLOWED' },
  })
})
