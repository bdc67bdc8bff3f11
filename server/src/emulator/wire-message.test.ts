/** Our look into encoded messages, held against rhea's own encoder and decoder. */
import fc from 'fast-check'
import rhea from 'rhea'
import { expect, test } from 'vitest'
import { readValue } from './amqp-reader.ts'
import type { Stored } from './core/message.ts'
import { encodeStored, openMessage } from './wire-message.ts'

type Fields = Record<string, unknown>
const encode = (message: Fields): Buffer => rhea.message.encode(message as never)
const decode = (bytes: Buffer): Fields => rhea.message.decode(bytes) as unknown as Fields
const newId = () => 'a new id'

const storedOf = (bytes: Buffer, more: Partial<Stored> = {}): Stored => ({
  envelope: openMessage(bytes, newId),
  sequence: 7,
  enqueuedAt: 1_790_000_000_000,
  expiresAt: Infinity,
  failures: 2,
  state: 'ready',
  lock: undefined,
  changes: undefined,
  deadLetterSource: undefined,
  wasDeferred: false,
  ...more,
})

const property = fc.oneof(
  fc.string(),
  fc.boolean(),
  fc.integer(),
  fc.integer({ min: -(2 ** 31), max: 2 ** 31 }),
  // rhea itself fails on whole numbers beyond.
  fc.double({ noNaN: true, min: -(2 ** 52), max: 2 ** 52 }),
  fc.constant('x'.repeat(300)),
)

/** rhea reads a property named `__proto__` into an object's prototype; we do not. */
const name = fc.string().filter((text) => text !== '__proto__')

test('[B31] application properties are read as rhea wrote them', () => {
  fc.assert(
    fc.property(fc.dictionary(name, property), (application_properties) => {
      const { properties } = openMessage(encode({ application_properties, body: 1 }), newId)
      const plain = decode(encode({ application_properties, body: 1 }))['application_properties']
      expect({ ...properties }).toEqual({ ...(plain as Fields) })
    }),
  )
})

test('[B38] setting some properties leaves all others, the body and the rest as they were', () => {
  const names = fc.constantFrom('a', 'b', 'c', 'd', 'größer')
  fc.assert(
    fc.property(
      fc.dictionary(names, property),
      fc.dictionary(names, fc.oneof(fc.string(), fc.boolean(), fc.integer())),
      fc.boolean(),
      (application_properties, changes, hasProperties) => {
        const bytes = encode({
          ...(hasProperties ? { message_id: 'id', subject: 's' } : {}),
          ...(Object.keys(application_properties).length > 0 ? { application_properties } : {}),
          body: rhea.message.data_section(Buffer.from('the body')),
        })
        const out = decode(encodeStored(storedOf(bytes, { changes })))
        const before = decode(bytes)['application_properties'] as Fields | undefined
        expect({ ...(out['application_properties'] as Fields) }).toEqual({ ...before, ...changes })
        expect(out['message_id']).toBe(hasProperties ? 'id' : 'a new id')
        expect((out['body'] as { content: Buffer }).content.toString()).toBe('the body')
      },
    ),
  )
})

test('[B31] a message without an id gets one, and keeps its other properties', () => {
  const bytes = encode({ subject: 'größer', group_id: 'g', correlation_id: 5, body: 'b' })
  expect(openMessage(bytes, newId)).toMatchObject({
    messageId: 'a new id',
    subject: 'größer',
    sessionId: 'g',
    correlationId: '5',
  })
  expect(decode(encodeStored(storedOf(bytes)))).toMatchObject({
    message_id: 'a new id',
    subject: 'größer',
    group_id: 'g',
    correlation_id: 5,
    body: 'b',
  })
})

test('[B35] a delivery says how often it failed, when it came, and until when it is locked', () => {
  const lock = { token: 't', until: 1_790_000_060_000, endsAt: 0 }
  const bytes = encode({ message_id: 'id', body: 'b' })
  const stored = storedOf(bytes, { lock, expiresAt: 1_790_000_005_000, deadLetterSource: 'q' })
  expect(decode(encodeStored(stored))).toMatchObject({
    delivery_count: 2,
    ttl: 5_000,
    message_annotations: {
      'x-opt-enqueued-time': new Date(1_790_000_000_000),
      'x-opt-sequence-number': 7,
      'x-opt-locked-until': new Date(1_790_000_060_000),
      'x-opt-deadletter-source': 'q',
    },
  })
})

test('[B33] bytes that are no message are refused, never a crash or an endless loop', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (noise) => {
      try {
        openMessage(Buffer.from(noise), newId)
      } catch (error) {
        expect(error).toSatisfy((it) => it instanceof RangeError || it instanceof TypeError)
      }
    }),
  )
})

test('[B33] a message that is cut off anywhere is refused or read, never a crash', () => {
  const bytes = encode({
    message_id: 'id',
    ttl: 5,
    application_properties: { a: 1, b: 'x', c: true },
    message_annotations: { 'x-opt-partition-key': 'k' },
    body: rhea.message.data_section(Buffer.from('body')),
  })
  for (let end = 0; end < bytes.length; end += 1) {
    const cut = bytes.subarray(0, end)
    try {
      void openMessage(cut, newId).properties
    } catch (error) {
      expect(error).toSatisfy((it) => it instanceof RangeError || it instanceof TypeError)
    }
  }
})

test('numbers beyond 2^53 stay exact', () => {
  const bytes = Buffer.from([0x81, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe])
  expect(readValue(bytes, 0).value).toBe(0x7fff_ffff_ffff_fffen)
})
