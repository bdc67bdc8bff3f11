import fc from 'fast-check'
import { expect, test } from 'vitest'
import { uuidPattern } from './event.ts'
import { deriveUuid, system } from './system.ts'

const id = '019a2b3c-4d5e-7f60-9a1b-2c3d4e5f6071'
const numbers = fc.integer({ min: 0, max: 2 ** 24 - 1 })

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
