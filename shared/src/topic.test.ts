import * as v from 'valibot'
import { expect, test } from 'vitest'
import * as z from 'zod'
import { TidemarkError } from './errors.ts'
import { system } from './system.ts'
import { topic } from './topic.ts'

const inventory = topic('inventory', {
  StockReceived: z.object({ quantity: z.int().positive(), note: z.string().default('') }),
  StockCounted: v.object({ quantity: v.number() }),
})

const codeOf = (run: () => unknown): unknown => {
  try {
    run()
  } catch (error) {
    if (error instanceof TidemarkError) return { code: error.code, details: error.details }
    throw error
  }
  return undefined
}

test('a stream builds drafts of its own topic', () => {
  expect(inventory.stream('sku-1').StockReceived({ quantity: 5 })).toEqual({
    topic: 'inventory',
    stream: 'sku-1',
    type: 'StockReceived',
    version: 1,
    data: { quantity: 5 },
  })
})

test('data is what its schema returns, whichever library the schema is from', () => {
  expect(inventory.check('StockReceived', 1, { quantity: 5 })).toEqual({ quantity: 5, note: '' })
  expect(inventory.check('StockCounted', 1, { quantity: 7 })).toEqual({ quantity: 7 })
})

test('[G4] data that does not fit is refused with the field and the reason', () => {
  expect(codeOf(() => inventory.check('StockReceived', 1, { quantity: -1 }))).toEqual({
    code: 'SCHEMA_INVALID',
    details: { issues: [{ path: 'quantity', message: expect.stringContaining('>0') as string }] },
  })
})

test('an unknown type, a known one of another version and an inherited name are all unknown', () => {
  for (const [type, version] of [
    ['Sold', 1],
    ['StockReceived', 2],
    ['constructor', 1],
  ] as const) {
    expect(codeOf(() => inventory.check(type, version, {}))).toEqual({
      code: 'UNKNOWN_TYPE',
      details: { topic: 'inventory', type, version },
    })
  }
})

test('a name that could not travel as a topic is a mistake of the programmer', () => {
  expect(() => topic('stock/levels', {})).toThrow('"stock/levels" is a name of letters')
  expect(() => topic('stock', { 'Stock Received': z.object({}) })).toThrow('is a name of letters')
})

test('an app declares none of the types that Tidemark publishes itself', () => {
  expect(() => topic('stock', { 'tidemark.DeadLettered': z.object({}) })).toThrow('own types')
})

test('[G4] data on which a schema throws does not fit it, and nothing is left to reject', async () => {
  const rejected: unknown[] = []
  const hear = (reason: unknown): void => void rejected.push(reason)
  process.on('unhandledRejection', hear)
  const odd = topic('odd', {
    Refined: z.any().refine((data) => data.items.length > 0),
    Thrown: {
      '~standard': {
        version: 1,
        vendor: 'own',
        validate: (data: unknown) => ({ value: (data as { items: string }).items.length }),
      },
    },
  })
  const refused = {
    code: 'SCHEMA_INVALID',
    details: { issues: [{ path: '', message: 'its schema threw, or is asynchronous' }] },
  }
  for (const type of ['Refined', 'Thrown']) {
    expect(codeOf(() => odd.check(type, 1, {}))).toEqual(refused)
    expect(codeOf(() => odd.check(type, 1, { items: 'some' }))).toBeUndefined()
  }
  await system.breathe()
  process.off('unhandledRejection', hear)
  expect(rejected).toEqual([])
})

test('an asynchronous schema takes no data, and says why', () => {
  const slow = topic('slow', { Checked: z.object({}).refine(async () => true) })
  expect(() => slow.check('Checked', 1, {})).toThrow('asynchronous')
})

test('the types of the builders come from the schemas', () => {
  // @ts-expect-error -- there is no such event
  expect(() => inventory.stream('a').StockMoved({})).toThrow()
  // @ts-expect-error -- a quantity is a number
  inventory.stream('a').StockReceived({ quantity: '5' })
})
