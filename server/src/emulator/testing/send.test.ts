import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ServiceBusMessage } from '@azure/service-bus'
import {
  type BlackBox,
  bodies,
  empty,
  isForeign,
  message,
  openBlackBox,
  receiverOf,
  roundTrip,
  send,
  take,
} from './black-box.ts'

let box: BlackBox
beforeAll(async () => {
  box = await openBlackBox()
  await empty(box, 'plain', 'once')
}, 30_000)
afterAll(() => box.close())

test.each<[string, unknown]>([
  ['a text', 'hello'],
  ['an empty text', ''],
  ['characters beyond the basic plane', 'größer 😀 \u0000'],
  ['an object', { a: 1, nested: { list: [1, 2.5, null, true] } }],
  ['a list', [1, 'two', null]],
  ['a number', 12.5],
  ['a truth', false],
  ['nothing', null],
])('[B30] a body that is %s comes back as it was', async (_, body) => {
  expect((await roundTrip(box, message(body))).body).toEqual(body)
})

test('[B30] bytes come back as they were, whatever they are', async () => {
  const body = Buffer.from(Array.from({ length: 512 }, (_, index) => index % 256))
  expect((await roundTrip(box, message(body))).body).toEqual(body)
})

test.each<[string, object]>([
  ['value', { bodyType: 'value', body: { a: 1 } }],
  ['sequence', { bodyType: 'sequence', body: [['a', 1], ['b']] }],
  ['data', { bodyType: 'data', body: Buffer.from('bytes') }],
])('[B30] an AMQP message with a body of the type %s keeps its type', async (bodyType, raw) => {
  const received = await roundTrip(box, raw as ServiceBusMessage)
  // eslint-disable-next-line no-underscore-dangle -- the SDK's name
  expect(received._rawAmqpMessage.bodyType).toBe(bodyType)
})

test.each<[keyof ServiceBusMessage, unknown]>([
  ['messageId', 'id-1'],
  ['messageId', 'x'.repeat(128)],
  ['sessionId', 'session-1'],
  ['correlationId', 'correlation-1'],
  ['subject', 'subject – 1'],
  ['to', 'somewhere'],
  ['replyTo', 'me'],
  ['replyToSessionId', 'session-2'],
  ['contentType', 'application/cloudevents+json'],
  ['partitionKey', 'key-1'],
  ['timeToLive', 3_600_000],
])('[B31] the property %s arrives', async (name, value) => {
  expect((await roundTrip(box, message(1, { [name]: value })))[name]).toEqual(value)
})

test.each<[string, string | number | boolean | Date | null]>([
  ['a text', 'text'],
  ['an empty text', ''],
  ['a text beyond ASCII', 'größer – 😀'],
  ['a long text', 'x'.repeat(30_000)],
  ['zero', 0],
  ['a number', 42],
  ['a negative number', -42],
  ['a number beyond 32 bits', 2 ** 40],
  ['a fraction', 0.1],
  ['true', true],
  ['false', false],
  ['null', null],
  ['a time', new Date(Date.UTC(2026, 0, 2, 3, 4, 5, 678))],
])('[B31] an application property that is %s arrives', async (_, value) => {
  const received = await roundTrip(box, message(1, { applicationProperties: { value } }))
  const arrived = received.applicationProperties?.['value']
  expect(arrived instanceof Date ? arrived : arrived).toEqual(
    value instanceof Date && typeof arrived === 'number' ? value.getTime() : value,
  )
})

test('[B31] many application properties arrive, each under its own name', async () => {
  const applicationProperties = Object.fromEntries(
    Array.from({ length: 100 }, (_, index) => [`name-${index}`, index]),
  )
  const received = await roundTrip(box, message(1, { applicationProperties }))
  expect(received.applicationProperties).toEqual(applicationProperties)
})

test('[B31] a message without an id gets one', async () => {
  expect((await roundTrip(box, { body: 1 })).messageId).toMatch(/./)
})

test('[B31] a message that has properties but no id gets an id, and keeps the properties', async () => {
  const received = await roundTrip(box, {
    body: 1,
    subject: 's',
    contentType: 'c',
    sessionId: 'x',
    applicationProperties: { a: 1 },
  })
  expect(received.messageId).toMatch(/./)
  expect(received).toMatchObject({
    subject: 's',
    contentType: 'c',
    sessionId: 'x',
    applicationProperties: { a: 1 },
  })
})

test('[B31] the broker adds a number that grows and the time of arrival', async () => {
  const before = Date.now()
  const one = await roundTrip(box, message(1))
  const two = await roundTrip(box, message(2))
  expect(Number(two.sequenceNumber) > Number(one.sequenceNumber)).toBe(true)
  const skewMs = isForeign ? 60_000 : 50
  expect(one.enqueuedTimeUtc?.getTime()).toBeGreaterThan(before - skewMs)
  expect(one.enqueuedTimeUtc?.getTime()).toBeLessThan(Date.now() + skewMs)
})

test('[B32] a list of messages arrives in order', async () => {
  const all = Array.from({ length: 200 }, (_, index) => message(index))
  await send(box, 'plain', ...all)
  const receiver = receiverOf(box, 'plain', 'receiveAndDelete')
  expect(bodies(await take(receiver, 200))).toEqual(all.map(({ body }) => body))
  await receiver.close()
})

test('[B32] each message of a batch keeps its own properties', async () => {
  const all = Array.from({ length: 20 }, (_, index) =>
    message(index, { subject: `s-${index}`, applicationProperties: { index } }),
  )
  await send(box, 'plain', ...all)
  const receiver = receiverOf(box, 'plain', 'receiveAndDelete')
  const received = await take(receiver, 20)
  expect(received.map(({ subject }) => subject)).toEqual(all.map(({ subject }) => subject))
  expect(received.map(({ messageId }) => messageId)).toEqual(all.map(({ messageId }) => messageId))
  expect(received.map(({ applicationProperties: it }) => it?.['index'])).toEqual(bodies(received))
  await receiver.close()
})

test('[B32] a batch of one message is that message', async () => {
  const sender = box.client.createSender('plain')
  const batch = await sender.createMessageBatch()
  expect(batch.tryAddMessage(message('only'))).toBe(true)
  await sender.sendMessages(batch)
  await sender.close()
  const receiver = receiverOf(box, 'plain', 'receiveAndDelete')
  expect(bodies(await take(receiver, 1))).toEqual(['only'])
  await receiver.close()
})

test('[B32] a batch takes no more than the broker announces', async () => {
  const sender = box.client.createSender('plain')
  const batch = await sender.createMessageBatch()
  expect(batch.maxSizeInBytes).toBeGreaterThanOrEqual(262_144)
  expect(batch.tryAddMessage(message('x'.repeat(batch.maxSizeInBytes)))).toBe(false)
  expect(batch.tryAddMessage(message('x'.repeat(batch.maxSizeInBytes / 2)))).toBe(true)
  expect(batch.tryAddMessage(message('x'.repeat(batch.maxSizeInBytes / 2)))).toBe(false)
  expect(batch.count).toBe(1)
  await sender.close()
})

test('[B32] nothing is sent by an empty list', async () => {
  await send(box, 'plain')
  const receiver = receiverOf(box, 'plain')
  expect(await receiver.receiveMessages(1, { maxWaitTimeInMs: 50 })).toEqual([])
  await receiver.close()
})

test('[B32] many sends at once are all stored', async () => {
  const sender = box.client.createSender('plain')
  const count = 500
  await Promise.all(
    Array.from({ length: count }, (_, index) => sender.sendMessages(message(index))),
  )
  await sender.close()
  const receiver = receiverOf(box, 'plain', 'receiveAndDelete')
  const received = bodies(await take(receiver, count))
  expect(received.map(Number).sort((a, b) => a - b)).toEqual(
    Array.from({ length: count }, (_, index) => index),
  )
  await receiver.close()
})

test('[B33] a message just below the limit is taken, in several frames', async () => {
  const body = 'x'.repeat(250_000)
  expect((await roundTrip(box, message(body))).body).toBe(body)
})

test('[B33] a message above the limit is refused as such', async () => {
  const sender = box.client.createSender('plain')
  const { maxSizeInBytes } = await sender.createMessageBatch()
  await expect(sender.sendMessages(message('x'.repeat(maxSizeInBytes)))).rejects.toMatchObject({
    code: 'MessageSizeExceeded',
  })
  // The link goes on.
  await sender.sendMessages(message('small'))
  await sender.close()
  const receiver = receiverOf(box, 'plain', 'receiveAndDelete')
  expect(bodies(await take(receiver, 1))).toEqual(['small'])
  await receiver.close()
})

test.each(['no-such-queue', 'plain/Subscriptions/none', 'news/Subscriptions/one'])(
  '[B33] sending to %s is refused: there is no such queue or topic',
  async (path) => {
    const sender = box.client.createSender(path)
    await expect(sender.sendMessages(message(1))).rejects.toMatchObject({
      code: 'MessagingEntityNotFound',
    })
    await sender.close()
  },
)

test('[B33] names of entities are the same in any case of letters', async () => {
  await send(box, 'PLAIN', message('loud'))
  const receiver = receiverOf(box, 'Plain', 'receiveAndDelete')
  expect(bodies(await take(receiver, 1))).toEqual(['loud'])
  await receiver.close()
})

test('[B33] a forwarding queue hands everything on', async () => {
  await send(box, 'forwarding', message('on', { subject: 's' }))
  const receiver = receiverOf(box, 'plain', 'receiveAndDelete')
  const [one] = await take(receiver, 1)
  expect(one).toMatchObject({ body: 'on', subject: 's' })
  await receiver.close()
})

test('[B34] a repeated id is taken and dropped, within a batch and over several sends', async () => {
  const repeated = message('first')
  const other = message('other')
  await send(box, 'once', repeated, { ...repeated, body: 'second' }, other)
  await send(box, 'once', { ...repeated, body: 'third' })
  const receiver = receiverOf(box, 'once', 'receiveAndDelete')
  expect(bodies(await take(receiver, 2))).toEqual(['first', 'other'])
  expect(await receiver.receiveMessages(1, { maxWaitTimeInMs: 50 })).toEqual([])
  await receiver.close()
})

test('[B34] a repeated id is known after its message is gone, too', async () => {
  const repeated = message('first')
  await send(box, 'once', repeated)
  const receiver = receiverOf(box, 'once', 'receiveAndDelete')
  expect(await take(receiver, 1)).toHaveLength(1)
  await send(box, 'once', repeated, message('end'))
  expect(bodies(await take(receiver, 1))).toEqual(['end'])
  await receiver.close()
})

test('[B34] without duplicate detection a repeated id is a message like any other', async () => {
  const repeated = message('again')
  await send(box, 'plain', repeated, repeated)
  const receiver = receiverOf(box, 'plain', 'receiveAndDelete')
  expect(bodies(await take(receiver, 2))).toEqual(['again', 'again'])
  await receiver.close()
})
