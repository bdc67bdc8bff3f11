import { expect, test } from 'vitest'
import * as z from 'zod'
import type { DomainEvent, EventId } from './event.ts'
import { decide, refuse } from './command.ts'
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

const shelf = item
  .command('pick', z.object({ quantity: z.int().positive() }), (state, { quantity }, emit) =>
    state.onHand < quantity
      ? refuse('OUT_OF_STOCK', { onHand: state.onHand })
      : emit.StockReceived({ quantity: -quantity }),
  )
  .compensate('StockReceived', ({ data }, emit) => emit.StockReceived({ quantity: -data.quantity }))
const emit = inventory.stream('sku-1')

test('[M6] a command decides on a state: events of its stream, or a refusal with details', () => {
  expect(decide(shelf.commands.pick, { onHand: 5 }, { quantity: 2 }, emit)).toEqual({
    ok: true,
    drafts: [emit.StockReceived({ quantity: -2 })],
  })
  expect(decide(shelf.commands.pick, { onHand: 1 }, { quantity: 2 }, emit)).toEqual({
    ok: false,
    code: 'OUT_OF_STOCK',
    details: { onHand: 1 },
  })
})

test('[M6] an input that does not fit its schema does not reach the command', () => {
  expect(() => decide(shelf.commands.pick, { onHand: 5 }, { quantity: -2 }, emit)).toThrow(
    'SCHEMA_INVALID',
  )
})

test('a model with a command is another model, and one over streams has none', () => {
  expect(Object.keys(item.commands)).toEqual([])
  expect(shelf.initial).toBe(item.initial)
  const byAuthor = model(inventory, { version: 1, initial: 0, key: (e) => e.author, on: {} })
  expect(() => byAuthor.command('reset', z.object({}), () => refuse('NO'))).toThrow('by key')
})

test('a model says how an event is taken back', () => {
  const received = event('StockReceived', { quantity: 4 })
  expect(shelf.compensations['StockReceived']?.(received, emit)).toEqual(
    emit.StockReceived({ quantity: -4 }),
  )
})
