import type { ServiceBusSessionReceiver } from '@azure/service-bus'
import { v7 } from 'uuid'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type BlackBox,
  because,
  bodies,
  message,
  openBlackBox,
  receiverOf,
  send,
  take,
  takeOne,
} from './black-box.ts'

let box: BlackBox
beforeAll(async () => {
  box = await openBlackBox()
  await emptySessions()
}, 60_000)
afterAll(() => box.close())

const pause = (ms: number) => new Promise((resolve) => void setTimeout(resolve, ms))

/** Takes everything out of the session queue. */
async function emptySessions(): Promise<void> {
  const client = box.connect({ timeoutInMs: 300 })
  for (;;) {
    const session = await client
      .acceptNextSession('sessions', { receiveMode: 'receiveAndDelete' })
      .catch(() => undefined)
    if (!session) break
    while ((await session.receiveMessages(100, { maxWaitTimeInMs: 50 })).length > 0);
    await session.close()
  }
  await client.close()
}

/** Sends numbered messages of one session. */
const tell = (sessionId: string, ...data: readonly unknown[]) =>
  send(box, 'sessions', ...data.map((body) => message(body, { sessionId })))

/** Accepts a session without renewing it. */
const accept = (sessionId: string): Promise<ServiceBusSessionReceiver> =>
  box.client.acceptSession('sessions', sessionId, { maxAutoLockRenewalDurationInMs: 0 })

/** Closes a session and takes out all that is left of it, settled or not. */
async function finish(session: ServiceBusSessionReceiver): Promise<void> {
  await session.close()
  const rest = await box.client.acceptSession('sessions', session.sessionId, {
    receiveMode: 'receiveAndDelete',
  })
  while ((await rest.receiveMessages(100, { maxWaitTimeInMs: 20 })).length > 0);
  await rest.close()
}

test('[B44] a session is accepted by its name, and says how long', async () => {
  const id = v7()
  await tell(id, 1)
  const session = await accept(id)
  expect(session.sessionId).toBe(id)
  expect(session.sessionLockedUntilUtc.getTime()).toBeGreaterThan(Date.now())
  expect(session.sessionLockedUntilUtc.getTime()).toBeLessThan(Date.now() + box.lockMs + 1_000)
  await finish(session)
})

test('[B44] a session without messages may be accepted by its name', async () => {
  const session = await accept(v7())
  expect(await session.receiveMessages(1, { maxWaitTimeInMs: 50 })).toEqual([])
  await session.close()
})

test('[B44] the next session is one that has messages', async () => {
  const id = v7()
  await tell(id, 1)
  const session = await box.client.acceptNextSession('sessions')
  expect(session.sessionId).toBe(id)
  expect(bodies(await take(session, 1))).toEqual([1])
  await finish(session)
})

test('[B44] where no session has messages, accepting the next one ends in time', async () => {
  const client = box.connect({ timeoutInMs: 400 })
  const startedAt = performance.now()
  await expect(client.acceptNextSession('sessions')).rejects.toMatchObject({
    code: 'ServiceTimeout',
  })
  expect(performance.now() - startedAt).toBeGreaterThan(300)
  expect(performance.now() - startedAt).toBeLessThan(3_000)
})

test('[B44] whoever waits for the next session gets it with its first message', async () => {
  const waiting = box.client.acceptNextSession('sessions')
  await pause(50)
  const id = v7()
  await tell(id, 'first')
  const session = await waiting
  expect(session.sessionId).toBe(id)
  expect(bodies(await take(session, 1))).toEqual(['first'])
  await finish(session)
})

test('[B44] two that wait for the next session get different ones', async () => {
  const waiting = [1, 2].map(() => box.client.acceptNextSession('sessions'))
  await pause(50)
  const ids = [v7(), v7()]
  for (const id of ids) await tell(id, id)
  const sessions = await Promise.all(waiting)
  expect(sessions.map(({ sessionId }) => sessionId).sort()).toEqual(ids.sort())
  for (const session of sessions) await finish(session)
})

test('[B44] a session has one receiver', async () => {
  const id = v7()
  const session = await accept(id)
  await expect(accept(id)).rejects.toMatchObject({ code: 'SessionCannotBeLocked' })
  await session.close()
  const again = await accept(id)
  await again.close()
})

test('[B44] whoever waits for the next session gets one that was let go with messages', async () => {
  const id = v7()
  await tell(id, 1)
  const session = await accept(id)
  const waiting = box.connect().acceptNextSession('sessions')
  await pause(50)
  await session.close()
  const next = await waiting
  expect(next.sessionId).toBe(id)
  await finish(next)
})

test('[B45] a session hands out its own messages, in order', async () => {
  const [one, two] = [v7(), v7()]
  for (let index = 0; index < 10; index += 1) {
    await tell(one, `one ${index}`)
    await tell(two, `two ${index}`)
  }
  for (const [id, name] of [
    [one, 'one'],
    [two, 'two'],
  ] as const) {
    const session = await accept(id)
    const all = await take(session, 10)
    expect(bodies(all)).toEqual(Array.from({ length: 10 }, (_, index) => `${name} ${index}`))
    await finish(session)
    await finish(await accept(id))
  }
})

test('[B45] several sessions are read at once', async () => {
  const ids = Array.from({ length: 5 }, () => v7())
  for (const id of ids) await tell(id, id, id)
  const sessions = await Promise.all(ids.map(accept))
  const seen = await Promise.all(sessions.map((session) => take(session, 2)))
  expect(seen.map(bodies)).toEqual(ids.map((id) => [id, id]))
  for (const session of sessions) {
    await session.close()
    await finish(await accept(session.sessionId))
  }
})

test('[B45] what is abandoned in a session comes again before what follows it', async () => {
  const id = v7()
  await tell(id, 1, 2, 3)
  const session = await accept(id)
  const one = await takeOne(session)
  await session.abandonMessage(one)
  const all = await take(session, 3)
  expect(bodies(all)).toEqual([1, 2, 3])
  expect(all.map(({ deliveryCount }) => deliveryCount)).toEqual([1, 0, 0])
  for (const each of all) await session.completeMessage(each)
  await session.close()
})

test('[B45] what a receiver had not settled when it let go is the next one’s, in order', async () => {
  const id = v7()
  await tell(id, 1, 2, 3)
  const session = await accept(id)
  const [one] = await take(session, 3)
  if (one) await session.completeMessage(one)
  await session.close()
  const next = await accept(id)
  expect(bodies(await take(next, 2))).toEqual([2, 3])
  await next.close()
  await finish(await accept(id))
})

test('[B45] a subscription to a session hands over messages in order', async () => {
  const id = v7()
  await tell(id, 1, 2, 3)
  const session = await accept(id)
  const seen: unknown[] = []
  await new Promise<void>((resolve, reject) => {
    session.subscribe({
      async processMessage({ body }) {
        seen.push(body)
        if (seen.length === 3) setTimeout(resolve, 50)
      },
      async processError({ error }) {
        reject(error)
      },
    })
  })
  expect(seen).toEqual([1, 2, 3])
  await finish(session)
})

test.each<[string, (session: ServiceBusSessionReceiver) => Promise<void>]>([
  [
    'dead-lettered',
    async (session) => {
      await session.deadLetterMessage(await takeOne(session), because('r'))
      const dead = receiverOf(box, 'sessions', 'receiveAndDelete', 'deadLetter')
      const letter = await takeOne(dead)
      expect(letter).toMatchObject({ sessionId: session.sessionId, deadLetterReason: 'r' })
      await dead.close()
    },
  ],
  [
    'deferred',
    async (session) => {
      const one = await takeOne(session)
      await session.deferMessage(one)
      const number = one.sequenceNumber
      const [again] = number ? await session.receiveDeferredMessages(number) : []
      expect(again?.body).toBe(1)
      if (again) await session.completeMessage(again)
    },
  ],
])('[B45] a message of a session may be %s, and the session goes on', async (_, settle) => {
  const id = v7()
  await tell(id, 1, 2)
  const session = await accept(id)
  await settle(session)
  expect(bodies(await take(session, 1))).toEqual([2])
  await session.close()
  await finish(await accept(id))
})

test('[B45] peeking in a session shows its own messages', async () => {
  const [id, other] = [v7(), v7()]
  await tell(id, 1, 2)
  await tell(other, 'other')
  const session = await accept(id)
  expect(bodies(await session.peekMessages(10))).toEqual([1, 2])
  await finish(session)
  await finish(await accept(other))
})

test('[B45] a poisonous message leaves its session after so many tries', async () => {
  const id = v7()
  await tell(id, 'bad', 'good')
  const session = await accept(id)
  for (let turn = 0; turn < 3; turn += 1) await session.abandonMessage(await takeOne(session))
  expect(bodies(await take(session, 1))).toEqual(['good'])
  const dead = receiverOf(box, 'sessions', 'receiveAndDelete', 'deadLetter')
  expect((await takeOne(dead)).deadLetterReason).toBe('MaxDeliveryCountExceeded')
  await dead.close()
  await session.close()
  await finish(await accept(id))
})

test('[B46] a session keeps a small state, over its receivers, until it is cleared', async () => {
  const id = v7()
  const session = await accept(id)
  expect(await session.getSessionState()).toBeFalsy()
  await session.setSessionState({ step: 2 })
  expect(await session.getSessionState()).toEqual({ step: 2 })
  await session.close()
  const next = await accept(id)
  expect(await next.getSessionState()).toEqual({ step: 2 })
  await next.setSessionState(null)
  expect(await next.getSessionState()).toBeFalsy()
  await next.close()
})

test('[B46] the states of two sessions are two', async () => {
  const [one, two] = [await accept(v7()), await accept(v7())]
  await one.setSessionState('one')
  await two.setSessionState('two')
  expect([await one.getSessionState(), await two.getSessionState()]).toEqual(['one', 'two'])
  for (const session of [one, two]) {
    await session.setSessionState(null)
    await session.close()
  }
})

test('[B46] a session lock is renewed', async () => {
  const id = v7()
  await tell(id, 1)
  const session = await accept(id)
  for (let turn = 0; turn < 3; turn += 1) {
    await pause(box.lockMs * 0.6)
    const until = await session.renewSessionLock()
    expect(until.getTime()).toBeGreaterThan(Date.now() + box.lockMs * 0.7)
  }
  await finish(session)
})

test('[B46] a receiver that renews by itself keeps its session', async () => {
  const id = v7()
  await tell(id, 1)
  const session = await box.client.acceptSession('sessions', id, {
    maxAutoLockRenewalDurationInMs: 60_000,
  })
  const one = await takeOne(session)
  await pause(box.lockMs * 2.5)
  await session.completeMessage(one)
  await session.close()
})

test('[B47] a session whose lock ends is lost, and its messages go to the next receiver', async () => {
  const id = v7()
  await tell(id, 1, 2)
  const session = await accept(id)
  const one = await takeOne(session)
  await pause(box.lockMs + 150)
  await expect(session.completeMessage(one)).rejects.toMatchObject({ code: 'SessionLockLost' })
  expect(session.isClosed).toBe(true)
  const next = await accept(id)
  const all = await take(next, 2)
  expect(bodies(all)).toEqual([1, 2])
  expect(all[0]?.deliveryCount).toBe(1)
  for (const each of all) await next.completeMessage(each)
  await next.close()
})

test('[B47] a lost session cannot be renewed', async () => {
  const session = await accept(v7())
  await pause(box.lockMs + 150)
  await expect(session.renewSessionLock()).rejects.toThrow()
  await session.close().catch(() => {})
})

test('[B47] a message without a session is refused by a queue with sessions', async () => {
  await expect(send(box, 'sessions', message('stray'))).rejects.toThrow(/SessionId/)
})

test('[B47] a message without a session is a dead letter of a subscription with sessions', async () => {
  await send(box, 'news', message('stray'))
  const dead = receiverOf(box, 'news/by-session', 'receiveAndDelete', 'deadLetter')
  expect(bodies(await take(dead, 1))).toEqual(['stray'])
  await dead.close()
})

test('[B47] a queue with sessions is not read without one', async () => {
  const receiver = receiverOf(box, 'sessions')
  await expect(receiver.receiveMessages(1, { maxWaitTimeInMs: 500 })).rejects.toThrow(/session/)
  await receiver.close()
})

test('[B47] a queue without sessions is not read by session', async () => {
  await expect(box.client.acceptSession('plain', 'x')).rejects.toThrow(/session/)
})

test('[B47] accepting a session of what does not exist says so', async () => {
  await expect(box.client.acceptNextSession('no-such-queue')).rejects.toMatchObject({
    code: 'MessagingEntityNotFound',
  })
})
