/** The checks of services are checked: histories made by hand, good ones and ones that are bad in one way each. */
import { expect, test } from 'vitest'
import { Judge } from './checks.ts'
import type { Fact } from './history.ts'
import { type Invariant, Violation } from './invariants.ts'

const handed = (id: string, sequence: number): Fact => ({ type: 'handed', id, sequence })
const effect = (id: string, key = 's'): Fact => ({ type: 'effect', id, key })
const tried = (id: string): Fact => ({ type: 'tried', id })
const redriven = (id: string, times = 1): Fact => ({ type: 'redriven', id, times })
const claimed = (term: number): Fact => ({ type: 'claimed', saga: 'x', term })
const called = (act: 'run' | 'compensate', step: number, key = `${act} ${step}`): Fact => ({
  type: 'called',
  saga: 'x',
  act,
  step,
  key,
})
const run = (step: number): Fact => ({ type: 'moved', saga: 'x', act: 'run', step })
const undo = (step: number): Fact => ({ type: 'moved', saga: 'x', act: 'compensate', step })
const ended = (outcome: string): Fact => ({ type: 'ended', saga: 'x', outcome })

function judge(facts: readonly Fact[], isOrdered = true): Invariant | undefined {
  const judging = new Judge()
  judging.isOrdered = isOrdered
  try {
    for (const fact of facts) judging.see(fact)
    return undefined
  } catch (error) {
    if (error instanceof Violation) return error.invariant
    throw error
  }
}

const four = [tried('a'), tried('a'), tried('a'), tried('a')]

const good: Readonly<Record<string, readonly Fact[]>> = {
  'effects in the order of arrival': [handed('a', 1), handed('b', 2), effect('a'), effect('b')],
  'a message that comes twice': [handed('a', 1), effect('a'), handed('a', 7), handed('a', 7)],
  'streams do not wait for each other': [
    handed('a', 1),
    handed('b', 2),
    effect('b', 't'),
    effect('a'),
  ],
  'all attempts, and all of them again': [...four, redriven('a'), ...four],
  'a saga that is done': [claimed(1), called('run', 0), run(0), run(1), run(2), ended('completed')],
  'a saga that is undone': [run(0), run(1), undo(1), undo(0), ended('compensated')],
  'an unsure step is undone': [
    run(0),
    called('run', 1),
    called('compensate', 1),
    undo(1),
    undo(0),
    ended('compensated'),
  ],
  'a call that is repeated under its key': [called('run', 0), called('run', 0)],
}

const bad: readonly (readonly [Invariant, string, readonly Fact[]])[] = [
  ['I9', 'an effect twice', [handed('a', 1), effect('a'), effect('a')]],
  ['I9', 'an effect of nothing', [effect('a')]],
  ['I9', 'a call under two keys', [called('run', 0), called('run', 0, 'other')]],
  ['I15', 'an attempt too many', [...four, tried('a')]],
  ['I15', 'a redrive that works twice', [redriven('a', 2)]],
  ['I15', 'parked and no reason', [{ type: 'parked', id: 'a', code: '', attempts: 3 }]],
  ['I15', 'parked and never tried', [{ type: 'parked', id: 'a', code: 'X', attempts: 0 }]],
  ['I16', 'an event is overtaken', [handed('a', 1), handed('b', 2), effect('b'), effect('a')]],
  ['I17', 'a step is left out', [run(0), run(2)]],
  ['I17', 'compensation in forward order', [run(0), run(1), undo(0)]],
  ['I17', 'compensation of what never ran', [run(0), undo(2)]],
  ['I17', 'the supplier hears it in forward order', [run(0), run(1), called('compensate', 0)]],
  ['I17', 'compensation twice', [run(0), undo(0), undo(0)]],
  ['I17', 'a step after a compensation', [run(0), run(1), undo(1), run(2)]],
  ['I17', 'half undone', [run(0), run(1), undo(1), ended('compensated')]],
  ['I17', 'half done', [run(0), ended('completed')]],
  ['I17', 'two ends', [run(0), undo(0), ended('compensated'), ended('compensated')]],
  ['I17', 'more after the end', [run(0), undo(0), ended('compensated'), run(1)]],
  ['I19', 'a term that falls', [claimed(2), claimed(1)]],
]

for (const [name, facts] of Object.entries(good)) {
  test(`it lets pass: ${name}`, () => {
    expect(judge(facts)).toBeUndefined()
  })
}

for (const [invariant, name, facts] of bad) {
  test(`${invariant} names it: ${name}`, () => {
    expect(judge(facts)).toBe(invariant)
  })
}

test('where a service takes events in any order, nothing is overtaken', () => {
  const facts = [handed('a', 1), handed('b', 2), effect('b'), effect('a')]
  expect(judge(facts, false)).toBeUndefined()
})
