import { expect, test } from 'vitest'
import { measure, median, quantile } from './bench.ts'

test('a median is the middle sample, whatever the order', () => {
  expect(median([9, 1, 5])).toBe(5)
  expect(median([4, 1, 3, 2])).toBe(2.5)
})

test('a quantile is a sample that so many do not exceed', () => {
  const samples = Array.from({ length: 200 }, (_, n) => 200 - n)
  expect(quantile(samples, 0.99)).toBe(198)
  expect(quantile(samples, 0.5)).toBe(100)
  expect(quantile([7], 0.99)).toBe(7)
})

test('both sides run in turn, the warm-up is thrown away, and the ratio is that of the middle pair', async () => {
  const order: string[] = []
  const limits = [1000, 20, 100, 30]
  const values = [1000, 10, 30, 90]
  let closed = false
  const row = await measure(
    {
      name: 'x',
      unit: 'events/s',
      goal: { atLeast: 0.6 },
      about: 'nothing',
      open: async () => ({
        limit: async () => {
          order.push('limit')
          return limits.shift() ?? 0
        },
        ours: async () => {
          order.push('ours')
          return values.shift() ?? 0
        },
        note: () => 'as asked for',
        close: async () => {
          closed = true
        },
      }),
    },
    3,
  )
  expect(order).toEqual(['limit', 'ours', 'limit', 'ours', 'limit', 'ours', 'limit', 'ours'])
  expect(row).toMatchObject({
    value: 30,
    limit: 30,
    ratio: 0.5,
    reached: false,
    values: [10, 30, 90],
    note: 'as asked for',
  })
  expect(closed).toBe(true)
})

test('sides are closed also where a run fails', async () => {
  let closed = false
  const fails = async (): Promise<number> => {
    throw new Error('no')
  }
  const close = async (): Promise<void> => {
    closed = true
  }
  const bench = {
    name: 'x',
    unit: 'ms',
    about: '',
    open: async () => ({ limit: fails, ours: fails, close }),
  }
  await expect(measure(bench, 1)).rejects.toThrow('no')
  expect(closed).toBe(true)
})
