import { closeCodes, type ErrorCode } from '@tidemark/shared'
import { expect, test } from 'vitest'
import { createDisk } from './store/memory.ts'
import { createTestSystem, welcome } from './testing.ts'
import { TestGateway } from './testing/gateway.ts'
import { foreignLine, inventoryLog, openBench, received, talk } from './testing/inventory.ts'

const state = (bench: ReturnType<typeof openBench>) => bench.client.status.getSnapshot().link

test('[L1] waits grow with each failure, are spread from nothing, and never exceed 30 s', async () => {
  const bench = openBench()
  const gaps: number[] = []
  await bench.system.settle()
  for (let last = bench.system.mono(); gaps.length < 40; last = bench.system.mono()) {
    const before = bench.connections.length
    bench.connection().drop()
    for (let step = 0; bench.connections.length === before && step < 4_000; step++) {
      await bench.system.advance(10)
    }
    gaps.push(bench.system.mono() - last)
  }
  expect(Math.max(...gaps)).toBeLessThan(30_100)
  expect(Math.max(...gaps.slice(0, 3))).toBeLessThan(2_100)
  const late = gaps.slice(8)
  expect(Math.min(...late)).toBeLessThan(6_000)
  expect(Math.max(...late)).toBeGreaterThan(20_000)
  await bench.client.close()
}, 60_000)

test('[L1] a gateway that goes away is left alone for as long as it asked, hint or not', async () => {
  const bench = openBench()
  await bench.greet(inventoryLog())
  bench.connection().send({ type: 'goaway', retryAfterMs: 20_000 })
  bench.connection().drop(1001)
  await bench.system.advance(10_000)
  bench.hint()
  await bench.system.advance(9_900)
  expect(bench.connections).toHaveLength(1)
  await bench.system.advance(1_000)
  expect(bench.connections).toHaveLength(2)
  await bench.client.close()
})

test('[L2] a link that has gone silent is left without waiting for its close', async () => {
  const bench = openBench()
  await bench.greet(inventoryLog())
  bench.connection().received.length = 0
  await bench.system.advance(20_000)
  expect(bench.connection().received).toEqual([{ type: 'ping' }])
  expect(state(bench)).toBe('online')
  await bench.system.advance(40_000)
  expect(bench.connections[0]?.closed?.code).toBe(4410)
  expect(bench.connections.length).toBeGreaterThan(1)
  await bench.client.close()
})

test('[L2] a link that answers is kept, and pinged where there is nothing else to say', async () => {
  const bench = openBench()
  await bench.greet(inventoryLog())
  bench.connection().received.length = 0
  let pings = 0
  for (let ms = 0; ms < 600_000; ms += 5_000) {
    await bench.system.advance(5_000)
    for (const frame of bench.connection().received.splice(0)) {
      expect(frame.type).toBe('ping')
      pings += 1
      bench.connection().send({ type: 'pong' })
    }
  }
  expect(bench.connections).toHaveLength(1)
  expect(pings).toBeGreaterThan(25)
  expect(pings).toBeLessThan(60)
  await bench.client.close()
})

test('[L3] a hint hurries: a link that does not answer a ping in 5 s is left, and a wait is cut short', async () => {
  const bench = openBench()
  await bench.greet(inventoryLog())
  bench.hint()
  await bench.system.advance(4_900)
  expect(state(bench)).toBe('online')
  await bench.system.advance(200)
  expect(bench.connections[0]?.closed?.code).toBe(4410)
  for (let time = 0; time < 10; time++) {
    bench.connection().drop()
    await bench.system.advance(40_000)
  }
  bench.connection().drop()
  await bench.system.advance(0)
  const before = bench.connections.length
  bench.hint()
  await bench.system.advance(500)
  expect(bench.connections).toHaveLength(before + 1)
  await bench.client.close()
})

const nonsense: readonly [string, string][] = [
  ['no JSON', 'what?'],
  ['HTML of a captive portal', '<html><body>Please sign in</body></html>'],
  ['no object', '[1]'],
  ['nested too deep', '{"type":"pong","x":'.padEnd(2_000, '[').padEnd(3_981, ']') + '}'],
  ['a poisoned key', '{"type":"pong","__proto__":{"x":1}}'],
  ['a type that does not exist', '{"type":"nonsense"}'],
  ['a position beyond 2^53', '{"type":"caughtUp","topic":"a","scope":"b","upTo":9007199254740993}'],
  ['verdicts on nothing', '{"type":"verdicts","n":1,"verdicts":[{}]}'],
  ['a second welcome', JSON.stringify(welcome())],
  [
    'entries that are none',
    '{"type":"deliver","topic":"inventory","scope":"default","epoch":"0198c0de-e90c-7000-8000-000000000001","after":0,"upTo":1}\nnope',
  ],
  [
    'entries that are not those that it names',
    '{"type":"deliver","topic":"inventory","scope":"default","epoch":"0198c0de-e90c-7000-8000-000000000001","after":0,"upTo":1}',
  ],
]
test.each(nonsense)(
  '[L4] %s from the gateway ends the link and nothing else',
  async (_what, text) => {
    const bench = openBench()
    await bench.client.append(received(5))
    const log = inventoryLog()
    await bench.greet(log)
    bench.submit()
    bench.connection().sendText(text)
    await bench.system.settle()
    expect(state(bench)).toBe('offline')
    expect(bench.client.status.getSnapshot().linkError).toMatch(/BAD_FRAME|UNKNOWN_FRAME/)
    expect(bench.client.model.item('sku-1').get()).toEqual({ onHand: 5 })
    await bench.system.advance(1_000)
    await bench.greet(log)
    expect(bench.submit().events).toHaveLength(1)
    expect(state(bench)).toBe('online')
    await bench.client.close()
  },
)

test('[L4] a gateway that welcomes and then talks nonsense is not knocked at any faster for it', async () => {
  const bench = openBench()
  const log = inventoryLog()
  for (let ms = 0; ms < 120_000; ms += 500) {
    const connection = bench.connections.at(-1)
    if (connection && !connection.closed) {
      connection.open()
      connection.send(welcome(), log.subscribed())
      connection.sendText('nonsense')
    }
    await bench.system.advance(500)
  }
  expect(bench.connections.length).toBeLessThan(25)
  await bench.client.close()
})

test.each(['TOO_MANY', 'FRAME_TOO_LARGE', 'SUPERSEDED', undefined] as const)(
  '[L1] a link that is welcomed and then thrown out, by %s, is tried ever more seldom',
  async (code) => {
    const bench = openBench()
    const log = inventoryLog()
    await bench.client.append(received(5))
    for (let ms = 0; ms < 120_000; ms += 500) {
      await bench.system.settle()
      if (!bench.connection().closed) {
        await bench.greet(log)
        bench.connection().drop(code ? closeCodes[code] : 1006)
      }
      await bench.system.advance(500)
    }
    expect(bench.connections.length).toBeLessThan(25)
    await bench.client.close()
  },
)

test('[L1] a link that has brought entries or a verdict, or has lasted, is followed by the next at once', async () => {
  const bench = openBench()
  const log = inventoryLog()
  const brings: Record<string, () => Promise<void> | void> = {
    entries: () => {
      log.append([foreignLine(1)])
      bench.connection().send(log.deliver())
    },
    'a verdict': async () => {
      await bench.client.append(received(5))
      await bench.system.settle()
      bench
        .connection()
        .send({ type: 'verdicts', n: 1, verdicts: [log.append(bench.submit().events)] })
    },
    nothing: async () => {
      for (let ms = 0; ms < 30_000; ms += 5_000) {
        await bench.system.advance(5_000)
        bench.connection().send({ type: 'pong' })
      }
    },
  }
  for (const [what, bring] of Object.entries(brings)) {
    for (let time = 0; time < 8; time++) {
      bench.connections.at(-1)?.drop()
      do await bench.system.advance(100)
      while (bench.connection().closed)
    }
    await bench.greet(log)
    await bring()
    await bench.system.settle()
    const before = bench.connections.length
    bench.connection().drop()
    await bench.system.advance(501)
    expect(bench.connections.length, what).toBe(before + 1)
  }
  await bench.client.close()
})

const denials: readonly [ErrorCode, unknown, string][] = [
  ['UNAUTHENTICATED', { reason: 'expired' }, 'needs-auth'],
  ['WRONG_USER', { expected: 'ann', actual: 'bob' }, 'wrong-user'],
  ['WRONG_VERSION', { old: 'client', min: 2, max: 2 }, 'client-too-old'],
  ['WRONG_VERSION', { old: 'gateway', min: 1, max: 1 }, 'gateway-too-old'],
]
test.each(denials)(
  '[L5] %s %o is the state %s, the outbox stays, and it heals',
  async (code, details, expected) => {
    const bench = openBench()
    await bench.client.append(received(5))
    await bench.system.settle()
    bench.connection().open()
    bench.connection().send({ type: 'error', code, details })
    bench.connection().drop(4401)
    await bench.system.settle()
    expect(state(bench)).toBe(expected)
    expect(bench.client.status.getSnapshot()).toMatchObject({
      linkError: code,
      pending: 1,
      refused: 0,
    })
    await bench.system.advance(60_500)
    expect(bench.connections.length).toBeGreaterThan(1)
    await bench.greet(inventoryLog())
    expect(bench.submit().events).toHaveLength(1)
    await bench.client.close()
  },
)

test('[L6] the token is asked for at each connection, and says whose device this is', async () => {
  let calls = 0
  const bench = openBench({ token: async () => `token-${++calls}` })
  await bench.system.settle()
  bench.connection().open()
  await bench.system.settle()
  expect(bench.connection().received).toMatchObject([{ type: 'hello', token: 'token-1' }])
  bench.connection().send(welcome('bob'))
  await bench.system.settle()
  expect(state(bench)).toBe('wrong-user')
  expect(bench.connection().closed?.code).toBe(4403)
  await bench.system.advance(60_500)
  const hello = await bench.greet(inventoryLog())
  expect(hello.token).toBe(`token-${calls}`)
  expect(state(bench)).toBe('online')
  await bench.client.close()
})

test('[L6] a token that fails or never comes is tried again', async () => {
  let calls = 0
  const token = (): Promise<string> =>
    ++calls === 1 ? Promise.reject(new Error('no network')) : new Promise(() => undefined)
  const bench = openBench({ token })
  await bench.system.advance(1_000)
  expect(calls).toBe(2)
  await bench.system.advance(20_000)
  expect(calls).toBeGreaterThan(2)
  expect(bench.connections).toHaveLength(0)
  expect(bench.errors[1]).toMatchObject({ name: 'TidemarkError', code: 'UNAUTHENTICATED' })
  await bench.client.close()
})

test('[L7] only a welcome is online, and a connection that brings none is left', async () => {
  const bench = openBench()
  await bench.system.settle()
  bench.connection().open()
  await bench.system.advance(9_900)
  expect(state(bench)).toBe('connecting')
  await bench.system.advance(200)
  expect(bench.connections[0]?.closed).toBeDefined()
  await bench.client.close()
})

test('[L8] a link that answers pings and no submit is left after 30 s, and said to be stalled until something moves', async () => {
  const bench = openBench()
  const log = inventoryLog()
  await bench.client.append(received(5))
  await bench.greet(log)
  for (let ms = 0; ms < 45_000 && bench.connections.length === 1; ms += 1_000) {
    await bench.system.advance(1_000)
    bench.connection().send({ type: 'pong' })
  }
  expect(bench.client.status.getSnapshot().stalled).toBe('upload')
  await bench.greet(log)
  const { events } = bench.submit()
  bench.connection().send({ type: 'verdicts', n: 1, verdicts: [log.append(events)] })
  await bench.system.settle()
  expect(bench.client.status.getSnapshot().stalled).toBe(undefined)
  await bench.client.close()
})

test('[L8] a command that waits to be decided again for what does not come is said to be stalled', async () => {
  const bench = openBench()
  const gateway = new TestGateway(inventoryLog())
  await bench.client.append(received(5))
  await talk(gateway, bench)
  gateway.isDelivering = false
  gateway.log.append([foreignLine(1)])
  await bench.client.model.item('sku-1').pick({ quantity: 1 })
  for (let seconds = 0; seconds < 35; seconds++) {
    await bench.system.advance(1_000)
    await talk(gateway, bench)
  }
  expect(bench.client.status.getSnapshot()).toMatchObject({ stalled: 'upload', link: 'online' })
  gateway.isDelivering = true
  await talk(gateway, bench)
  expect(bench.client.status.getSnapshot()).toMatchObject({ stalled: undefined, pending: 0 })
  await bench.client.close()
})

test('[L8] a link that delivers nothing that it owes is left after 30 s', async () => {
  const bench = openBench()
  const log = inventoryLog()
  log.append([foreignLine(1)])
  await bench.system.settle()
  bench.connection().open()
  bench.connection().send(welcome(), log.subscribed())
  for (let ms = 0; ms < 45_000 && bench.connections.length === 1; ms += 1_000) {
    await bench.system.advance(1_000)
    bench.connection().send({ type: 'pong' })
  }
  expect(bench.client.status.getSnapshot().stalled).toBe('download')
  expect(bench.connections.length).toBe(2)
  await bench.client.close()
})

test('[L9] a link that was superseded comes back, later each time: it may have been by its own old hello', async () => {
  const bench = openBench({ system: { ...createTestSystem(), random: () => 0.9 } })
  const log = inventoryLog()
  await bench.greet(log)
  bench.connection().drop(4409, 'SUPERSEDED')
  await bench.system.advance(8_000)
  expect(bench.connections).toHaveLength(1)
  expect(bench.client.status.getSnapshot()).toMatchObject({
    link: 'offline',
    linkError: 'SUPERSEDED',
  })
  await bench.system.advance(2_000)
  expect(bench.connections).toHaveLength(2)
  await bench.greet(log)
  // What it brings does not make it come back sooner: the other one would be thrown out all the time.
  log.append([foreignLine(1)])
  bench.connection().send(log.deliver())
  await bench.system.settle()
  bench.connection().drop(4409, 'SUPERSEDED')
  await bench.system.advance(17_000)
  expect(bench.connections).toHaveLength(2)
  await bench.system.advance(2_000)
  expect(bench.connections).toHaveLength(3)
  await bench.client.close()
})

test('[L10] pause cuts the connection and keeps it cut; resume goes on where it was', async () => {
  const bench = openBench()
  const log = inventoryLog()
  await bench.greet(log)
  bench.client.pause()
  await bench.system.settle()
  expect(bench.connection().closed?.code).toBe(1000)
  expect(state(bench)).toBe('paused')
  await bench.client.append(received(5))
  bench.hint()
  await bench.system.advance(600_000)
  expect(bench.connections).toHaveLength(1)
  bench.client.resume()
  await bench.system.advance(1_000)
  await bench.greet(log)
  expect(bench.submit().events).toHaveLength(1)
  await bench.client.close()
})

test('[L11] closing lets go of connection and timers; what is pending is there the next time', async () => {
  const disk = createDisk()
  const bench = openBench({ disk })
  await bench.greet(inventoryLog())
  await bench.client.append(received(5))
  await bench.client.close()
  expect(bench.connection().closed?.code).toBe(1000)
  expect(bench.system.timers()).toBe(0)
  expect(bench.errors).toEqual([])
  const reloaded = openBench({ disk })
  await reloaded.system.settle()
  expect(reloaded.client.model.item('sku-1').getSnapshot()).toMatchObject({
    state: { onHand: 5 },
    pending: 1,
  })
  await reloaded.client.close()
})

test('[L10, L11] pausing and closing wait for no token: no connection is made with one that comes later', async () => {
  const answers: ((token: string) => void)[] = []
  const bench = openBench({ token: () => new Promise<string>((resolve) => answers.push(resolve)) })
  await bench.system.settle()
  bench.client.pause()
  await bench.system.settle()
  expect(state(bench)).toBe('paused')
  expect(bench.client.status.getSnapshot().leader).toBe(false)
  answers[0]?.('late')
  bench.client.resume()
  await bench.system.advance(1_000)
  expect(answers).toHaveLength(2)
  let isClosed = false
  const closing = bench.client.close().then(() => (isClosed = true))
  await bench.system.settle()
  expect(isClosed).toBe(true)
  expect(bench.system.timers()).toBe(0)
  answers[1]?.('late')
  await closing
  await bench.system.settle()
  expect([bench.connections.length, bench.errors]).toEqual([0, []])
})
