import { TidemarkError } from '@tidemark/shared'
import { beforeEach, expect, test } from 'vitest'
import { type Clock, createClock } from '../testing/clock.ts'
import type { Received } from './broker.ts'
import { Inbox, type Way } from './inbox.ts'

let clock: Clock
let inbox: Inbox
beforeEach(() => {
  clock = createClock()
  inbox = new Inbox(clock.system)
})

const received = (id: string) => ({ id }) as Received
const way = (more: Partial<Way> = {}): Way => ({
  holds: () => true,
  settle: async () => {},
  ...more,
})

test('[B9] whoever waits gets what comes, and nothing when the time is over', async () => {
  const waiting = inbox.receive(5, 1_000)
  await clock.pass(500)
  const message = received('a')
  void inbox.put(message, way())
  expect(await waiting).toEqual([message])
  const again = inbox.receive(5, 1_000)
  await clock.pass(1_000)
  expect(await again).toEqual([])
  expect(clock.timers).toBe(0)
})

test('[B9] no more are handed out than were asked for', async () => {
  for (const id of ['a', 'b', 'c']) void inbox.put(received(id), way())
  expect((await inbox.receive(2, 0)).map(({ id }) => id)).toEqual(['a', 'b'])
  expect((await inbox.receive(2, 0)).map(({ id }) => id)).toEqual(['c'])
})

test('[B16] a place is free once its message is settled, whatever the broker said', async () => {
  const lost = new TidemarkError('LOCK_LOST')
  const failing = way({ settle: () => Promise.reject(lost) })
  let isFree = false
  void inbox.put(received('a'), failing).then(() => (isFree = true))
  const [message] = await inbox.receive(1, 0)
  if (!message) throw new Error('a message')
  await expect(inbox.settle(message, { type: 'complete' })).rejects.toBe(lost)
  await clock.settle()
  expect(isFree).toBe(true)
  await expect(inbox.settle(message, { type: 'complete' })).rejects.toMatchObject({
    code: 'LOCK_LOST',
  })
})

test('[B16] a message whose lock went while it lay here is not handed out', async () => {
  const freed: string[] = []
  const gone = way({ holds: ({ id }) => id !== 'gone' })
  void inbox.put(received('gone'), gone).then(() => freed.push('gone'))
  void inbox.put(received('here'), gone)
  expect((await inbox.receive(5, 0)).map(({ id }) => id)).toEqual(['here'])
  await clock.settle()
  expect(freed).toEqual(['gone'])
})

test('[B16] a link that is gone takes its messages with it, and leaves the others', async () => {
  const [one, other] = [way(), way()]
  void inbox.put(received('a'), one)
  void inbox.put(received('b'), other)
  const [taken] = await inbox.receive(1, 0)
  void inbox.put(received('c'), one)
  inbox.forget(one)
  expect(inbox.isIdle(one)).toBe(true)
  expect((await inbox.receive(5, 0)).map(({ id }) => id)).toEqual(['b'])
  if (!taken) throw new Error('a message')
  await expect(inbox.settle(taken, { type: 'complete' })).rejects.toMatchObject({
    code: 'LOCK_LOST',
  })
})

test('[B14] trouble is told once, and taken back by the next message', async () => {
  const error = new TidemarkError('BROKER_UNAVAILABLE', { reason: 'gone' })
  inbox.fail(error)
  await expect(inbox.receive(1, 0)).rejects.toBe(error)
  expect(await inbox.receive(1, 0)).toEqual([])
  inbox.fail(error)
  void inbox.put(received('a'), way())
  expect(await inbox.receive(1, 0)).toHaveLength(1)
  expect(await inbox.receive(1, 0)).toEqual([])
})

test('[B9] closing ends every wait, and frees every place', async () => {
  const freed: string[] = []
  void inbox.put(received('a'), way()).then(() => freed.push('a'))
  await inbox.receive(1, 0)
  const waiting = inbox.receive(1, 60_000)
  inbox.close()
  expect(await waiting).toEqual([])
  await inbox.put(received('late'), way())
  expect(freed).toEqual(['a'])
  expect(clock.timers).toBe(0)
})
