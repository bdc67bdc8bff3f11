import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Line } from './line.ts'
import type { Stored } from './message.ts'

const stored = (sequence: number): Stored => ({ sequence, state: 'ready' }) as Stored

test('a line hands out by number, whatever was put back or vanished in between', () => {
  const step = fc.oneof(
    fc.constant('join' as const),
    fc.constant('take' as const),
    fc.record({ putBack: fc.nat() }),
    fc.record({ vanish: fc.nat() }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const line = new Line()
      const waiting: Stored[] = []
      const out: Stored[] = []
      let last = 0
      for (const each of steps) {
        if (each === 'join') {
          const message = stored((last += 1))
          waiting.push(message)
          line.join(message)
        } else if (each === 'take') {
          waiting.sort((a, b) => a.sequence - b.sequence)
          const expected = waiting.shift()
          expect(line.take()).toBe(expected)
          if (expected) out.push(expected)
        } else if ('putBack' in each) {
          const [message] = out.splice(each.putBack % Math.max(1, out.length), 1)
          if (!message) continue
          waiting.push(message)
          line.putBack(message)
        } else {
          const [message] = waiting.splice(each.vanish % Math.max(1, waiting.length), 1)
          if (message) message.state = 'gone'
        }
      }
      expect(line.first()).toBe(waiting.sort((a, b) => a.sequence - b.sequence)[0])
    }),
  )
})

test('a long line lets go of what was taken', () => {
  const line = new Line()
  for (let sequence = 1; sequence <= 10_000; sequence += 1) line.join(stored(sequence))
  for (let sequence = 1; sequence <= 10_000; sequence += 1) {
    expect(line.take()?.sequence).toBe(sequence)
  }
  expect(line.take()).toBeUndefined()
})
