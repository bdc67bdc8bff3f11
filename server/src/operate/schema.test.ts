import { topic } from '@tidemark/shared'
import * as v from 'valibot'
import { expect, test } from 'vitest'
import * as z from 'zod'
import { toAsyncApi, toJsonSchema, UndescribedSchema } from './schema.ts'

const orders = topic('orders', {
  OrderPlaced: z.object({ total: z.int().positive(), currency: z.string().default('EUR') }),
  OrderPaid: z.object({ method: z.enum(['card', 'invoice']) }),
})

test('[O4] JSON Schema is exported for the data as its author writes it, a definition for each type and version', () => {
  expect(toJsonSchema([orders])).toEqual({
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Event data of orders',
    $defs: {
      'orders.OrderPlaced.1': {
        title: 'OrderPlaced, version 1',
        type: 'object',
        properties: {
          total: { type: 'integer', exclusiveMinimum: 0, maximum: Number.MAX_SAFE_INTEGER },
          currency: { type: 'string', default: 'EUR' },
        },
        // The default is filled in by the schema: who writes the event may leave it out.
        required: ['total'],
      },
      'orders.OrderPaid.1': {
        title: 'OrderPaid, version 1',
        type: 'object',
        properties: { method: { type: 'string', enum: ['card', 'invoice'] } },
        required: ['method'],
      },
    },
  })
})

test('a schema of a library that cannot describe itself is named, with what to do about it', () => {
  const made = topic('orders', { OrderPlaced: v.object({ total: v.number() }) })
  expect(() => toJsonSchema([made])).toThrow(UndescribedSchema)
  expect(() => toJsonSchema([made])).toThrow(
    /orders\/OrderPlaced is made with valibot.*@valibot\/to-json-schema/,
  )
  const describers = { valibot: () => ({ $schema: 'x', type: 'object' }) }
  expect(toJsonSchema([made], describers)['$defs']).toEqual({
    'orders.OrderPlaced.1': { title: 'OrderPlaced, version 1', type: 'object' },
  })
})

test('a schema that JSON Schema has no words for is named', () => {
  const made = topic('orders', { OrderPlaced: z.object({ at: z.date() }) })
  expect(() => toJsonSchema([made])).toThrow(/orders\/OrderPlaced has no JSON Schema: Date/)
})

test('[O4] AsyncAPI names a channel for each topic, and a message with headers and payload for each type', () => {
  const document = toAsyncApi([orders], { title: 'Shop', version: '2.1.0' })
  expect(document).toMatchObject({
    asyncapi: '3.0.0',
    info: { title: 'Shop', version: '2.1.0' },
    channels: {
      orders: {
        address: 'orders',
        messages: { OrderPlaced: { $ref: '#/components/messages/orders.OrderPlaced' } },
      },
    },
    operations: { 'receive.orders': { action: 'receive', channel: { $ref: '#/channels/orders' } } },
    components: {
      messages: {
        'orders.OrderPaid': {
          name: 'OrderPaid',
          payload: { type: 'object', required: ['method'] },
        },
      },
    },
  })
})

test('every reference in the AsyncAPI document leads somewhere', () => {
  const document = toAsyncApi([orders])
  const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/([^"]+)"/g)]
  expect(references.length).toBeGreaterThan(4)
  for (const [, path = ''] of references) {
    let found: unknown = document
    for (const step of path.split('/')) found = (found as Record<string, unknown>)[step]
    expect(found, path).toBeTypeOf('object')
  }
})
