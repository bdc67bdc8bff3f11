import {
  type Epoch,
  type EventId,
  isTidemarkError,
  parseClaim,
  writeClaim,
  writeEntry,
} from '@tidemark/shared'
import { expect, test } from 'vitest'
import type { Attributes, Message, Received } from './broker/broker.ts'
import { fromMessage, toMessage } from './cloudevents.ts'

const log = { topic: 'inventory', scope: 'shop-7' }
const epoch = '0192d3a0-0000-7000-8000-00000000000e' as Epoch
const id = '0192d3a0-0000-7000-8000-000000000001' as EventId
const cause = '0192d3a0-0000-7000-8000-000000000002' as EventId
const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'

const claim = {
  id,
  stream: 'sku-1',
  type: 'StockPicked',
  version: 2,
  data: { quantity: 2 },
  occurredAt: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
  causationId: cause,
  correlationId: 'order-9',
  traceparent,
}
const placement = {
  position: 41,
  revision: 3,
  receivedAt: 1_767_000_000_000,
  source: 'client' as const,
  author: 'u-42',
}

const receive = (message: Message, more: Partial<Received> = {}): Received => ({
  properties: {},
  enqueuedAt: 1_767_000_000_123,
  deliveries: 1,
  lockedUntil: 0,
  ...message,
  ...more,
})

const foreign = (body: unknown, more: Partial<Received> = {}): Received =>
  receive(
    {
      id: 'm-1',
      key: '',
      attributes: {},
      body: new TextEncoder().encode(typeof body === 'string' ? body : JSON.stringify(body)),
    },
    more,
  )

const eventOf = (message: Received) => {
  const { line, claim: event, ...rest } = fromMessage('inventory', message)
  expect(event).toEqual(parseClaim(line))
  return { ...rest, event }
}

const reasonOf = (message: Received): string => {
  try {
    fromMessage('inventory', message)
  } catch (error) {
    if (isTidemarkError(error, 'MESSAGE_MALFORMED')) return error.details.reason
    throw error
  }
  return 'nothing is wrong'
}

test('[B10] an entry travels as a CloudEvent whose attributes say all of it', () => {
  const message = toMessage(log, epoch, writeEntry(placement, writeClaim(claim)))
  expect(message).toEqual({
    id,
    key: 'shop-7/sku-1',
    correlationId: 'order-9',
    body: new TextEncoder().encode('{"quantity":2}'),
    attributes: {
      specversion: '1.0',
      id,
      source: '/inventory/shop-7',
      type: 'StockPicked',
      subject: 'sku-1',
      time: '2026-01-02T03:04:05.678Z',
      datacontenttype: 'application/json',
      scope: 'shop-7',
      schemaversion: '2',
      author: 'u-42',
      epoch,
      position: '41',
      revision: '3',
      causationid: cause,
      correlationid: 'order-9',
      traceparent,
    },
  })
  for (const name of Object.keys(message.attributes)) expect(name).toMatch(/^[a-z0-9]{1,20}$/)
})

test('[B10] what comes back is the event, its scope and its author', () => {
  const message = toMessage(log, epoch, writeEntry(placement, writeClaim(claim)))
  const { line, ...rest } = fromMessage('inventory', receive(message))
  expect(line).toBe(writeClaim(claim))
  expect(rest).toEqual({ scope: 'shop-7', author: 'u-42', claim: parseClaim(line), epoch })
})

test('[B10] an echo has the bytes of its author, whatever the broker and its SDK put beside it', () => {
  const { correlationId: _, causationId: __, traceparent: ___, ...bare } = claim
  for (const each of [placement, { ...placement, batch: cause }]) {
    const message = toMessage(log, epoch, writeEntry(each, writeClaim(bare)))
    const properties = { 'Diagnostic-Id': traceparent }
    expect(fromMessage('inventory', receive(message, { properties })).line).toBe(writeClaim(bare))
  }
})

test('[B10] the data passes through as the bytes that its author wrote', () => {
  const data = '{"big":12345678901234567890,"one":1.0,"2":0,"1":"\\u00e9"}'
  const line = writeEntry(placement, writeClaim({ ...claim, data: 'DATA' }).replace('"DATA"', data))
  const message = toMessage(log, epoch, line)
  expect(new TextDecoder().decode(message.body)).toBe(data)
  expect(fromMessage('inventory', receive(message)).line).toContain(`"data":${data}}`)
})

test('members of a batch share a correlation id, and a time that no calendar knows is left out', () => {
  const { correlationId: _, causationId: __, traceparent: ___, ...bare } = claim
  const line = writeEntry({ ...placement, batch: cause }, writeClaim({ ...bare, occurredAt: 9e15 }))
  const message = toMessage(log, epoch, line)
  expect(message.correlationId).toBe(cause)
  expect(message.attributes).not.toHaveProperty('time')
  expect(message.attributes).toMatchObject({ batch: cause })
})

test('[B11] a structured CloudEvent is read, its data untouched', () => {
  const body = `{
    "specversion": "1.0", "id": "${id.toUpperCase()}", "source": "https://erp.example/orders",
    "type": "com.example.order.created", "subject": "order-9", "time": "2026-01-02T03:04:05.678+01:00",
    "scope": "shop-7", "schemaversion": 3, "causationid": "${cause}",
    "data": { "total": 1.00 }
  }`
  const attributes = { datacontenttype: 'application/cloudevents+json; charset=utf-8' }
  const { line } = fromMessage('orders', foreign(body, { attributes }))
  expect(line).toContain('"data":{ "total": 1.00 }')
  expect(eventOf(foreign(body, { attributes }))).toEqual({
    scope: 'shop-7',
    author: 'https://erp.example/orders',
    event: {
      id,
      stream: 'order-9',
      type: 'com.example.order.created',
      version: 3,
      occurredAt: Date.UTC(2026, 0, 2, 2, 4, 5, 678),
      causationId: cause,
      data: { total: 1 },
    },
  })
})

test('[B11] structured data may be base64 of JSON, or missing', () => {
  const attributes = { datacontenttype: 'application/cloudevents+json' }
  const ce = { specversion: '1.0', id, source: '/s', type: 'T', subject: 'x' }
  const encoded = Buffer.from('{"a":1}').toString('base64')
  expect(eventOf(foreign({ ...ce, data_base64: encoded }, { attributes })).event.data).toEqual({
    a: 1,
  })
  expect(eventOf(foreign(ce, { attributes })).event.data).toBeNull()
})

test('[B11] the plain JSON of a C# service is read by its message id, session, subject and trace', () => {
  const body = '\uFEFF{\r\n  "OrderId": "order-9",\r\n  "Total": 12.50\r\n}'
  const message = foreign(body, {
    id: '0192D3A000007000800000000000000A',
    key: 'shop-7/order-9',
    label: 'OrderCreatedEvent',
    correlationId: 'basket-3',
    attributes: { datacontenttype: 'application/json' },
    properties: { 'Diagnostic-Id': traceparent },
  })
  expect(fromMessage('orders', message).line).not.toMatch(/[\r\n]/)
  expect(eventOf(message)).toEqual({
    scope: 'shop-7',
    author: '/inventory',
    event: {
      id: '0192d3a0-0000-7000-8000-00000000000a',
      stream: 'order-9',
      type: 'OrderCreatedEvent',
      version: 1,
      occurredAt: 1_767_000_000_123,
      correlationId: 'basket-3',
      traceparent,
      data: { OrderId: 'order-9', Total: 12.5 },
    },
  })
})

test.each<[string, Partial<Received>, { scope: string; stream: string }]>([
  ['a session with a scope', { key: 'shop-7/a/b' }, { scope: 'shop-7', stream: 'a/b' }],
  ['a session without one', { key: 'order-9' }, { scope: 'default', stream: 'order-9' }],
  ['a session that starts with no name', { key: '%/9' }, { scope: 'default', stream: '%/9' }],
  ['properties', { properties: { scope: 's', stream: 't' } }, { scope: 's', stream: 't' }],
  ['nothing but a message id', {}, { scope: 'default', stream: 'm-1' }],
  [
    'a CloudEvent subject',
    { key: 'shop-7/x', attributes: { specversion: '1.0', subject: 'sku-1' } },
    { scope: 'shop-7', stream: 'sku-1' },
  ],
])('[B11] scope and stream are found in %s', (_, more, expected) => {
  const { scope, event } = eventOf(foreign({}, { label: 'T', ...more }))
  expect({ scope, stream: event.stream }).toEqual(expected)
})

test('[B12] an id that is no UUID becomes the same UUID every time, another one for another source', () => {
  const from = (source: string, more: Partial<Received> = {}) =>
    eventOf(foreign({}, { label: 'T', attributes: { id: 'order-9#created', source }, ...more }))
      .event.id
  expect(from('/a')).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-5/)
  expect(from('/a')).toBe(from('/a', { id: 'another', deliveries: 5 }))
  expect(from('/a')).not.toBe(from('/b'))
})

test('[B12] a message that was sent again on purpose keeps its id', () => {
  const properties = { 'tidemark-resend': 2 }
  expect(eventOf(foreign({}, { id: `${id}#2`, label: 'T', properties })).event.id).toBe(id)
})

test('[B12] a publisher may number its own messages like that, and each is another event', () => {
  const [fifth, sixth] = ['order#5', 'order#6'].map(
    (own) => eventOf(foreign({}, { id: own, label: 'T' })).event.id,
  )
  expect(fifth).not.toBe(sixth)
})

test('[B12] reading a message twice gives the same bytes, also when it is delivered again', () => {
  const once = foreign({ a: 1 }, { label: 'T' })
  const again = { ...once, deliveries: 4, lockedUntil: 99 }
  expect(fromMessage('t', again)).toEqual(fromMessage('t', once))
})

const typed = { label: 'T' }
const ce = (attributes: Attributes): Partial<Received> => ({ attributes, label: 'T' })
const structured = ce({ datacontenttype: 'application/cloudevents+json' })

test.each<[string, Received, RegExp]>([
  ['a body that is not JSON', foreign('{"a":', typed), /not JSON/],
  ['a body that is not UTF-8', { ...foreign('', typed), body: Buffer.from([0xff]) }, /not UTF-8/],
  [
    'XML',
    foreign('<a/>', ce({ datacontenttype: 'application/xml' })),
    /application\/xml, not JSON/,
  ],
  ['no id', foreign({}, { id: '', label: 'T' }), /^no id/],
  ['no type', foreign({}), /^no type/],
  ['a type that is no name', foreign({}, { label: 'a b' }), /event\.type/],
  ['a stream that is too long', foreign({}, { ...typed, key: 'x'.repeat(128) }), /event\.stream/],
  [
    'a key that is too long',
    foreign({}, ce({ scope: 's'.repeat(50), subject: 'x'.repeat(78) })),
    /129 characters.*128/,
  ],
  ['a scope that is no name', foreign({}, { ...typed, properties: { scope: '../x' } }), /^scope/],
  ['a version of CloudEvents to come', foreign({}, ce({ specversion: '2.0' })), /2\.0 is not read/],
  [
    'a batch',
    foreign([], ce({ datacontenttype: 'application/cloudevents-batch+json' })),
    /several/,
  ],
  ['a structured list', foreign([], structured), /JSON object/],
  ['a structured event without version', foreign({ id: 'x' }, structured), /^specversion/],
  ['data that is nested too deep', foreign('['.repeat(99) + ']'.repeat(99), typed), /too deep/],
  ['a key that poisons prototypes', foreign('{"__proto__":{}}', typed), /__proto__/],
  ['data that would end the event early', foreign('1},"id":"x","a":{"b":2', typed), /not JSON/],
])('[B13] %s is malformed, and the reason says so', (_, message, reason) => {
  expect(reasonOf(message)).toMatch(reason)
})

test('[B13] what is only decoration is dropped where it does not fit, and the event is kept', () => {
  const { event, author } = eventOf(
    foreign(
      {},
      {
        label: 'T',
        correlationId: 'x'.repeat(500),
        attributes: {
          causationid: 'not-a-uuid',
          time: 'yesterday',
          schemaversion: -1,
          author: `\u0000${'😀'.repeat(200)}`,
        },
      },
    ),
  )
  expect(event.causationId).toBeUndefined()
  expect(event.version).toBe(1)
  expect(event.occurredAt).toBe(1_767_000_000_123)
  expect(event.correlationId).toHaveLength(128)
  expect(author).not.toMatch(/\p{Cs}/u)
})
