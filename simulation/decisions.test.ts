/** The checks of what commands decide, and of what apps do about refusals, with histories made by hand. */
import { expect, test } from 'vitest'
import { Judge } from './checks.ts'
import type { Ground } from './decisions.ts'
import type { Fact } from './history.ts'
import { type Invariant, Violation } from './invariants.ts'

const log = { topic: 'inventory', scope: 'shop-7' }
const author = 'ann'
const device = 'd1'

const idFor = (name: string) => `00000000-0000-7000-8000-${name.padStart(12, '0')}`
const [a, b, c] = ['a', 'b', 'c'].map(idFor) as [string, string, string]

interface Told {
  readonly command?: string
  readonly type?: string
  readonly quantity?: number
}

const claim = (id: string, { command = 'command-1', type = 'Stocked', quantity = 5 }: Told = {}) =>
  JSON.stringify({
    id,
    stream: 'shelf-0',
    type,
    version: 1,
    occurredAt: 1,
    correlationId: command,
    data: { tag: 1, quantity, note: '' },
  })
const appended = (line: string, ground: Ground = {}): Fact => {
  return { type: 'appended', device, author, log, lines: [line], ...ground }
}
const committed = (position: number, line: string): Fact => {
  const head = { position, revision: position, receivedAt: 5, source: 'client', author }
  return {
    type: 'committed',
    log,
    lines: [`${JSON.stringify(head).slice(0, -1)},"event":${line}}`],
  }
}
const left = (how: 'superseded' | 'withdrawn', id: string): Fact => {
  return { type: 'left', device, how, ids: [id] }
}
const conflict = (id: string, actual: number): Fact => {
  return {
    type: 'answered',
    log,
    id,
    answer: { type: 'refused', code: 'REVISION_CONFLICT', actual },
  }
}
const holds = (pending: string[], refused: string[] = [], code = 'OUT_OF_STOCK'): Fact => {
  const listed = refused.map((id) => ({ id, code }))
  return { type: 'device', device, pending, refused: listed, logs: [] }
}
const resolved = (id: string): Fact => ({ type: 'resolved', device, ids: [id] })
const decided = (isDenied: boolean): Fact => ({ type: 'decided', command: 'command-1', isDenied })

function verdictOf(facts: readonly Fact[]): Invariant | undefined {
  const judge = new Judge()
  try {
    for (const fact of facts) judge.see(fact)
    return undefined
  } catch (error) {
    if (error instanceof Violation) return error.invariant
    throw error
  }
}

const other = { command: 'command-2' }
const good: Readonly<Record<string, readonly Fact[]>> = {
  'a command is decided again': [
    appended(claim(a), { expectedRevision: 0 }),
    decided(false),
    appended(claim(b, other)),
    committed(1, claim(b, other)),
    conflict(a, 1),
    left('superseded', a),
    appended(claim(c), { expectedRevision: 1 }),
    committed(2, claim(c)),
  ],
  'a command is denied, and nothing comes of it': [decided(true)],
  'an event is withdrawn': [appended(claim(a)), left('withdrawn', a), holds([])],
  'what rests on a refused event is refused on the device': [
    appended(claim(a)),
    conflict(a, 3),
    appended(claim(b, other), { after: a }),
    holds([], [a, b]),
  ],
  'an app deals with a refusal': [
    appended(claim(a)),
    conflict(a, 3),
    holds([], [a]),
    resolved(a),
    holds([]),
  ],
  'power brings a refusal back that was dealt with': [
    appended(claim(a)),
    conflict(a, 3),
    resolved(a),
    { type: 'forgotten', device, ids: [], unresolved: [a] },
    holds([], [a]),
  ],
}

for (const [title, facts] of Object.entries(good)) {
  test(`nothing is wrong when ${title}`, () => expect(verdictOf(facts)).toBeUndefined())
}

const taken = { type: 'Taken', quantity: 6 }
const bad: readonly (readonly [Invariant, string, readonly Fact[]])[] = [
  [
    'I7',
    'accepted at another revision than it was decided on',
    [appended(claim(a), { expectedRevision: 3 }), committed(1, claim(a))],
  ],
  [
    'I7',
    'accepted without what it rests on',
    [appended(claim(a)), appended(claim(b, other), { after: a }), committed(1, claim(b, other))],
  ],
  [
    'I7',
    'decided again on an older revision than the gateway had',
    [
      appended(claim(a), { expectedRevision: 0 }),
      conflict(a, 4),
      left('superseded', a),
      appended(claim(b), { expectedRevision: 3 }),
    ],
  ],
  [
    'I21',
    'superseded and accepted',
    [appended(claim(a)), left('superseded', a), committed(1, claim(a))],
  ],
  [
    'I21',
    'withdrawn when it was accepted',
    [appended(claim(a)), committed(1, claim(a)), left('withdrawn', a)],
  ],
  [
    'I21',
    'accepted as two of its decisions',
    [appended(claim(a)), appended(claim(b)), committed(1, claim(a)), committed(2, claim(b))],
  ],
  ['I21', 'denied and in the outbox', [decided(true), appended(claim(a))]],
  ['I21', 'in the outbox and denied', [appended(claim(a)), decided(true)]],
  [
    'I21',
    'told to be withdrawn, and pending',
    [appended(claim(a)), { type: 'told', id: a, answer: { type: 'withdrawn' } }],
  ],
  [
    'I21',
    'given up after one decision',
    [appended(claim(a)), conflict(a, 3), holds([], [a], 'REVISION_CONFLICT')],
  ],
  ['I22', 'less than nothing', [appended(claim(a, taken)), committed(1, claim(a, taken))]],
  ['I14', 'superseded and still pending', [appended(claim(a)), left('superseded', a), holds([a])]],
  [
    'I14',
    'dealt with and still on the list',
    [appended(claim(a)), conflict(a, 3), resolved(a), holds([], [a])],
  ],
  [
    'I14',
    'refused on the device for no reason',
    [appended(claim(a)), appended(claim(b, other), { after: a }), holds([a], [b])],
  ],
]

for (const [invariant, title, facts] of bad) {
  test(`${invariant} names it: ${title}`, () => {
    expect(verdictOf(facts)).toBe(invariant)
  })
}
