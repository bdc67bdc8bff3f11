import fc from 'fast-check'
import { expect, test } from 'vitest'
import { memberText } from './json.ts'

test('cuts the value of a member out of JSON, byte for byte', () => {
  const json = '{ "a" : [1, {"data": 2}] ,"data": {"x":1.0,"y":"}\\"{,"},"z":12345678901234567890 }'
  expect(memberText(json, 'data')).toBe('{"x":1.0,"y":"}\\"{,"}')
  expect(memberText(json, 'a')).toBe('[1, {"data": 2}]')
  expect(memberText(json, 'z')).toBe('12345678901234567890')
  expect(memberText(json, 'x')).toBeUndefined()
  expect(memberText('{}', 'x')).toBeUndefined()
})

test('finds a key that is written with escapes, and the last of equal ones', () => {
  expect(memberText('{"d\\u0061ta":1}', 'data')).toBe('1')
  expect(memberText('{"data":1,"data":"\\\\"}', 'data')).toBe('"\\\\"')
})

test('agrees with JSON.parse on any object', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
      const json = JSON.stringify(value, undefined, 1)
      for (const [key, member] of Object.entries(value)) {
        expect(JSON.parse(memberText(json, key) ?? '')).toEqual(JSON.parse(JSON.stringify(member)))
      }
    }),
  )
})
