import fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import { uuidPattern } from './event.ts'
import { deriveUuid, system } from './system.ts'

const id = '019a2b3c-4d5e-7f60-9a1b-2c3d4e5f6071'
const numbers = fc.integer({ min: 0, max: 2 ** 24 - 1 })

test('an id is a UUID of version 7 that begins with the time', () => {
  const before = Date.now()
  const made = system.uuid()
  expect(made).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  const ms = Number.parseInt(made.replace('-', '').slice(0, 12), 16)
  expect(ms).toBeGreaterThanOrEqual(before)
  expect(ms).toBeLessThan(Date.now() + 1_000)
})

test('ids are different and in order, however many are made in a millisecond, and where the clock goes back', () => {
  let ms = Date.now() + 3_600_000
  const clock = vi.spyOn(Date, 'now').mockImplementation(() => ms)
  const ids = Array.from({ length: 10_000 }, () => system.uuid())
  ms -= 1_800_000
  ids.push(...Array.from({ length: 10 }, () => system.uuid()))
  clock.mockRestore()
  expect(new Set(ids).size).toBe(10_010)
  expect(ids).toEqual(ids.toSorted())
})

test('a derived id is a UUID of version 8 that keeps the time and the variant', () => {
  expect(deriveUuid(id, 0)).toBe('019a2b3c-4d5e-8000-9000-2c3d4e5f6071')
  expect(deriveUuid(id, 2 ** 24 - 1)).toBe('019a2b3c-4d5e-8fff-9fff-2c3d4e5f6071')
  expect(deriveUuid(system.uuid(), 7)).toMatch(uuidPattern)
})

test('ids that are derived from one id are as different as their numbers', () => {
  fc.assert(
    fc.property(
      numbers,
      numbers,
      (a, b) => (deriveUuid(id, a) === deriveUuid(id, b)) === (a === b),
    ),
  )
})

test('ids that are derived from different ids are different, and no event has the id of its command', () => {
  const ids = Array.from({ length: 1_000 }, () => system.uuid())
  const derived = ids.flatMap((each) => [deriveUuid(each, 0), deriveUuid(each, 1)])
  expect(new Set([...ids, ...derived]).size).toBe(3_000)
})

test('a number that has no place in an id is a fault of the caller', () => {
  for (const n of [-1, 0.5, 2 ** 24]) expect(() => deriveUuid(id, n)).toThrow('below 2^24')
})
