import { expect, test } from 'vitest'
import * as z from 'zod'
import type { DomainEvent, EventId } from './event.ts'
import { fold, model } from './model.ts'
import { topic } from './topic.ts'

const inventory = topic('inventory', {
  StockReceived: z.object({ quantity: z.int() }),
  ItemNamed: z.object({ name: z.string() }),
})
const item = model(inventory, {
  version: 1,
  initial: { onHand: 0 },
  on: { StockReceived: (state, event) => ({ onHand: state.onHand + event.data.quantity }) },
})
const event = (type: string, data: unknown): DomainEvent => ({
  id: '0198c0de-0000-7000-8000-000000000001' as EventId,
  topic: 'inventory',
  scope: 'default',
  stream: 'sku-1',
  type,
  version: 1,
  data,
  occurredAt: 0,
  author: 'u-1',
})

test('[M1] a fold takes the events that the model names and leaves the others', () => {
  const after = [
    event('StockReceived', { quantity: 5 }),
    event('ItemNamed', { name: 'Bolt' }),
    event('toString', {}),
    event('StockReceived', { quantity: 2 }),
  ].reduce((state, each) => fold(item, state, each), item.initial)
  expect(after).toEqual({ onHand: 7 })
  expect(item.initial).toEqual({ onHand: 0 })
})

test('a state belongs to the stream, unless the model says otherwise', () => {
  expect(item.key(event('StockReceived', {}))).toBe('sku-1')
  const byAuthor = model(inventory, {
    version: 1,
    initial: 0,
    key: ({ author }) => author,
    on: { StockReceived: (count) => count + 1 },
  })
  expect(byAuthor.key(event('StockReceived', {}))).toBe('u-1')
})
