import { type FrameOf, type Position, TidemarkError } from '@tidemark/shared'
import { beforeEach, expect, test } from 'vitest'
import { createGateway, type Gateway, type GatewayOptions } from './gateway.ts'
import type { Log } from './log/log.ts'
import { memoryLog } from './log/memory.ts'
import { bindLog } from './testing/bind-log.ts'
import { type Clock, createClock } from './testing/clock.ts'
import { hello, inventory, name, someClaim, submit, TestClient } from './testing/client.ts'

let clock: Clock
let log: Log
let gateway: Gateway
let writer: TestClient
let next = 1

async function open(options: Partial<GatewayOptions> = {}): Promise<void> {
  gateway = createGateway({
    log,
    topics: [inventory],
    authenticate: ({ token = '' }) => ({ author: token }),
    authorize: () => 'allow',
    system: clock.system,
    ...options,
  })
  writer = await reader({ token: 'writer', subscriptions: [] })
  next = 1
}

beforeEach(async () => {
  clock = createClock()
  log = memoryLog({ system: clock.system })
  await open()
})

async function reader(rest: Partial<FrameOf<'hello'>> = {}): Promise<TestClient> {
  const client = new TestClient(gateway)
  client.send(hello(clock.system, { subscriptions: [name], ...rest }))
  await clock.settle()
  return client
}

/** Writes batches of these sizes, one submit each. */
async function write(sizes: readonly number[], text = 'short'): Promise<void> {
  for (const size of sizes) {
    const claims = Array.from({ length: size }, () =>
      someClaim(clock.system, { type: 'Noted', data: { text } }),
    )
    writer.send(submit(next, [claims]))
    next += 1
    await clock.settle()
  }
}

const positions = (client: TestClient) => client.entries.map(({ position }) => position)
const upTo = (count: number) => Array.from({ length: count }, (_, at) => at + 1)

test('[D3] readers at the same place are sent the same bytes, made once', async () => {
  const [ann, bob, cyd] = [await reader(), await reader(), await reader()]
  await write([3])
  const sent = [ann, bob, cyd].map((client) => client.messages.at(-1))
  expect(sent[0]).toBeInstanceOf(Uint8Array)
  expect(sent[1]).toBe(sent[0])
  expect(sent[2]).toBe(sent[0])
  expect(positions(cyd)).toEqual([1, 2, 3])
})

test('[D3] entries come in order and once, to whoever comes early, late, or again', async () => {
  const early = await reader()
  await write([1, 5, 2])
  const late = await reader()
  const { epoch } = await log.head(name)
  const id = early.entries[5]?.id
  const again = await reader({
    subscriptions: [{ ...name, cursor: { epoch, position: 6 as Position, ...(id && { id }) } }],
  })
  await write([1])
  expect(positions(early)).toEqual(upTo(9))
  expect(positions(late)).toEqual(upTo(9))
  expect(positions(again)).toEqual([7, 8, 9])
})

test('[D3] each frame starts where the one before it ended, and no batch is split', async () => {
  await write([40, 40, 40, 40], 'x'.repeat(5_000))
  const client = await reader()
  const frames = client.of('deliver')
  expect(frames.length).toBeGreaterThan(1)
  let position = 0
  for (const { after, upTo, entries } of frames) {
    expect(after).toBe(position)
    expect(entries).toHaveLength(upTo - after)
    expect(upTo % 40).toBe(0)
    position = upTo
  }
  expect(position).toBe(160)
})

test('[D5] a reader that applies nothing is sent a bounded amount, and the others all of it', async () => {
  await open({ limits: { unappliedBytesMax: 300_000 } })
  await write([30, 30, 30, 30, 30, 30], 'x'.repeat(10_000))
  const [idle, eager] = [await reader(), await reader()]
  for (let seen = -1; seen !== eager.entries.length;) {
    seen = eager.entries.length
    eager.send({ type: 'applied', ...name, upTo: seen as Position })
    await clock.settle()
  }
  expect(positions(eager)).toEqual(upTo(180))
  expect(positions(idle)).toEqual(upTo(30))
  idle.send({ type: 'applied', ...name, upTo: 30 as Position })
  await clock.settle()
  expect(positions(idle)).toEqual(upTo(60))
})

test('[D5] the bound is the link’s: what one log holds back, another’s `applied` sets free', async () => {
  await open({ limits: { unappliedBytesMax: 100_000 } })
  const other = { topic: 'inventory', scope: 'shop-8' }
  await write([30], 'x'.repeat(10_000))
  const client = await reader({ subscriptions: [name, other] })
  expect(positions(client)).toEqual(upTo(30))
  writer.send(submit(next, [someClaim(clock.system)], other))
  await clock.settle()
  expect(client.entries).toHaveLength(30)
  client.send({ type: 'applied', ...name, upTo: 30 as Position })
  await clock.settle()
  expect(client.entries).toHaveLength(31)
})

test('[D5] a subscription that ends gives back what it held', async () => {
  await open({ limits: { unappliedBytesMax: 100_000 } })
  const other = { topic: 'inventory', scope: 'shop-8' }
  await write([30], 'x'.repeat(10_000))
  const client = await reader({ subscriptions: [name] })
  client.send({ type: 'unsubscribe', ...name }, { type: 'subscribe', ...other })
  writer.send(submit(next, [someClaim(clock.system)], other))
  await clock.settle()
  expect(client.entries.filter(({ scope }) => scope === 'shop-8')).toHaveLength(1)
})

test('[D6] caughtUp comes once, when the head that the subscription met has been sent', async () => {
  const empty = await reader()
  expect(empty.types).toEqual(['welcome', 'subscribed', 'caughtUp'])
  await write([2, 2])
  const full = await reader()
  expect(full.types).toEqual(['welcome', 'subscribed', 'deliver', 'caughtUp'])
  expect(full.of('caughtUp')).toEqual([{ type: 'caughtUp', ...name, upTo: 4 }])
  await write([1])
  for (const client of [empty, full]) expect(client.of('caughtUp')).toHaveLength(1)
})

test('[D7] an entry whose doorbell was lost is found by looking', async () => {
  const deaf: Log = { ...bindLog(log), onAppend: () => () => {} }
  await open({ log: deaf })
  const client = await reader()
  await write([1])
  expect(positions(client)).toEqual([])
  await clock.pass(1_000)
  expect(positions(client)).toEqual([1])
})

test('[D7] an entry that comes while the end is being read is not missed', async () => {
  let answer: (() => void) | undefined
  let isSlow = false
  const sound = bindLog(log)
  await open({
    log: {
      ...sound,
      read: async (...args) => {
        const page = await sound.read(...args)
        if (isSlow) await new Promise<void>((resolve) => (answer = resolve))
        return page
      },
    },
  })
  const client = await reader()
  isSlow = true
  await write([1])
  await write([1])
  isSlow = false
  answer?.()
  await clock.settle()
  expect(positions(client)).toEqual([1, 2])
})

test('[D7] a log that cannot be read for a while is read on from the same place', async () => {
  let broken = false
  const failing = (): Promise<never> =>
    Promise.reject(new TidemarkError('LOG_UNAVAILABLE', { reason: 'no' }))
  const sound = bindLog(log)
  await open({
    log: {
      ...sound,
      head: (name) => (broken ? failing() : sound.head(name)),
      read: (...args) => (broken ? failing() : sound.read(...args)),
    },
  })
  const early = await reader()
  await write([1])
  broken = true
  await write([1])
  const late = await reader()
  await clock.pass(5_000)
  expect(late.types).toEqual(['welcome'])
  expect(positions(early)).toEqual([1])
  broken = false
  await clock.pass(10_000)
  expect(positions(early)).toEqual([1, 2])
  expect(positions(late)).toEqual([1, 2])
})

test('[D8] who reads no more is sent nothing more, and a log without readers has no loop', async () => {
  const [stays, goes, lost] = [await reader(), await reader(), await reader()]
  goes.send({ type: 'unsubscribe', ...name })
  lost.lose()
  await write([1])
  expect(goes.entries).toEqual([])
  expect(lost.entries).toEqual([])
  expect(positions(stays)).toEqual([1])
  for (const client of [stays, goes, writer]) client.lose()
  await clock.settle()
  expect(clock.timers).toBe(0)
})
