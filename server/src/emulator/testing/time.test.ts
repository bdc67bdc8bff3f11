import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import {
  type BlackBox,
  bodies,
  empty,
  isForeign,
  message,
  openBlackBox,
  receiverOf,
  send,
  take,
  takeOne,
} from './black-box.ts'

let box: BlackBox
/** The unit that these tests wait in: short where the broker is here. */
const tickMs = isForeign ? 3_000 : 150
beforeAll(async () => {
  box = await openBlackBox()
  await empty(box, 'plain', 'expiring', 'news/one', 'news/two')
}, 30_000)
afterEach(() => empty(box, 'plain', 'expiring', 'news/one', 'news/two'), 30_000)
afterAll(() => box.close())

const pause = (ms: number) => new Promise((resolve) => void setTimeout(resolve, ms))
const soon = (ticks = 1) => new Date(Date.now() + ticks * tickMs)

test('[B51] a scheduled message comes at its time, and not before', async () => {
  const sender = box.client.createSender('plain')
  const at = soon(2)
  const [number] = await sender.scheduleMessages(message('later'), at)
  expect(String(number)).toMatch(/^\d+$/)
  const receiver = receiverOf(box, 'plain', 'receiveAndDelete')
  expect(await receiver.receiveMessages(1, { maxWaitTimeInMs: tickMs })).toEqual([])
  const one = await takeOne(receiver)
  expect(one.body).toBe('later')
  expect(Date.now()).toBeGreaterThanOrEqual(at.getTime() - 10)
  await receiver.close()
  await sender.close()
})

test('[B51] several scheduled messages come in the order of their times', async () => {
  const sender = box.client.createSender('plain')
  await sender.scheduleMessages(message('second'), soon(2))
  await sender.scheduleMessages(message('first'), soon(1))
  const receiver = receiverOf(box, 'plain', 'receiveAndDelete')
  expect(bodies(await take(receiver, 2))).toEqual(['first', 'second'])
  await receiver.close()
  await sender.close()
})

test('[B51] a list is scheduled with one number for each', async () => {
  const sender = box.client.createSender('plain')
  const numbers = await sender.scheduleMessages([message(1), message(2), message(3)], soon())
  expect(new Set(numbers.map(String)).size).toBe(3)
  const receiver = receiverOf(box, 'plain', 'receiveAndDelete')
  expect(bodies(await take(receiver, 3))).toEqual([1, 2, 3])
  await receiver.close()
  await sender.close()
})

test('[B51] a scheduled message keeps its properties', async () => {
  const sender = box.client.createSender('plain')
  const more = { subject: 's', applicationProperties: { a: 1 }, messageId: 'kept' }
  await sender.scheduleMessages(message({ deep: 1 }, more), soon())
  const receiver = receiverOf(box, 'plain', 'receiveAndDelete')
  expect(await takeOne(receiver)).toMatchObject({ body: { deep: 1 }, ...more })
  await receiver.close()
  await sender.close()
})

test('[B51] a scheduled message that is cancelled never comes', async () => {
  const sender = box.client.createSender('plain')
  const numbers = await sender.scheduleMessages([message('never'), message('comes')], soon())
  const [never] = numbers
  if (!never) throw new Error('a number')
  await sender.cancelScheduledMessages(never)
  const receiver = receiverOf(box, 'plain', 'receiveAndDelete')
  expect(bodies(await take(receiver, 1))).toEqual(['comes'])
  expect(await receiver.receiveMessages(1, { maxWaitTimeInMs: tickMs })).toEqual([])
  await receiver.close()
  await sender.close()
})

test('[B51] what has come cannot be cancelled', async () => {
  const sender = box.client.createSender('plain')
  const [number] = await sender.scheduleMessages(message('here'), new Date())
  const receiver = receiverOf(box, 'plain', 'receiveAndDelete')
  await takeOne(receiver)
  if (!number) throw new Error('a number')
  await expect(sender.cancelScheduledMessages(number)).rejects.toThrow()
  await receiver.close()
  await sender.close()
})

test('[B51] an ordinary send may name a time, alone and in a batch', async () => {
  await send(box, 'plain', message('alone', { scheduledEnqueueTimeUtc: soon() }))
  await send(
    box,
    'plain',
    message('later', { scheduledEnqueueTimeUtc: soon(2) }),
    message('at once'),
  )
  const receiver = receiverOf(box, 'plain', 'receiveAndDelete')
  expect(bodies(await take(receiver, 3))).toEqual(['at once', 'alone', 'later'])
  await receiver.close()
})

test('[B51] a time that has passed is now', async () => {
  await send(box, 'plain', message('late', { scheduledEnqueueTimeUtc: new Date(0) }))
  const receiver = receiverOf(box, 'plain', 'receiveAndDelete')
  expect(bodies(await take(receiver, 1))).toEqual(['late'])
  await receiver.close()
})

test('[B51] what is scheduled on a topic reaches every subscription', async () => {
  const sender = box.client.createSender('news')
  await sender.scheduleMessages(message('news'), soon())
  for (const place of ['news/one', 'news/two']) {
    const receiver = receiverOf(box, place, 'receiveAndDelete')
    expect(bodies(await take(receiver, 1))).toEqual(['news'])
    await receiver.close()
  }
  await sender.close()
})

test('[B52] a message that outlives its time is dropped', async () => {
  await send(box, 'plain', message('short', { timeToLive: tickMs }), message('long'))
  await pause(tickMs * 1.5)
  const receiver = receiverOf(box, 'plain', 'receiveAndDelete')
  expect(bodies(await take(receiver, 1))).toEqual(['long'])
  expect(await receiver.receiveMessages(1, { maxWaitTimeInMs: 50 })).toEqual([])
  await receiver.close()
})

test('[B52] an expired message is not shown either', async () => {
  await send(box, 'plain', message('short', { timeToLive: tickMs }))
  await pause(tickMs * 1.5)
  const receiver = receiverOf(box, 'plain')
  expect(await receiver.peekMessages(1)).toEqual([])
  await receiver.close()
})

test('[B52] where expired messages are dead-lettered, they say so, and stay', async () => {
  await send(box, 'expiring', message('short', { timeToLive: tickMs }))
  const dead = receiverOf(box, 'expiring', 'peekLock', 'deadLetter')
  const letter = await takeOne(dead)
  expect(letter).toMatchObject({ body: 'short', deadLetterReason: 'TTLExpiredException' })
  await dead.abandonMessage(letter)
  await pause(tickMs)
  expect((await takeOne(dead)).body).toBe('short')
  await dead.close()
})

test('[B52] a locked message outlives its time until it is settled', async () => {
  await send(box, 'plain', message('held', { timeToLive: tickMs }))
  const receiver = receiverOf(box, 'plain')
  const one = await takeOne(receiver)
  await pause(tickMs * 1.5)
  await receiver.completeMessage(one)
  await receiver.close()
})

test('[B52] the time of an entity bounds that of a message', async () => {
  await send(box, 'expiring', message('long', { timeToLive: 7 * 24 * 3_600_000 }))
  const receiver = receiverOf(box, 'expiring', 'receiveAndDelete')
  const one = await takeOne(receiver)
  const lifeMs = (one.expiresAtUtc?.getTime() ?? 0) - (one.enqueuedTimeUtc?.getTime() ?? 0)
  expect(lifeMs).toBe(3_600_000)
  await receiver.close()
})
