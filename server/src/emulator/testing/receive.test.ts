import type { ServiceBusReceivedMessage } from '@azure/service-bus'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import {
  type BlackBox,
  bodies,
  empty,
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
  await empty(box, 'plain', 'short')
}, 30_000)
afterEach(() => empty(box, 'plain'), 30_000)
afterAll(() => box.close())

const numbered = (count: number) => Array.from({ length: count }, (_, index) => message(index))
const upTo = (count: number) => Array.from({ length: count }, (_, index) => index)

test('[B35] messages come in the order of their sending', async () => {
  await send(box, 'plain', ...numbered(50))
  const receiver = receiverOf(box, 'plain')
  const received = await take(receiver, 50)
  expect(bodies(received)).toEqual(upTo(50))
  for (const one of received) await receiver.completeMessage(one)
  await receiver.close()
})

test('[B35] no more come than were asked for', async () => {
  await send(box, 'plain', ...numbered(10))
  const receiver = receiverOf(box, 'plain', 'receiveAndDelete')
  expect(await receiver.receiveMessages(3, { maxWaitTimeInMs: 1_000 })).toHaveLength(3)
  expect(bodies(await take(receiver, 7))).toEqual([3, 4, 5, 6, 7, 8, 9])
  await receiver.close()
})

test('[B35] an empty queue answers with nothing when the time is over', async () => {
  const receiver = receiverOf(box, 'plain')
  const startedAt = performance.now()
  expect(await receiver.receiveMessages(1, { maxWaitTimeInMs: 200 })).toEqual([])
  expect(performance.now() - startedAt).toBeGreaterThan(180)
  await receiver.close()
})

test('[B35] a waiting receiver gets a message as soon as it is sent', async () => {
  const receiver = receiverOf(box, 'plain', 'receiveAndDelete')
  const waiting = receiver.receiveMessages(1, { maxWaitTimeInMs: 5_000 })
  await send(box, 'plain', message('late'))
  expect(bodies(await waiting)).toEqual(['late'])
  await receiver.close()
})

test('[B35] receiving again and again loses nothing between two calls', async () => {
  const receiver = receiverOf(box, 'plain', 'receiveAndDelete')
  const sender = box.client.createSender('plain')
  const seen: unknown[] = []
  const sending = (async () => {
    for (let index = 0; index < 120; index += 1) await sender.sendMessages(message(index))
  })()
  while (seen.length < 120) {
    seen.push(...bodies(await receiver.receiveMessages(7, { maxWaitTimeInMs: 100 })))
  }
  await sending
  expect(seen).toEqual(upTo(120))
  await sender.close()
  await receiver.close()
})

test('[B35] two receivers share what there is, each message once', async () => {
  const one = receiverOf(box, 'plain', 'receiveAndDelete')
  const two = receiverOf(box, 'plain', 'receiveAndDelete')
  await send(box, 'plain', ...numbered(100))
  const all = await Promise.all([take(one, 50), take(two, 50)])
  expect(
    all
      .flatMap(bodies)
      .map(Number)
      .sort((a, b) => a - b),
  ).toEqual(upTo(100))
  await one.close()
  await two.close()
})

test('[B35] what one receiver has locked no other gets', async () => {
  await send(box, 'plain', message('mine'))
  const one = receiverOf(box, 'plain')
  const two = receiverOf(box, 'plain')
  const mine = await takeOne(one)
  expect(await two.receiveMessages(1, { maxWaitTimeInMs: 100 })).toEqual([])
  await one.completeMessage(mine)
  await one.close()
  await two.close()
})

test('[B35] a message that was received and deleted is gone', async () => {
  await send(box, 'plain', message(1))
  const receiver = receiverOf(box, 'plain', 'receiveAndDelete')
  const one = await takeOne(receiver)
  expect(one.lockToken).toBeUndefined()
  expect(await receiver.receiveMessages(1, { maxWaitTimeInMs: 50 })).toEqual([])
  await receiver.close()
})

test('[B35] a locked message says until when, and that nobody had it before', async () => {
  await send(box, 'plain', message(1))
  const receiver = receiverOf(box, 'plain')
  const one = await takeOne(receiver)
  expect(one.lockToken).toMatch(/^[0-9a-f-]{36}$/)
  expect(one.deliveryCount).toBe(0)
  expect(one.lockedUntilUtc?.getTime()).toBeGreaterThan(Date.now() + 15_000)
  expect(one.state).toBe('active')
  await receiver.completeMessage(one)
  await receiver.close()
})

test('[B35] receiving from what does not exist says so', async () => {
  for (const place of ['no-such-queue', 'news/no-such-subscription', 'no-such-topic/one']) {
    const receiver = receiverOf(box, place)
    await expect(receiver.receiveMessages(1, { maxWaitTimeInMs: 500 })).rejects.toMatchObject({
      code: 'MessagingEntityNotFound',
    })
    await receiver.close()
  }
})

test('[B35] a wait that is given up takes nothing with it', async () => {
  const receiver = receiverOf(box, 'plain')
  const over = new AbortController()
  const options = { maxWaitTimeInMs: 20_000, abortSignal: over.signal }
  const waiting = receiver.receiveMessages(1, options).catch((error: Error) => error.name)
  await receiver.peekMessages(1)
  over.abort()
  expect(['AbortError', []]).toContainEqual(await waiting)
  await receiver.close()
  await send(box, 'plain', message('still here'))
  const next = receiverOf(box, 'plain', 'receiveAndDelete')
  expect(bodies(await take(next, 1))).toEqual(['still here'])
  await next.close()
})

/** Subscribes until `count` messages were handled. */
function handle(
  place: string,
  count: number,
  run: (one: ServiceBusReceivedMessage, index: number) => Promise<void>,
  options: { autoCompleteMessages?: boolean; maxConcurrentCalls?: number } = {},
): Promise<ServiceBusReceivedMessage[]> {
  const receiver = receiverOf(box, place)
  const seen: ServiceBusReceivedMessage[] = []
  return new Promise((resolve, reject) => {
    receiver.subscribe(
      {
        async processMessage(one) {
          seen.push(one)
          const index = seen.length - 1
          try {
            await run(one, index)
          } finally {
            // The SDK settles after this returns; closing must wait for that.
            if (index === count - 1) {
              setTimeout(() => void receiver.close().then(() => resolve(seen)), 50)
            }
          }
        },
        async processError({ error, errorSource }) {
          if (errorSource === 'receive') reject(error)
        },
      },
      options,
    )
  })
}

test('[B36] a subscription hands over messages one after the other, and completes them', async () => {
  await send(box, 'plain', ...numbered(20))
  const seen = await handle('plain', 20, async () => {})
  expect(bodies(seen)).toEqual(upTo(20))
  const receiver = receiverOf(box, 'plain')
  expect(await receiver.peekMessages(1)).toEqual([])
  await receiver.close()
})

test('[B36] a handler that fails gives its message back', async () => {
  await send(box, 'plain', message('try'))
  const seen = await handle('plain', 3, async (_, index) => {
    if (index < 2) throw new Error('not yet')
  })
  expect(seen.map(({ deliveryCount }) => deliveryCount)).toEqual([0, 1, 2])
})

test('[B36] no more handlers run at once than were allowed', async () => {
  await send(box, 'plain', ...numbered(30))
  let running = 0
  let most = 0
  const seen = await handle(
    'plain',
    30,
    async () => {
      running += 1
      most = Math.max(most, running)
      await new Promise((resolve) => void setTimeout(resolve, 5))
      running -= 1
    },
    { maxConcurrentCalls: 4 },
  )
  expect(most).toBe(4)
  expect(seen).toHaveLength(30)
})

test('[B36] messages settled by hand are settled once', async () => {
  await send(box, 'plain', ...numbered(40))
  const receiver = receiverOf(box, 'plain')
  const seen: unknown[] = []
  await new Promise<void>((resolve, reject) => {
    receiver.subscribe(
      {
        async processMessage(one) {
          await receiver.completeMessage(one)
          seen.push(one.body)
          if (seen.length === 40) resolve()
        },
        async processError({ error }) {
          reject(error)
        },
      },
      { autoCompleteMessages: false, maxConcurrentCalls: 8 },
    )
  })
  await receiver.close()
  expect(seen.map(Number).sort((a, b) => a - b)).toEqual(upTo(40))
})

test('[B36] a subscription gets what is sent while it is open', async () => {
  const handled = handle('plain', 3, async () => {})
  for (const body of upTo(3)) await send(box, 'plain', message(body))
  expect(bodies(await handled)).toEqual([0, 1, 2])
})

test('[B36] an iterator hands over messages as they come', async () => {
  await send(box, 'plain', ...numbered(5))
  const receiver = receiverOf(box, 'plain')
  const seen: unknown[] = []
  for await (const one of receiver.getMessageIterator()) {
    seen.push(one.body)
    await receiver.completeMessage(one)
    if (seen.length === 5) break
  }
  expect(seen).toEqual(upTo(5))
  await receiver.close()
})

test('[B37] peeking shows messages without taking them', async () => {
  await send(box, 'plain', ...numbered(3))
  const receiver = receiverOf(box, 'plain')
  expect(bodies(await receiver.peekMessages(10))).toEqual([0, 1, 2])
  expect(bodies(await take(receiver, 3))).toEqual([0, 1, 2])
  await receiver.close()
})

test('[B37] peeking goes on where it ended, and shows no more than asked for', async () => {
  await send(box, 'plain', ...numbered(5))
  const receiver = receiverOf(box, 'plain')
  expect(bodies(await receiver.peekMessages(2))).toEqual([0, 1])
  expect(bodies(await receiver.peekMessages(2))).toEqual([2, 3])
  expect(bodies(await receiver.peekMessages(2))).toEqual([4])
  expect(await receiver.peekMessages(2)).toEqual([])
  await receiver.close()
})

test('[B37] peeking starts from any number', async () => {
  await send(box, 'plain', ...numbered(4))
  const receiver = receiverOf(box, 'plain')
  const all = await receiver.peekMessages(4)
  const fromSequenceNumber = all[2]?.sequenceNumber
  if (!fromSequenceNumber) throw new Error('a third message')
  expect(bodies(await receiver.peekMessages(10, { fromSequenceNumber }))).toEqual([2, 3])
  await receiver.close()
})

test('[B37] peeking shows locked messages and deferred ones, with their state', async () => {
  await send(box, 'plain', message('locked'), message('deferred'))
  const receiver = receiverOf(box, 'plain')
  const [locked, deferred] = await take(receiver, 2)
  if (!locked || !deferred) throw new Error('two messages')
  await receiver.deferMessage(deferred)
  const peeked = await receiver.peekMessages(10)
  expect(peeked.map(({ body, state }) => [body, state])).toEqual([
    ['locked', 'active'],
    ['deferred', 'deferred'],
  ])
  await receiver.completeMessage(locked)
  const number = deferred.sequenceNumber
  const [again] = number ? await receiver.receiveDeferredMessages([number]) : []
  if (again) await receiver.completeMessage(again)
  await receiver.close()
})

test('[B37] a peeked message has all its properties', async () => {
  const applicationProperties = { a: 'x', b: 2, c: true }
  await send(box, 'plain', message({ deep: [1] }, { subject: 's', applicationProperties }))
  const receiver = receiverOf(box, 'plain')
  const [one] = await receiver.peekMessages(1)
  expect(one).toMatchObject({ body: { deep: [1] }, subject: 's', applicationProperties })
  await receiver.close()
})

test('[B37] peeking into an empty queue shows nothing', async () => {
  const receiver = receiverOf(box, 'plain')
  expect(await receiver.peekMessages(1)).toEqual([])
  await receiver.close()
})
