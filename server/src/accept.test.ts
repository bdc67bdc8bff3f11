import { type EventId, TidemarkError } from '@tidemark/shared'
import { beforeEach, expect, test } from 'vitest'
import { createGateway, type Gateway, type GatewayOptions } from './gateway.ts'
import type { Log } from './log/log.ts'
import { memoryLog } from './log/memory.ts'
import type { Access, Permission } from './permission.ts'
import { bindLog } from './testing/bind-log.ts'
import { type Clock, createClock } from './testing/clock.ts'
import { hello, inventory, name, someClaim, submit, TestClient } from './testing/client.ts'

let clock: Clock
let log: Log
let gateway: Gateway
let permission: (access: Access) => Permission | Promise<Permission>

beforeEach(() => {
  clock = createClock()
  log = memoryLog({ system: clock.system })
  permission = () => 'allow'
  open()
})

function open(options: Partial<GatewayOptions> = {}): void {
  gateway = createGateway({
    log,
    topics: [inventory],
    authenticate: ({ token = '' }) => ({ author: token }),
    authorize: (access) => permission(access),
    system: clock.system,
    ...options,
  })
}

async function welcomed(token = 'ann'): Promise<TestClient> {
  const client = new TestClient(gateway)
  client.send(hello(clock.system, { token }))
  await clock.settle()
  return client
}

const claim = (rest: Parameters<typeof someClaim>[1] = {}) => someClaim(clock.system, rest)
const answers = (client: TestClient) =>
  client.frames.filter(({ type }) => ['verdicts', 'blocked', 'hold', 'later'].includes(type))
const head = async (): Promise<number> => (await log.head(name)).position

test('[G1] no verdict leaves before the commit that holds it', async () => {
  let commit = (): void => {}
  const slow: Log = {
    ...bindLog(log),
    append: async (chains) => {
      await new Promise<void>((resolve) => (commit = resolve))
      return await log.append(chains)
    },
  }
  open({ log: slow })
  const client = await welcomed()
  client.send(submit(1, [claim()]))
  await clock.settle()
  expect(answers(client)).toEqual([])
  commit()
  await clock.settle()
  expect(answers(client)).toEqual([
    { type: 'verdicts', n: 1, verdicts: [{ position: 1, revisions: [1] }] },
  ])
})

test('[G1] what many links submit at once is one transaction, and each gets its own answer', async () => {
  const appends: number[] = []
  const counted: Log = {
    ...bindLog(log),
    append: (chains) => {
      appends.push(chains.length)
      return log.append(chains)
    },
  }
  open({ log: counted })
  const clients = [await welcomed('ann'), await welcomed('bob'), await welcomed('cyd')]
  for (const client of clients) client.send(submit(1, [claim()]), submit(2, [claim(), claim()]))
  await clock.settle()
  expect(appends).toEqual([3])
  for (const client of clients) {
    expect(client.of('verdicts').flatMap(({ verdicts }) => verdicts)).toHaveLength(3)
  }
})

test('[G3] an answer that was lost is repeated word for word when the batch comes again', async () => {
  const [good, bad] = [claim(), claim({ data: { quantity: -1 } })]
  const first = await welcomed()
  first.send(submit(1, [good, bad]))
  await clock.settle()
  first.lose()
  permission = () => 'refuse'
  const second = await welcomed()
  second.send(submit(1, [good, bad]))
  await clock.settle()
  expect(answers(second)).toEqual(answers(first))
  expect(await head()).toBe(1)
})

test('[G4] an event that does not fit its schema is refused with the field and the reason', async () => {
  const client = await welcomed()
  const wrong = claim({ data: { quantity: 'many' } })
  client.send(submit(1, [wrong, claim({ type: 'Unheard' }), claim({ version: 9 })]))
  await clock.settle()
  expect(client.of('verdicts')[0]?.verdicts).toMatchObject([
    {
      refused: {
        id: wrong.id,
        code: 'SCHEMA_INVALID',
        details: { issues: [{ path: 'quantity', message: expect.stringContaining('number') }] },
      },
    },
    { refused: { code: 'UNKNOWN_TYPE', details: { type: 'Unheard' } } },
    { refused: { code: 'UNKNOWN_TYPE', details: { version: 9 } } },
  ])
  expect(await head()).toBe(0)
})

test('[G4] an event that cannot be read but has an id is refused, and does not come back for ever', async () => {
  open({ limits: { eventBytesMax: 1_000, keyLengthMax: 20, batchEventsMax: 2 } })
  const client = await welcomed()
  const id = clock.system.uuid() as EventId
  client.say(
    `{"type":"submit","n":1,"batches":[{"topic":"inventory","scope":"shop-7","size":1}]}\n{"id":"${id}","stream":7}`,
  )
  const deep = JSON.parse('['.repeat(40) + ']'.repeat(40))
  client.send(
    submit(2, [
      claim({ data: deep }),
      claim({ type: 'Noted', data: { text: 'ü'.repeat(600) } }),
      claim({ stream: 'x'.repeat(40) }),
      [claim(), claim(), claim()],
    ]),
  )
  await clock.settle()
  const refused = client
    .of('verdicts')
    .flatMap(({ verdicts }) => verdicts.map((each) => each.refused))
  expect(refused).toMatchObject([
    { id, code: 'BAD_EVENT' },
    { code: 'BAD_EVENT', details: { reason: 'nested too deep' } },
    { code: 'EVENT_TOO_LARGE', details: { max: 1_000 } },
    { code: 'KEY_TOO_LONG', details: { max: 20 } },
    { code: 'BATCH_TOO_LARGE', details: { events: 3, max: 2 } },
  ])
  expect(client.closed).toBeUndefined()
})

test('[G5] the author is who the gateway says, and nobody else can use an id', async () => {
  const mine = claim()
  const [ann, eve] = [await welcomed('ann'), await welcomed('eve')]
  ann.send({ type: 'subscribe', ...name })
  ann.send(submit(1, [mine]))
  await clock.settle()
  eve.send(submit(1, [mine]), submit(2, [{ ...claim(), author: 'ann' } as never]))
  await clock.settle()
  expect(eve.of('verdicts').flatMap(({ verdicts }) => verdicts)).toMatchObject([
    { refused: { id: mine.id, code: 'ID_REUSED' } },
    { position: 2 },
  ])
  expect(ann.entries.map(({ author }) => author)).toEqual(['ann', 'eve'])
})

test('[G14] `hold` is no verdict: nothing after it is answered until its number comes again', async () => {
  permission = (access) =>
    access.scope === 'closed' ? { answer: 'hold', reason: 'the shop is closed' } : 'allow'
  const client = await welcomed()
  const [open, later] = [claim(), claim()]
  const closed = submit(2, [claim()], { scope: 'closed' })
  client.send(submit(1, [open]), closed, submit(3, [later]))
  await clock.settle()
  expect(answers(client)).toEqual([
    { type: 'verdicts', n: 1, verdicts: [{ position: 1, revisions: [1] }] },
    { type: 'hold', n: 2, topic: 'inventory', scope: 'closed', reason: 'the shop is closed' },
  ])
  client.send(submit(3, [later]))
  client.send(submit(2, [later]))
  await clock.settle()
  expect(answers(client).slice(2)).toEqual([
    { type: 'verdicts', n: 2, verdicts: [{ position: 2, revisions: [2] }] },
  ])
})

test('[G14] a topic that this gateway does not know is held, since another version may know it', async () => {
  const client = await welcomed()
  client.send(submit(1, [claim()], { topic: 'unheard' }))
  await clock.settle()
  expect(answers(client)).toMatchObject([{ type: 'hold', n: 1, topic: 'unheard' }])
})

test('[G14] `refuse` is a verdict, with its reason', async () => {
  permission = ({ action }) =>
    action === 'append' ? { answer: 'refuse', reason: 'not your shop' } : 'allow'
  const client = await welcomed()
  const denied = claim()
  client.send(submit(1, [denied]))
  await clock.settle()
  permission = () => 'allow'
  client.send(submit(2, [denied]))
  await clock.settle()
  const refused = { id: denied.id, code: 'NOT_ALLOWED', details: { reason: 'not your shop' } }
  expect(client.of('verdicts').map(({ verdicts }) => verdicts)).toEqual([
    [{ refused }],
    [{ refused }],
  ])
})

test('[G14] a slow `authorize` keeps the order of its own link and holds up no other', async () => {
  const waiting: (() => void)[] = []
  permission = ({ action, principal }) =>
    action === 'append' && principal.author === 'slow'
      ? new Promise((resolve) => waiting.push(() => resolve('allow')))
      : 'allow'
  const [slow, quick] = [await welcomed('slow'), await welcomed('quick')]
  slow.send(submit(1, [claim({ stream: 'a' })]), submit(2, [claim({ stream: 'b' })]))
  quick.send(submit(1, [claim()]))
  await clock.settle()
  expect(answers(quick)).toHaveLength(1)
  expect(waiting).toHaveLength(1)
  waiting[0]?.()
  await clock.settle()
  waiting[1]?.()
  await clock.settle()
  expect(slow.of('verdicts').map(({ n }) => n)).toEqual([1, 2])
})

test('[G14] an `authorize` that throws or never answers is `later`, after what was before it', async () => {
  let calls = 0
  permission = ({ action }) => {
    if (action === 'read') return 'allow'
    calls += 1
    if (calls === 2) throw new Error('the directory is down')
    return calls === 4 ? new Promise(() => {}) : 'allow'
  }
  const client = await welcomed()
  const [first, second, third] = [claim(), claim(), claim()]
  client.send(submit(1, [first, second, third]))
  await clock.settle()
  expect(answers(client)).toMatchObject([
    { type: 'verdicts', n: 1, verdicts: [{ position: 1 }] },
    { type: 'later', n: 2 },
  ])
  client.send(submit(2, [second, third]))
  await clock.pass(10_000)
  expect(answers(client).slice(2)).toMatchObject([
    { type: 'verdicts', n: 2, verdicts: [{ position: 2 }] },
    { type: 'later', n: 3 },
  ])
  expect(await head()).toBe(2)
})

test('[G14] while what is before a `later` is being committed, nothing behind it takes its number', async () => {
  let commit = (): void => {}
  open({
    log: {
      ...bindLog(log),
      append: async (chains) => {
        await new Promise<void>((resolve) => (commit = resolve))
        return await log.append(chains)
      },
    },
  })
  permission = ({ action }) => {
    if (action === 'append' && isDown) throw new Error('the directory is down')
    return 'allow'
  }
  let isDown = false
  const client = await welcomed()
  const [first, second, third] = [claim(), claim(), claim()]
  client.send(submit(1, [first]))
  await clock.settle()
  isDown = true
  client.send(submit(2, [second]))
  isDown = false
  client.send(submit(3, [third]))
  await clock.settle()
  commit()
  await clock.settle()
  commit()
  await clock.settle()
  expect(answers(client)).toMatchObject([
    { type: 'verdicts', n: 1, verdicts: [{ position: 1 }] },
    { type: 'later', n: 2 },
  ])
  client.send(submit(2, [second, third]))
  await clock.settle()
  commit()
  await clock.settle()
  expect(answers(client).at(-1)).toMatchObject({ n: 2, verdicts: [{ position: 2 }, {}] })
})

test('[G7] a decision whose ground is not accepted is blocked, and nothing overtakes it', async () => {
  const client = await welcomed()
  const [ground, decision, fact] = [claim({ data: { quantity: 0 } }), claim(), claim()]
  client.send(submit(1, [ground]), submit(2, [decision], { after: ground.id }), submit(3, [fact]))
  await clock.settle()
  expect(answers(client)).toMatchObject([
    { type: 'verdicts', n: 1, verdicts: [{ refused: { code: 'SCHEMA_INVALID' } }] },
    { type: 'blocked', n: 2, by: ground.id },
  ])
  expect(await head()).toBe(0)
  client.send(submit(2, [fact]))
  await clock.settle()
  expect(answers(client).at(-1)).toMatchObject({ type: 'verdicts', n: 2 })
})

test('[S1] a submit out of turn is ignored, whatever it holds', async () => {
  const client = await welcomed()
  client.send(submit(2, [claim()]), submit(7, [claim()]))
  await clock.settle()
  expect(answers(client)).toEqual([])
  client.send(submit(1, [claim()]), submit(1, [claim()]))
  await clock.settle()
  expect(answers(client)).toHaveLength(1)
  expect(await head()).toBe(1)
})

test('[G11] while the log takes nothing everybody is told to come later, and then it goes on', async () => {
  let full = true
  const failing: Log = {
    ...bindLog(log),
    append: (chains) =>
      full
        ? Promise.reject(new TidemarkError('LOG_UNAVAILABLE', { reason: 'disk full' }))
        : log.append(chains),
  }
  open({ log: failing })
  const [ann, bob] = [await welcomed('ann'), await welcomed('bob')]
  const claims = [claim(), claim()]
  for (const client of [ann, bob]) client.send(submit(1, [claim()]))
  ann.send(submit(2, claims))
  await clock.settle()
  for (const client of [ann, bob]) {
    expect(answers(client)).toMatchObject([
      { type: 'later', n: 1, retryAfterMs: expect.any(Number) },
    ])
  }
  expect(gateway.status().log).toBe('unavailable')
  full = false
  ann.send(submit(1, claims))
  await clock.settle()
  expect(answers(ann).at(-1)).toMatchObject({ type: 'verdicts', n: 1 })
  expect(gateway.status().log).toBe('ok')
})

test('[G15] an append that fails for an unknown reason stops the link it came from, and no other', async () => {
  const poison = claim()
  const fragile: Log = {
    ...bindLog(log),
    append: (chains) =>
      chains.flat().some(({ events }) => events.some(({ id }) => id === poison.id))
        ? Promise.reject(new Error('a bug of ours'))
        : log.append(chains),
  }
  open({ log: fragile })
  const [ann, bob] = [await welcomed('ann'), await welcomed('bob')]
  ann.send(submit(1, [poison]))
  bob.send(submit(1, [claim()]))
  await clock.settle()
  expect(answers(ann)).toMatchObject([{ type: 'later', n: 1 }])
  expect(answers(bob)).toMatchObject([{ type: 'verdicts', n: 1 }])
})

test('[G16] a turn is bounded: what is left over comes next, and every link gets its turn', async () => {
  const appended: number[] = []
  const counted: Log = {
    ...bindLog(log),
    append: (chains) => {
      appended.push(chains.flat().reduce((sum, { events }) => sum + events.length, 0))
      return log.append(chains)
    },
  }
  open({
    log: counted,
    limits: { submitEventsMax: 3_000, batchEventsMax: 3_000, unansweredEventsMax: 9_000 },
  })
  const [ann, bob] = [await welcomed('ann'), await welcomed('bob')]
  const many = () => Array.from({ length: 3_000 }, () => claim())
  ann.send(submit(1, [many()]), submit(2, [many()]), submit(3, [many()]))
  bob.send(submit(1, [claim()]))
  await clock.settle()
  expect(appended.reduce((sum, count) => sum + count, 0)).toBe(9_001)
  expect(Math.max(...appended)).toBeLessThanOrEqual(7_000)
  expect(answers(bob)).toHaveLength(1)
})

/** A batch of about a million characters: as much as a frame holds. */
const large = () =>
  Array.from({ length: 6 }, () => claim({ data: { quantity: 1, note: 'x'.repeat(170_000) } }))

test('[G16] what one link has under way is bounded in length: the rest is asked for again, and none is lost', async () => {
  let answer = (): void => {}
  permission = ({ action }) =>
    action === 'read'
      ? 'allow'
      : new Promise((resolve) => {
          answer = () => resolve('allow')
        })
  const client = await welcomed()
  const batches = Array.from({ length: 40 }, large)
  for (const [at, batch] of batches.entries()) client.send(submit(at + 1, [batch]))
  const answerAll = async (): Promise<void> => {
    for (let count = 0; count < batches.length; count += 1) {
      answer()
      await clock.settle()
    }
  }
  await answerAll()
  const taken = client.of('verdicts').reduce((sum, { verdicts }) => sum + verdicts.length, 0)
  expect(taken).toBeGreaterThan(10)
  expect(taken).toBeLessThan(20)
  expect(answers(client).at(-1)).toEqual({ type: 'later', n: taken + 1, retryAfterMs: 0 })
  const rest = batches.slice(taken, taken + 3)
  for (const [at, batch] of rest.entries()) client.send(submit(taken + 1 + at, [batch]))
  await answerAll()
  expect(await head()).toBe(6 * (taken + 3))
})

test('[G16] a turn is bounded in length too, and who had none comes first in the next', async () => {
  const turns: { readonly length: number; readonly authors: readonly string[] }[] = []
  const counted: Log = {
    ...bindLog(log),
    append: (chains) => {
      const all = chains.flat()
      const lengths = all.flatMap(({ events }) => events.map(({ line }) => line.length))
      const length = lengths.reduce((sum, each) => sum + each, 0)
      turns.push({ length, authors: [...new Set(all.map(({ author }) => author))] })
      return log.append(chains)
    },
  }
  open({ log: counted })
  const [ann, bob] = [await welcomed('ann'), await welcomed('bob')]
  for (let n = 1; n <= 14; n += 1) ann.send(submit(n, [large()]))
  bob.send(submit(1, [claim()]))
  await clock.settle()
  expect(turns.map(({ authors }) => authors)).toEqual([['ann'], ['bob', 'ann']])
  expect(Math.max(...turns.map(({ length }) => length))).toBeLessThan(10_000_000)
  expect(await head()).toBe(6 * 14 + 1)
})
