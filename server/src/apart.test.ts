import { expect, test } from 'vitest'
import { Apart } from './apart.ts'
import { createClock } from './testing/clock.ts'

/** Runs kinds in order, and answers with what ran in each tick. */
async function ticksOf(kinds: readonly string[]): Promise<string[]> {
  const { system, settle } = createClock()
  const ticks = ['']
  const over = new AbortController()
  const count = async () => {
    while (!over.signal.aborted) {
      await system.breathe()
      ticks.push('')
    }
  }
  const counting = count()
  const apart = new Apart(system)
  for (const kind of kinds) {
    apart.run(kind[0] ?? '', () => (ticks[ticks.length - 1] += kind))
  }
  await settle()
  over.abort()
  await counting
  return ticks.filter((tick) => tick !== '')
}

test('[B7] what is alike runs at once, and what is not in ticks of its own, in order', async () => {
  expect(await ticksOf(['a1', 'a2', 'a3'])).toEqual(['a1a2a3'])
  expect(await ticksOf(['a1', 'b1', 'a2'])).toEqual(['a1', 'b1', 'a2'])
  expect(await ticksOf(['a1', 'b1', 'b2', 'a2', 'a3', 'c1'])).toEqual(['a1', 'b1b2', 'a2a3', 'c1'])
})

test('[B7] a free tick is used at once', async () => {
  const { system, settle } = createClock()
  const apart = new Apart(system)
  const ran: string[] = []
  apart.run('a', () => ran.push('a'))
  expect(ran).toEqual(['a'])
  await settle()
  apart.run('b', () => ran.push('b'))
  expect(ran).toEqual(['a', 'b'])
})
