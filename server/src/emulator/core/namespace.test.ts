/** The broker's core under a clock that the test moves: exact times, and nothing left behind. */
import { beforeEach, expect, test } from 'vitest'
import { type Clock, createClock } from '../../testing/clock.ts'
import type { Mailbox } from './mailbox.ts'
import type { Envelope, Stored } from './message.ts'
import { Namespace } from './namespace.ts'
import type { QueueOptions, Topology } from './topology.ts'

let clock: Clock
beforeEach(() => {
  clock = createClock()
})

let made = 0
const envelope = (more: Partial<Envelope> = {}): Envelope => ({
  messageId: `m-${(made += 1)}`,
  bytes: 10,
  properties: {},
  payload: undefined,
  ...more,
})

const open = (topology: Topology): Namespace => new Namespace({ system: clock.system, topology })

function openQueue(options: Partial<QueueOptions> = {}) {
  const namespace = open({ queues: [{ name: 'q', lockMs: 1_000, ...options }] })
  return { namespace, queue: at(namespace, 'q'), dead: at(namespace, 'q/$DeadLetterQueue') }
}

function at(namespace: Namespace, path: string): Mailbox {
  const mailbox = namespace.mailbox(path)
  if (!mailbox) throw new Error(`there is ${path}`)
  return mailbox
}

const ids = (stored: readonly Stored[]) => stored.map(({ envelope: { messageId } }) => messageId)
const tokenOf = (stored: Stored | undefined): string => stored?.lock?.token ?? 'none'

test('[B42] a lock ends on the millisecond, and its message waits at its old place', async () => {
  const { namespace, queue } = openQueue()
  namespace.send(
    'q',
    ['a', 'b', 'c'].map((messageId) => envelope({ messageId })),
  )
  const [a] = queue.take(1, 'lock')
  await clock.pass(500)
  queue.take(1, 'lock')
  await clock.pass(499)
  expect(ids(queue.take(5, 'lock'))).toEqual(['c'])
  await clock.pass(1)
  expect(queue.complete(tokenOf(a))).toBe(false)
  expect(ids(queue.take(5, 'lock'))).toEqual(['a'])
  await clock.pass(500)
  expect(ids(queue.take(5, 'lock'))).toEqual(['b'])
})

test('[B42] a wall clock that jumps makes no lock longer or shorter', async () => {
  const { namespace, queue } = openQueue()
  namespace.send('q', [envelope(), envelope()])
  queue.take(1, 'lock')
  clock.jump(-3_600_000)
  queue.take(1, 'lock')
  clock.jump(7_200_000)
  await clock.pass(999)
  expect(queue.lockedCount).toBe(2)
  await clock.pass(1)
  expect(queue.lockedCount).toBe(0)
})

test('[B43] a renewed lock ends after those that were not', async () => {
  const { namespace, queue } = openQueue()
  namespace.send(
    'q',
    ['a', 'b'].map((messageId) => envelope({ messageId })),
  )
  const [a] = queue.take(2, 'lock')
  await clock.pass(600)
  expect(queue.renew(tokenOf(a))).toBe(clock.system.now() + 1_000)
  await clock.pass(400)
  expect(ids(queue.take(5, 'lock'))).toEqual(['b'])
  await clock.pass(600)
  expect(ids(queue.take(5, 'lock'))).toEqual(['a'])
  expect(queue.renew(tokenOf(a) + 'x')).toBeUndefined()
})

test('[B40] so many failures make a dead letter, and the dead letters keep it for ever', async () => {
  const { namespace, queue, dead } = openQueue({ maxDeliveryCount: 2 })
  namespace.send('q', [envelope({ messageId: 'bad', ttlMs: 60_000 })])
  queue.abandon(tokenOf(queue.take(1, 'lock')[0]))
  queue.take(1, 'lock')
  await clock.pass(1_000)
  expect(queue.size).toBe(0)
  expect(dead.peek(1, 10)[0]).toMatchObject({
    deadLetterSource: 'q',
    changes: { DeadLetterReason: 'MaxDeliveryCountExceeded' },
  })
  await clock.pass(3_600_000)
  for (let turn = 0; turn < 20; turn += 1) dead.abandon(tokenOf(dead.take(1, 'lock')[0]))
  expect(dead.size).toBe(1)
})

test('[B52] messages expire in their own time, without anybody looking', async () => {
  const { namespace, queue, dead } = openQueue({ deadLettersExpired: true })
  namespace.send('q', [envelope({ ttlMs: 5_000 }), envelope({ ttlMs: 1_000 }), envelope()])
  await clock.pass(1_000)
  expect([queue.size, dead.size]).toEqual([2, 1])
  await clock.pass(4_000)
  expect([queue.size, dead.size]).toEqual([1, 2])
  expect(clock.timers).toBe(0)
})

test('[B52] a message that expired while it was locked goes when its lock ends', async () => {
  const { namespace, queue } = openQueue()
  namespace.send('q', [envelope({ ttlMs: 500 })])
  queue.take(1, 'lock')
  await clock.pass(700)
  expect(queue.size).toBe(1)
  await clock.pass(300)
  expect(queue.size).toBe(0)
})

test('[B34] an id is forgotten when its window is over, and not before', async () => {
  const { namespace, queue } = openQueue({ duplicateWindowMs: 1_000 })
  const send = () => namespace.send('q', [envelope({ messageId: 'same' })])
  send()
  await clock.pass(999)
  send()
  expect(queue.size).toBe(1)
  await clock.pass(1)
  send()
  expect(queue.size).toBe(2)
})

test('[B51] a message that is scheduled for a far day waits for it in steps', async () => {
  const { namespace, queue } = openQueue()
  const farMs = 2_147_483_647 * 2
  const result = namespace.schedule('q', [envelope({ scheduledAt: clock.system.now() + farMs })])
  expect(result).toEqual([1])
  await clock.pass(farMs - 1)
  expect(queue.size).toBe(0)
  await clock.pass(1)
  expect(queue.size).toBe(1)
})

test('[B44] the session that waits longest is the next, and a held one is nobody’s', () => {
  const { namespace, queue } = openQueue({ requiresSession: true })
  for (const sessionId of ['a', 'b', 'c']) namespace.send('q', [envelope({ sessionId })])
  const lost = () => {}
  const first = queue.nextSession()
  expect(first?.id).toBe('a')
  expect(first?.accept(lost)).toBe(true)
  expect(first?.accept(lost)).toBe(false)
  const second = queue.nextSession()
  expect(second?.id).toBe('b')
  second?.accept(lost)
  first?.release()
  expect(queue.nextSession()?.id).toBe('c')
})

test('[B47] a session that is let go does not count as a failure, one that ends does', async () => {
  const { namespace, queue } = openQueue({ requiresSession: true })
  namespace.send('q', [envelope({ sessionId: 'a' })])
  let losses = 0
  const session = queue.session('a')
  session.accept(() => (losses += 1))
  expect(queue.take(1, 'lock', session)[0]?.failures).toBe(0)
  session.release()
  session.accept(() => (losses += 1))
  expect(queue.take(1, 'lock', session)[0]?.failures).toBe(0)
  await clock.pass(1_000)
  expect(losses).toBe(1)
  session.accept(() => {})
  expect(queue.take(1, 'lock', session)[0]?.failures).toBe(1)
})

test('[B47] sessions that have nothing left are not remembered', () => {
  const { namespace, queue } = openQueue({ requiresSession: true })
  for (let index = 0; index < 100; index += 1) {
    namespace.send('q', [envelope({ sessionId: `s-${index}` })])
    const session = queue.nextSession()
    session?.accept(() => {})
    if (session) queue.complete(tokenOf(queue.take(1, 'lock', session)[0]))
    session?.release()
  }
  expect(queue.sessionIds()).toEqual([])
  expect(clock.timers).toBe(0)
})

test('[B36] competing receivers are told in turn', () => {
  const { namespace, queue } = openQueue()
  const told: string[] = []
  for (const name of ['a', 'b', 'c']) {
    queue.onReady(() => {
      if (queue.take(1, 'delete').length > 0) told.push(name)
    })
  }
  for (let index = 0; index < 6; index += 1) namespace.send('q', [envelope()])
  expect(told).toEqual(['a', 'b', 'c', 'a', 'b', 'c'])
})

test('[B33] messages that go round in circles become dead letters', () => {
  const namespace = open({
    queues: [
      { name: 'a', forwardTo: 'b' },
      { name: 'b', forwardTo: 'a' },
      { name: 'c', forwardTo: 'nowhere' },
    ],
  })
  namespace.send('a', [envelope()])
  namespace.send('c', [envelope()])
  const dead = namespace.mailboxes().filter(({ path, size }) => /dead/i.test(path) && size > 0)
  expect(dead.map(({ path }) => path)).toEqual(['a/$DeadLetterQueue', 'c/$DeadLetterQueue'])
})

test('[B53] a batch that is refused leaves nothing behind, not even its ids', () => {
  const { namespace, queue } = openQueue({ duplicateWindowMs: 60_000 })
  const batch = [envelope(), envelope()]
  namespace.faults.refuseSends('q', 'com.microsoft:server-busy')
  expect(namespace.send('q', batch)?.condition).toBe('com.microsoft:server-busy')
  expect(queue.size).toBe(0)
  expect(namespace.send('q', batch)).toBeUndefined()
  expect(queue.size).toBe(2)
})

test('nothing runs on after closing', async () => {
  const { namespace, queue } = openQueue({ requiresSession: true, ttlMs: 60_000 })
  namespace.send('q', [envelope({ sessionId: 'a' }), envelope({ sessionId: 'b' })])
  namespace.schedule('q', [envelope({ sessionId: 'a', scheduledAt: clock.system.now() + 9_000 })])
  queue.session('a').accept(() => {})
  namespace.close()
  expect(clock.timers).toBe(0)
})
