import {
  defaultLimits,
  type FrameOf,
  fixedLimits,
  type Position,
  writeFrame,
} from '@tidemark/shared'
import { beforeEach, describe, expect, test } from 'vitest'
import { createGateway, type Gateway, type GatewayOptions } from './gateway.ts'
import type { Log } from './log/log.ts'
import { memoryLog } from './log/memory.ts'
import { sqliteLog } from './log/sqlite.ts'
import { bindLog } from './testing/bind-log.ts'
import { type Clock, createClock } from './testing/clock.ts'
import { hello, inventory, name, someClaim, submit, TestClient } from './testing/client.ts'

let clock: Clock
let log: Log
let gateway: Gateway

function open(options: Partial<GatewayOptions> = {}): void {
  gateway = createGateway({
    log,
    topics: [inventory],
    authenticate: ({ token }) => (token ? { author: token } : undefined),
    authorize: () => 'allow',
    system: clock.system,
    ...options,
  })
}

beforeEach(() => {
  clock = createClock()
  log = memoryLog({ system: clock.system })
  open()
})

/** A client that has been welcomed. */
async function welcomed(rest: Partial<FrameOf<'hello'>> = {}): Promise<TestClient> {
  const client = new TestClient(gateway)
  client.send(hello(clock.system, rest))
  await clock.settle()
  expect(client.types[0]).toBe('welcome')
  return client
}

describe('hello', () => {
  test('[N1] a client that says hello is welcomed with its author and the limits', async () => {
    const client = await welcomed({ token: 'ann' })
    expect(client.frames[0]).toMatchObject({
      protocol: 1,
      author: 'ann',
      limits: defaultLimits,
    })
  })

  test('[N2] whoever does not say hello in time is sent away', async () => {
    const client = new TestClient(gateway)
    await clock.pass(fixedLimits.helloMsMax)
    expect(client.closed).toEqual({ code: 4408, reason: 'HELLO_TIMEOUT' })
    expect(clock.timers).toBe(0)
  })

  test('[N2] nothing is read before hello, and no hello longer than its bound', async () => {
    const early = new TestClient(gateway)
    early.send({ type: 'ping' })
    expect(early.closed).toEqual({ code: 4400, reason: 'BAD_FRAME' })
    const long = new TestClient(gateway)
    long.say('x'.repeat(fixedLimits.helloLengthMax + 1))
    expect(long.closed).toEqual({ code: 1009, reason: 'FRAME_TOO_LARGE' })
  })

  test('[N3] a client of another protocol is told which side is old', async () => {
    // No version is older than ours yet, so the other side of this cannot be shown.
    const young = new TestClient(gateway)
    young.send(hello(clock.system, { protocolMin: 2, protocolMax: 3 }))
    expect(young.frames).toMatchObject([
      { code: 'WRONG_VERSION', details: { old: 'gateway', min: 1, max: 1 } },
    ])
    expect(young.closed?.code).toBe(4426)
  })

  test('[N4] an unknown token is UNAUTHENTICATED; an authority that fails is no verdict on the token', async () => {
    const nobody = new TestClient(gateway)
    nobody.send(hello(clock.system, { token: undefined } as object))
    await clock.settle()
    expect(nobody.closed).toEqual({ code: 4401, reason: 'UNAUTHENTICATED' })
    open({ authenticate: () => Promise.reject(new Error('the identity provider is down')) })
    const unlucky = new TestClient(gateway)
    unlucky.send(hello(clock.system))
    await clock.settle()
    expect(unlucky.closed).toEqual({ code: 1001, reason: 'GOING_AWAY' })
    expect(unlucky.types).toEqual(['goaway'])
  })

  test.each(['', 'a'.repeat(257), 'ann\u0007', 'ann\n', '\ud800'])(
    '[N4] an author that no reader could parse is not welcomed: %j',
    async (author) => {
      open({ authenticate: () => ({ author }) })
      const client = new TestClient(gateway)
      client.send(hello(clock.system))
      await clock.settle()
      expect(client.closed).toEqual({ code: 4401, reason: 'UNAUTHENTICATED' })
    },
  )

  test('[N4] an authority that never answers does not keep a client for ever', async () => {
    open({ authenticate: () => new Promise(() => {}) })
    const client = new TestClient(gateway)
    client.send(hello(clock.system))
    await clock.pass(10_000)
    expect(client.types).toEqual(['goaway'])
    expect(clock.timers).toBe(0)
  })

  test('[N5] the newest link of a client wins; another author with the same client id is another client', async () => {
    const clientId = clock.system.uuid()
    const first = await welcomed({ clientId })
    const other = await welcomed({ clientId, token: 'eve' })
    expect(first.closed).toBeUndefined()
    const second = await welcomed({ clientId })
    expect(first.closed).toEqual({ code: 4409, reason: 'SUPERSEDED' })
    first.lose()
    expect([other.closed, second.closed]).toEqual([undefined, undefined])
    const third = await welcomed({ clientId })
    expect(second.closed?.reason).toBe('SUPERSEDED')
    expect(third.closed).toBeUndefined()
  })
})

describe('staying', () => {
  test('[N6] a silent link is closed, one that pings is kept', async () => {
    const [silent, alive] = [await welcomed(), await welcomed()]
    for (let count = 0; count < 4; count += 1) {
      alive.send({ type: 'ping' })
      await clock.pass(defaultLimits.silenceMsMax / 3)
    }
    expect(silent.closed).toEqual({ code: 4410, reason: 'SILENT' })
    expect(alive.closed).toBeUndefined()
    expect(alive.of('pong')).toHaveLength(4)
  })

  test('[N7] a token that ends ends the link, unless it is renewed in time', async () => {
    const authenticate = ({ token = '' }) => {
      const [author = '', seconds] = token.split('/')
      return { author, expiresAt: clock.system.now() + Number(seconds) * 1_000 }
    }
    open({ authenticate })
    const [ends, goesOn] = [
      await welcomed({ token: 'ann/20' }),
      await welcomed({ token: 'bob/20' }),
    ]
    await clock.pass(19_000)
    goesOn.send({ type: 'reauth', token: 'bob/60' })
    await clock.pass(1_001)
    expect(ends.frames.at(-1)).toMatchObject({ code: 'UNAUTHENTICATED' })
    expect(ends.closed?.code).toBe(4401)
    expect(goesOn.closed).toBeUndefined()
  })

  test('[N7] of tokens that come while one is looked at the newest is looked at next, and an older one never wins', async () => {
    const asked: { readonly token: string; answer(): void }[] = []
    const authenticate: GatewayOptions['authenticate'] = ({ token = '' }) =>
      new Promise((resolve) => {
        const expiresAt = clock.system.now() + Number(token.split('/')[1]) * 1_000
        asked.push({ token, answer: () => resolve({ author: 'ann', expiresAt }) })
      })
    open({ authenticate })
    const client = new TestClient(gateway)
    client.send(hello(clock.system, { token: 'ann/20' }))
    asked[0]?.answer()
    await clock.settle()
    for (let count = 1; count <= 1_000; count += 1) {
      client.send({ type: 'reauth', token: `ann/${count}` })
    }
    await clock.settle()
    expect(asked.map(({ token }) => token)).toEqual(['ann/20', 'ann/1'])
    asked[1]?.answer()
    await clock.settle()
    expect(asked.map(({ token }) => token).slice(2)).toEqual(['ann/1000'])
    asked[2]?.answer()
    await clock.settle()
    for (let count = 0; count < 10; count += 1) {
      client.send({ type: 'ping' })
      await clock.pass(10_000)
    }
    expect(client.closed).toBeUndefined()
  })

  test('[N7] a token of somebody else does not renew the link', async () => {
    const client = await welcomed({ token: 'ann' })
    client.send({ type: 'reauth', token: 'eve' })
    await clock.settle()
    expect(client.frames.at(-1)).toMatchObject({
      code: 'WRONG_USER',
      details: { expected: 'ann', actual: 'eve' },
    })
    expect(client.closed?.code).toBe(4403)
  })

  test('[N7] what may not be read any more is revoked when the token is renewed', async () => {
    let allowed = true
    open({ authorize: () => (allowed ? 'allow' : 'hold') })
    const client = await welcomed({ subscriptions: [name] })
    allowed = false
    client.send({ type: 'reauth', token: 'ann' })
    await clock.settle()
    expect(client.frames.at(-1)).toEqual({ type: 'revoked', ...name })
    const writer = await welcomed({ token: 'bob' })
    allowed = true
    writer.send(submit(1, [someClaim(clock.system)]))
    await clock.settle()
    expect(writer.of('verdicts')).toHaveLength(1)
    expect(client.entries).toEqual([])
  })

  test('[N8] a gateway that closes tells everybody when to come back, and leaves nothing running', async () => {
    const clients = [await welcomed({ subscriptions: [name] }), await welcomed()]
    await gateway.close()
    for (const client of clients) {
      expect(client.types.at(-1)).toBe('goaway')
      expect(client.closed?.code).toBe(1001)
    }
    const late = new TestClient(gateway)
    expect(late.types).toEqual(['goaway'])
    expect(clock.timers).toBe(0)
  })
})

describe('bad frames', () => {
  const badFrames: readonly (readonly [string, string, number])[] = [
    ['not JSON', 'hello?', 4400],
    ['a list', '[]', 4400],
    ['no type', '{}', 4400],
    ['a poisoned key', '{"type":"ping","x":{"__proto__":{"admin":true}}}', 4400],
    ['nested too deep', `{"type":"ping","x":${'['.repeat(60)}${']'.repeat(60)}}`, 4400],
    ['nested very deep', `{"type":"ping","x":${'['.repeat(200_000)}${']'.repeat(200_000)}}`, 4400],
    [
      'a position beyond 2^53',
      `{"type":"applied","topic":"inventory","scope":"a","upTo":9007199254740993}`,
      4400,
    ],
    [
      'a position that is no number',
      `{"type":"applied","topic":"inventory","scope":"a","upTo":1e999}`,
      4400,
    ],
    ['a name with a slash', '{"type":"unsubscribe","topic":"a/b","scope":"c"}', 4400],
    [
      'sizes that do not add up',
      '{"type":"submit","n":1,"batches":[{"topic":"inventory","scope":"a","size":2}]}\n{}',
      4400,
    ],
    ['a submit of nothing', '{"type":"submit","n":1,"batches":[]}', 4400],
    [
      'an event without an id',
      `{"type":"submit","n":1,"batches":[{"topic":"inventory","scope":"a","size":1}]}\n{"data":1}`,
      4400,
    ],
    ['a second hello', writeFrame(hello(createClock().system)), 4400],
    ['too large', `{"type":"ping","x":"${'x'.repeat(1_048_576)}"}`, 1009],
  ]
  test.each(badFrames)(
    '[N9] %s ends the link that sent it, and no other',
    async (_what, message, code) => {
      const [bad, good] = [await welcomed(), await welcomed()]
      bad.say(message)
      await clock.settle()
      expect(bad.types.at(-1)).toBe('error')
      expect(bad.closed?.code).toBe(code)
      good.send(submit(1, [someClaim(clock.system)]))
      await clock.settle()
      expect(good.of('verdicts')).toHaveLength(1)
    },
  )

  test('[N9] an unknown frame is answered, unknown fields are not, and the link stays', async () => {
    const client = await welcomed()
    client.say('{"type":"telepathy"}')
    client.say('{"type":"ping","since":"version 9"}')
    expect(client.frames.slice(1)).toEqual([
      { type: 'error', code: 'UNKNOWN_FRAME', details: { type: 'telepathy' } },
      { type: 'pong' },
    ])
    expect(client.closed).toBeUndefined()
  })

  test('[N10] more than the limits allow ends the link with TOO_MANY', async () => {
    open({ limits: { subscriptionsMax: 2, submitEventsMax: 2, unansweredEventsMax: 3 } })
    const scopes = ['a', 'b', 'c'].map((scope) => ({ topic: 'inventory', scope }))
    const reader = new TestClient(gateway)
    reader.send(hello(clock.system, { subscriptions: scopes }))
    expect(reader.closed?.code).toBe(4429)
    const slow = await welcomed()
    for (const log of scopes) slow.send({ type: 'subscribe', ...log })
    expect(slow.closed?.code).toBe(4429)
    const claims = () => [someClaim(clock.system), someClaim(clock.system)]
    const writer = await welcomed()
    writer.send(submit(1, [...claims(), ...claims()]))
    expect(writer.closed?.code).toBe(4429)
    const eager = await welcomed()
    eager.send(submit(1, claims()), submit(3, claims()))
    expect(eager.closed?.code).toBe(4429)
  })
})

describe('subscriptions', () => {
  test('[N10] however often logs are subscribed to and given up, each is asked about once at a time, and no more than may be subscribed to', async () => {
    const waiting: (() => void)[] = []
    const authorize: GatewayOptions['authorize'] = () =>
      new Promise((resolve) => waiting.push(() => resolve('allow')))
    open({ authorize, limits: { subscriptionsMax: 10 } })
    const [one, many] = [await welcomed(), await welcomed({ token: 'bob' })]
    for (let count = 0; count < 1_000; count += 1) one.send({ type: 'subscribe', ...name })
    expect(waiting).toHaveLength(1)
    for (let count = 0; count < 1_000; count += 1) {
      const log = { topic: 'inventory', scope: `shop-${count}` }
      many.send({ type: 'subscribe', ...log })
      if (count < 990) many.send({ type: 'unsubscribe', ...log })
    }
    expect(waiting).toHaveLength(11)
    for (let round = 0; round < 5; round += 1) {
      for (const answer of waiting.splice(0)) answer()
      await clock.settle()
    }
    expect(one.types.slice(1)).toEqual(['subscribed', 'caughtUp'])
    expect(many.of('subscribed').map(({ scope }) => scope)).toEqual(
      Array.from({ length: 10 }, (_, at) => `shop-${990 + at}`),
    )
  })

  test('[D8] a log that is given up while it cannot be read, and wanted again, waits for no older try', async () => {
    let isThere = false
    const fragile: Log = {
      ...bindLog(log),
      head: (name) => (isThere ? log.head(name) : Promise.reject(new Error('the disk is away'))),
    }
    open({ log: fragile })
    const client = await welcomed({ subscriptions: [name] })
    await clock.pass(30_000)
    isThere = true
    client.send({ type: 'unsubscribe', ...name }, { type: 'subscribe', ...name })
    await clock.settle()
    expect(client.types.slice(1)).toEqual(['subscribed', 'caughtUp'])
    client.lose()
    await clock.pass(1_000)
    expect(clock.timers).toBe(0)
  })

  test('[D4] a log that may not be read and one that does not exist get the same answer', async () => {
    open({ authorize: (access) => (access.scope === 'secret' ? 'refuse' : 'allow') })
    const client = await welcomed({
      subscriptions: [
        { topic: 'inventory', scope: 'secret' },
        { topic: 'nothing', scope: 'shop-7' },
      ],
    })
    expect(client.frames).toHaveLength(3)
    for (const log of [
      { topic: 'inventory', scope: 'secret' },
      { topic: 'nothing', scope: 'shop-7' },
    ]) {
      expect(client.frames).toContainEqual({ type: 'error', code: 'FORBIDDEN', details: log })
    }
    expect(client.closed).toBeUndefined()
  })

  test('[D4] a cursor of a log that was restored is reset, until it stands', async () => {
    const writer = await welcomed()
    writer.send(submit(1, [someClaim(clock.system), someClaim(clock.system)]))
    await clock.settle()
    const { epoch } = await log.head(name)
    const cursor = { epoch, position: 7 as Position, id: someClaim(clock.system).id }
    const reader = await welcomed({ subscriptions: [{ ...name, cursor }] })
    expect(reader.frames.slice(1)).toEqual([{ type: 'reset', ...name, epoch, position: 2 }])
    reader.send({ type: 'subscribe', ...name, cursor: { ...cursor, position: 2 as Position } })
    await clock.settle()
    expect(reader.frames.at(-1)).toMatchObject({ type: 'reset', position: 1 })
    reader.send({ type: 'subscribe', ...name })
    await clock.settle()
    expect(reader.entries.map(({ position }) => position)).toEqual([1, 2])
  })

  test('[D4] a cursor of another epoch is told the new one, also where its entry is still there', async () => {
    const writer = await welcomed()
    const claim = someClaim(clock.system)
    writer.send(submit(1, [claim]))
    await clock.settle()
    const epoch = clock.system.uuid() as FrameOf<'subscribed'>['epoch']
    const cursor = { epoch, position: 1 as Position, id: claim.id }
    const reader = await welcomed({ subscriptions: [{ ...name, cursor }] })
    const now = (await log.head(name)).epoch
    expect(reader.frames.at(-1)).toEqual({ type: 'reset', ...name, epoch: now, position: 1 })
  })

  test('[D9] a log that was started over sends readers of another to its beginning, and says so', async () => {
    log = sqliteLog(':memory:', { system: clock.system, startOver: true })
    open()
    const writer = await welcomed()
    writer.send(submit(1, [someClaim(clock.system), someClaim(clock.system)]))
    await clock.settle()
    const { epoch } = await log.head(name)
    const other = clock.system.uuid() as FrameOf<'subscribed'>['epoch']
    const cursor = { epoch: other, position: 7 as Position, id: someClaim(clock.system).id }
    const reader = await welcomed({ subscriptions: [{ ...name, cursor }] })
    const reset = { type: 'reset', ...name, epoch }
    expect(reader.frames.slice(1)).toEqual([{ ...reset, position: 0, startOver: true }])
    // A copy of this very log is another matter.
    reader.send({ type: 'subscribe', ...name, cursor: { ...cursor, epoch } })
    await clock.settle()
    expect(reader.frames.at(-1)).toEqual({ ...reset, position: 2 })
  })
})
