import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import type { ServiceBusReceivedMessage, ServiceBusReceiver } from '@azure/service-bus'
import {
  type BlackBox,
  because,
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
afterEach(() => empty(box, 'plain', 'short'), 30_000)
afterAll(() => box.close())

const pause = (ms: number) => new Promise((resolve) => void setTimeout(resolve, ms))

/** Sends one message and receives it. */
async function hold(
  queue = 'plain',
  more = {},
): Promise<{ receiver: ServiceBusReceiver; one: ServiceBusReceivedMessage }> {
  await send(box, queue, message('it', more))
  const receiver = receiverOf(box, queue)
  return { receiver, one: await takeOne(receiver) }
}

test('[B38] what is completed is gone', async () => {
  const { receiver, one } = await hold()
  await receiver.completeMessage(one)
  expect(await receiver.peekMessages(1)).toEqual([])
  await receiver.close()
})

test('[B38] a message is completed once', async () => {
  const { receiver, one } = await hold()
  await receiver.completeMessage(one)
  await expect(receiver.completeMessage(one)).rejects.toThrow()
  await receiver.close()
})

test('[B38] what is abandoned comes again, and counts', async () => {
  const { receiver, one } = await hold()
  await receiver.abandonMessage(one)
  const again = await takeOne(receiver)
  expect(again).toMatchObject({ messageId: one.messageId, deliveryCount: 1 })
  expect(again.lockToken).not.toBe(one.lockToken)
  expect(String(again.sequenceNumber)).toBe(String(one.sequenceNumber))
  await receiver.close()
})

test('[B38] what is abandoned comes again at its old place', async () => {
  await send(box, 'plain', message(1), message(2), message(3))
  const receiver = receiverOf(box, 'plain')
  const [one, two] = await take(receiver, 2)
  if (!one || !two) throw new Error('two messages')
  await receiver.abandonMessage(two)
  await receiver.abandonMessage(one)
  expect(bodies(await take(receiver, 3))).toEqual([1, 2, 3])
  await receiver.close()
})

test.each<[string, string | number | boolean]>([
  ['a text', 'größer'],
  ['a number', 3],
  ['a fraction', 0.5],
  ['a truth', true],
])('[B38] an abandon may set a property to %s, and leaves the others alone', async (_, value) => {
  const applicationProperties = { kept: 'as it was', number: 2 ** 40, set: 'before' }
  const { receiver, one } = await hold('plain', { applicationProperties })
  await receiver.abandonMessage(one, { set: value, added: value })
  const again = await takeOne(receiver)
  expect(again.applicationProperties).toEqual({
    kept: 'as it was',
    number: 2 ** 40,
    set: value,
    added: value,
  })
  expect(again.body).toBe('it')
  await receiver.close()
})

test('[B38] an abandon may set a property on a message without any', async () => {
  const { receiver, one } = await hold()
  await receiver.abandonMessage(one, { added: 'x' })
  const again = await takeOne(receiver)
  expect(again).toMatchObject({ body: 'it', applicationProperties: { added: 'x' } })
  await receiver.close()
})

test('[B39] a deferred message comes only by its number', async () => {
  const { receiver, one } = await hold()
  await receiver.deferMessage(one, { why: 'later' })
  expect(await receiver.receiveMessages(1, { maxWaitTimeInMs: 50 })).toEqual([])
  const number = one.sequenceNumber
  if (!number) throw new Error('a number')
  const [again] = await receiver.receiveDeferredMessages(number)
  expect(again).toMatchObject({
    body: 'it',
    state: 'deferred',
    applicationProperties: { why: 'later' },
  })
  if (again) await receiver.completeMessage(again)
  await receiver.close()
})

test('[B39] a number that was not deferred is not found', async () => {
  const { receiver, one } = await hold()
  const number = one.sequenceNumber
  if (!number) throw new Error('a number')
  await expect(receiver.receiveDeferredMessages(number)).rejects.toMatchObject({
    code: 'MessageNotFound',
  })
  await receiver.close()
})

test.each<
  [string, (receiver: ServiceBusReceiver, one: ServiceBusReceivedMessage) => Promise<void>]
>([
  ['abandoned', (receiver, one) => receiver.abandonMessage(one)],
  ['deferred again', (receiver, one) => receiver.deferMessage(one)],
])('[B39] a deferred message that is %s stays deferred', async (_, settle) => {
  const { receiver, one } = await hold()
  await receiver.deferMessage(one)
  const number = one.sequenceNumber
  if (!number) throw new Error('a number')
  const [again] = await receiver.receiveDeferredMessages(number)
  if (again) await settle(receiver, again)
  expect(await receiver.receiveMessages(1, { maxWaitTimeInMs: 50 })).toEqual([])
  const [third] = await receiver.receiveDeferredMessages(number)
  expect(third?.body).toBe('it')
  if (third) await receiver.completeMessage(third)
  expect(await receiver.peekMessages(1)).toEqual([])
  await receiver.close()
})

test('[B39] a deferred message may be dead-lettered', async () => {
  const { receiver, one } = await hold()
  await receiver.deferMessage(one)
  const number = one.sequenceNumber
  const [again] = number ? await receiver.receiveDeferredMessages(number) : []
  if (again) await receiver.deadLetterMessage(again, because('r'))
  const dead = receiverOf(box, 'plain', 'peekLock', 'deadLetter')
  expect((await takeOne(dead)).deadLetterReason).toBe('r')
  await dead.close()
  await receiver.close()
})

test('[B40] a dead letter keeps its content, and says why it is one', async () => {
  const { receiver, one } = await hold('plain', {
    subject: 's',
    sessionId: 'x',
    applicationProperties: { a: 1 },
  })
  await receiver.deadLetterMessage(one, {
    deadLetterReason: 'no good',
    deadLetterErrorDescription: 'größer – than allowed',
    extra: 'e',
  })
  const dead = receiverOf(box, 'plain', 'peekLock', 'deadLetter')
  const letter = await takeOne(dead)
  expect(letter).toMatchObject({
    messageId: one.messageId,
    body: 'it',
    subject: 's',
    sessionId: 'x',
    deadLetterReason: 'no good',
    deadLetterErrorDescription: 'größer – than allowed',
    applicationProperties: { a: 1, extra: 'e', DeadLetterReason: 'no good' },
  })
  await dead.completeMessage(letter)
  expect(await dead.peekMessages(1)).toEqual([])
  await dead.close()
  await receiver.close()
})

test('[B40] a dead letter without a reason is one all the same', async () => {
  const { receiver, one } = await hold()
  await receiver.deadLetterMessage(one)
  expect(await receiver.peekMessages(1)).toEqual([])
  const dead = receiverOf(box, 'plain', 'peekLock', 'deadLetter')
  expect((await takeOne(dead)).body).toBe('it')
  await dead.close()
  await receiver.close()
})

test('[B40] a dead letter that is abandoned stays where it is, however often', async () => {
  const { receiver, one } = await hold('short')
  await receiver.deadLetterMessage(one)
  const dead = receiverOf(box, 'short', 'peekLock', 'deadLetter')
  for (let turn = 0; turn < 5; turn += 1) await dead.abandonMessage(await takeOne(dead))
  expect((await takeOne(dead)).body).toBe('it')
  await dead.close()
  await receiver.close()
})

test('[B40] dead letters can be looked at without taking them', async () => {
  const { receiver, one } = await hold()
  await receiver.deadLetterMessage(one, because('r'))
  const dead = receiverOf(box, 'plain', 'peekLock', 'deadLetter')
  const [letter] = await dead.peekMessages(1)
  expect(letter).toMatchObject({ body: 'it', deadLetterReason: 'r' })
  await dead.close()
  await receiver.close()
})

test('[B40] what was abandoned too often is a dead letter, and says so', async () => {
  await send(box, 'short', message('bad'), message('good'))
  const receiver = receiverOf(box, 'short')
  for (let turn = 0; turn < 3; turn += 1) {
    const one = await takeOne(receiver)
    expect(one).toMatchObject({ body: 'bad', deliveryCount: turn })
    await receiver.abandonMessage(one)
  }
  expect(bodies(await take(receiver, 1))).toEqual(['good'])
  const dead = receiverOf(box, 'short', 'peekLock', 'deadLetter')
  expect((await takeOne(dead)).deadLetterReason).toBe('MaxDeliveryCountExceeded')
  await dead.close()
  await receiver.close()
})

test('[B41] settlements that differ, one after the other, each have their own effect', async () => {
  await send(box, 'plain', ...Array.from({ length: 12 }, (_, index) => message(index)))
  const receiver = receiverOf(box, 'plain')
  const deferred: ServiceBusReceivedMessage[] = []
  for (const one of await take(receiver, 12)) {
    const kind = Number(one.body) % 4
    if (kind === 0) await receiver.completeMessage(one)
    else if (kind === 1) await receiver.deadLetterMessage(one)
    else if (kind === 2) await receiver.abandonMessage(one)
    else {
      await receiver.deferMessage(one)
      deferred.push(one)
    }
  }
  expect(bodies(await take(receiver, 3))).toEqual([2, 6, 10])
  const dead = receiverOf(box, 'plain', 'receiveAndDelete', 'deadLetter')
  expect(bodies(await take(dead, 3))).toEqual([1, 5, 9])
  const numbers = deferred.flatMap(({ sequenceNumber }) => sequenceNumber ?? [])
  const again = await receiver.receiveDeferredMessages(numbers)
  expect(bodies(again)).toEqual([3, 7, 11])
  for (const one of again) await receiver.completeMessage(one)
  await dead.close()
  await receiver.close()
})

test('[B41] many completions at once are all carried out', async () => {
  await send(box, 'plain', ...Array.from({ length: 300 }, (_, index) => message(index)))
  const receiver = receiverOf(box, 'plain')
  const all = await take(receiver, 300)
  await Promise.all(all.map((one) => receiver.completeMessage(one)))
  expect(await receiver.peekMessages(1)).toEqual([])
  await receiver.close()
})

test('[B42] a lock that ends gives the message back, and counts', async () => {
  const { receiver, one } = await hold('short')
  const again = await takeOne(receiver, box.lockMs * 2 + 2_000)
  expect(again).toMatchObject({ messageId: one.messageId, deliveryCount: 1 })
  await receiver.completeMessage(again)
  await receiver.close()
})

test.each<
  [string, (receiver: ServiceBusReceiver, one: ServiceBusReceivedMessage) => Promise<unknown>]
>([
  ['complete', (receiver, one) => receiver.completeMessage(one)],
  ['abandon', (receiver, one) => receiver.abandonMessage(one)],
  ['defer', (receiver, one) => receiver.deferMessage(one)],
  ['dead-letter', (receiver, one) => receiver.deadLetterMessage(one)],
  ['renew', (receiver, one) => receiver.renewMessageLock(one)],
])('[B42] after its lock has ended, to %s a message is refused', async (_, settle) => {
  const { receiver, one } = await hold('short')
  await pause(box.lockMs + 100)
  await expect(settle(receiver, one)).rejects.toMatchObject({ code: 'MessageLockLost' })
  expect(await takeOne(receiver)).toMatchObject({ messageId: one.messageId })
  await receiver.close()
})

test('[B42] locks that end unsettled again and again make a dead letter', async () => {
  await send(box, 'short', message('slow'))
  const receiver = receiverOf(box, 'short')
  for (let turn = 0; turn < 3; turn += 1) await takeOne(receiver, box.lockMs * 2 + 2_000)
  const dead = receiverOf(box, 'short', 'receiveAndDelete', 'deadLetter')
  const letter = await takeOne(dead, box.lockMs * 2 + 2_000)
  expect(letter.deadLetterReason).toBe('MaxDeliveryCountExceeded')
  await dead.close()
  await receiver.close()
})

test('[B43] a renewed lock lasts longer', async () => {
  const { receiver, one } = await hold('short')
  for (let turn = 0; turn < 3; turn += 1) {
    await pause(box.lockMs * 0.6)
    const until = await receiver.renewMessageLock(one)
    expect(until.getTime()).toBeGreaterThan(Date.now() + box.lockMs * 0.7)
  }
  await receiver.completeMessage(one)
  await receiver.close()
})

test('[B43] a receiver that renews by itself keeps its message', async () => {
  await send(box, 'short', message('long'))
  const receiver = box.client.createReceiver('short', { maxAutoLockRenewalDurationInMs: 60_000 })
  const one = await takeOne(receiver)
  await pause(box.lockMs * 2.5)
  await receiver.completeMessage(one)
  expect(await receiver.peekMessages(1)).toEqual([])
  await receiver.close()
})

test('[B43] a message stays locked when its receiver closes, until the lock ends', async () => {
  const { receiver, one } = await hold('short')
  await receiver.close()
  const next = receiverOf(box, 'short')
  expect(await next.receiveMessages(1, { maxWaitTimeInMs: 50 })).toEqual([])
  const again = await takeOne(next, box.lockMs + 2_000)
  expect(again.messageId).toBe(one.messageId)
  await next.close()
})

test('[B43] a message may be settled through another receiver once its own is closed', async () => {
  const { receiver, one } = await hold()
  await receiver.close()
  const other = receiverOf(box, 'plain')
  await other.completeMessage(one)
  expect(await other.peekMessages(1)).toEqual([])
  await other.close()
})
