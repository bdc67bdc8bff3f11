/** The checks are checked: histories made by hand, good ones that have to pass and bad ones that have to be named. */
import { expect, test } from 'vitest'
import { Judge } from './checks.ts'
import { type Invariant, Violation } from './invariants.ts'
import type { Answer, Fact } from './history.ts'

const log = { topic: 'inventory', scope: 'shop-7' }
const other = { topic: 'audit', scope: 'shop-7' }

const idFor = (name: string) => `00000000-0000-7000-8000-${name.padStart(12, '0')}`
const a = idFor('a')
const b = idFor('b')
const c = idFor('c')

const claim = (id: string, stream = 's', data = 1, more = '') =>
  `{"id":"${id}","stream":"${stream}","type":"Received","version":1,"occurredAt":1${more},"data":${data}}`

interface Placed {
  readonly revision?: number
  readonly author?: string
  readonly source?: string
  readonly receivedAt?: number
  readonly line?: string
}

const entry = (position: number, id: string, placed: Placed = {}) => {
  const { revision = position, author = 'ann', source = 'client', receivedAt = 5, line } = placed
  const head = JSON.stringify({ position, revision, receivedAt, source, author }).slice(0, -1)
  return `${head},"event":${line ?? claim(id)}}`
}

const appended = (...lines: string[]): Fact => ({
  type: 'appended',
  device: 'd1',
  author: 'ann',
  log,
  lines,
})
const each = (...ids: string[]): Fact[] => ids.map((id) => appended(claim(id)))
const committed = (...lines: string[]): Fact => ({ type: 'committed', log, lines })
const accepted = (position: number, revision = position): Answer => ({
  type: 'accepted',
  position,
  revision,
})
const refused: Answer = { type: 'refused', code: 'SCHEMA_INVALID' }
const answered = (id: string, answer: Answer): Fact => ({ type: 'answered', log, id, answer })
const delivered = (after: number, ...lines: string[]): Fact => ({
  type: 'delivered',
  log,
  after,
  upTo: after + lines.length,
  lines,
})
const applied = (after: number, ...ids: string[]): Fact => ({
  type: 'applied',
  device: 'd1',
  log,
  after,
  upTo: after + ids.length,
  ids,
})
const promised = (id: string, data: unknown = 1): Fact => ({
  type: 'promised',
  device: 'd1',
  events: [{ id, data }],
})
const device = (
  pending: string[],
  refusedIds: string[] = [],
  held?: { position: number; ids: string[] },
): Fact => ({
  type: 'device',
  device: 'd1',
  pending,
  refused: refusedIds.map((id) => ({ id, code: 'SCHEMA_INVALID' })),
  logs: held ? [{ log, ...held }] : [],
})
const told = (id: string, position?: number): Fact => ({
  type: 'told',
  id,
  answer: position === undefined ? { type: 'refused' } : { type: 'accepted', position },
})
const published = (id: string): Fact => ({ type: 'published', log, id })
const relayed = (upTo: number, ...parked: string[]): Fact => ({
  type: 'relayed',
  log,
  term: 1,
  upTo,
  parked,
})
const restored = (...lines: string[]): Fact => ({
  type: 'restored',
  logs: [{ log, lines, relayed: 0 }],
})
const rewound = (upTo: number): Fact => ({ type: 'rewound', device: 'd1', log, upTo })
const reply = (id: string) => claim(id, 's', 9, `,"causationId":"${a}"`)
const replied = (id: string): Fact => ({ type: 'replied', service: 'svc', line: reply(id) })
const replyEntry = (position: number, id: string) =>
  entry(position, id, { source: 'broker', author: 'svc', line: reply(id) })

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

const one = entry(1, a)
const two = entry(2, b)
const both = [...each(a, b), committed(one, two)]

/** Both are accepted and on their device, and then the log is restored without the second, which is offered again. */
const lost = [...both, answered(b, accepted(2)), applied(0, a, b), restored(one)]
const offered = [...lost, rewound(1), device([b])]

const good: Readonly<Record<string, readonly Fact[]>> = {
  'what a restore has lost comes back': [
    ...offered,
    committed(two),
    answered(b, accepted(2)),
    told(b, 2),
    applied(1, b),
    device([], [], { position: 2, ids: [a, b] }),
  ],
  'what a restore has lost comes back behind what is new': [
    ...offered,
    appended(claim(c, 't')),
    committed(entry(2, c, { revision: 1, line: claim(c, 't') }), entry(3, b, { revision: 2 })),
    answered(b, accepted(3, 2)),
    told(b, 2),
    applied(1, c, b),
    device([], [], { position: 3, ids: [a, c, b] }),
  ],
  'a device that has not heard of a restore': [
    ...lost,
    device([], [], { position: 2, ids: [a, b] }),
  ],
  'what a restore has lost is refused now': [...offered, answered(b, refused), device([], [b])],
  'an event goes all the way': [
    appended(claim(a)),
    promised(a),
    device([a], [], { position: 0, ids: [] }),
    committed(one),
    answered(a, accepted(1)),
    told(a, 1),
    delivered(0, one),
    applied(0, a),
    device([], [], { position: 1, ids: [a] }),
    published(a),
    relayed(1),
    { type: 'settled', id: a },
  ],
  'a refused event stays with its device': [
    appended(claim(a)),
    answered(a, refused),
    device([], [a]),
  ],
  'the same answer twice': [...both, answered(a, accepted(1)), answered(a, accepted(1))],
  'a batch side by side': [
    appended(claim(a), claim(b)),
    committed(entry(1, a), entry(2, b)),
    answered(a, accepted(1)),
    answered(b, accepted(2)),
  ],
  'power takes what was relaxed': [
    appended(claim(a)),
    { type: 'forgotten', device: 'd1', ids: [a], unresolved: [] },
    device([]),
  ],
  'a service answers, and is heard once': [
    appended(claim(a)),
    committed(one),
    replied(c),
    committed(replyEntry(2, c)),
    relayed(0),
  ],
  'a parked stream is passed': [...both, relayed(2, 's')],
  'a log that is not read settles at the verdict': [
    { type: 'appended', device: 'd1', author: 'ann', log: other, lines: [claim(a)] },
    { type: 'committed', log: other, lines: [one] },
    { type: 'answered', log: other, id: a, answer: accepted(1) },
    device([]),
  ],
}

for (const [title, facts] of Object.entries(good)) {
  test(`a good history passes: ${title}`, () => {
    expect(verdictOf(facts)).toBeUndefined()
  })
}

const bad: readonly (readonly [Invariant, string, readonly Fact[]])[] = [
  ['I4', 'a restored log was never what it is', [...both, restored(two)]],
  ['I14', 'what a restore has lost is not offered again', [...lost, rewound(1), device([])]],
  [
    'I10',
    'what a restore has lost is not offered again, and the app was told that it is saved',
    [...each(a), promised(a), committed(one), applied(0, a), restored(), rewound(0), device([])],
  ],
  ['I9', 'it is offered again, and there all the same', [...lost, device([b])]],
  ['I3', 'entries stay that were taken back', [...offered, applied(2, b)]],
  [
    'I3',
    'a device goes on behind entries that a restored log does not have',
    [
      ...lost,
      appended(claim(c, 't')),
      committed(entry(2, c, { revision: 1, line: claim(c, 't') }), entry(3, b, { revision: 2 })),
      applied(2, b),
    ],
  ],
  [
    'I5',
    'what is offered again comes behind what was appended since',
    [...offered, appended(claim(c)), committed(entry(2, c), entry(3, b))],
  ],
  [
    'I16',
    'what comes back is not published again',
    [...both, published(a), published(b), relayed(2), restored(), committed(one), relayed(1)],
  ],
  ['I1', 'an answer before the commit', [appended(claim(a)), answered(a, accepted(1))]],
  ['I1', 'an answer with another’s position', [...both, answered(a, accepted(2))]],
  [
    'I1',
    'an acknowledged event is gone after a crash',
    [...both, answered(b, accepted(2)), { type: 'reread', log, lines: [one] }],
  ],
  ['I2', 'an entry that nobody appended', [committed(one)]],
  ['I2', 'other bytes', [appended(claim(a)), committed(entry(1, a, { line: claim(a, 's', 2) }))]],
  ['I2', 'another author', [appended(claim(a)), committed(entry(1, a, { author: 'bob' }))]],
  ['I2', 'an event of another log', [...each(a), { type: 'committed', log: other, lines: [one] }]],
  [
    'I2',
    'a client’s event that claims to come from the broker',
    [appended(claim(a)), committed(entry(1, a, { source: 'broker' }))],
  ],
  ['I2', 'the disk holds something else than the app said', [appended(claim(a)), promised(a, 2)]],
  ['I3', 'a position is skipped', [...each(a), committed(entry(2, a))]],
  ['I3', 'a reader is sent what is not in the log', [...each(a), delivered(0, one)]],
  [
    'I3',
    'a reader is sent a gap',
    [...both, { type: 'delivered', log, after: 0, upTo: 2, lines: [two] }],
  ],
  ['I3', 'a device applies across a gap', [...both, applied(1, b)]],
  ['I3', 'a device applies twice', [...both, applied(0, a), applied(0, a)]],
  ['I3', 'a device applies in another order', [...both, applied(0, b, a)]],
  ['I3', 'a cursor without its entries', [...both, device([], [], { position: 2, ids: [a] })]],
  ['I3', 'entries without their cursor', [...both, device([b], [], { position: 0, ids: [a] })]],
  [
    'I4',
    'two readers see different bytes',
    [...both, delivered(0, one), delivered(0, entry(1, a, { author: 'bob' }))],
  ],
  [
    'I4',
    'an entry changes',
    [...both, { type: 'reread', log, lines: [entry(1, a, { receivedAt: 4 }), two] }],
  ],
  ['I4', 'time goes back', [...each(a, b), committed(one, entry(2, b, { receivedAt: 4 }))]],
  ['I5', 'a later event overtakes', [...each(a, b), committed(entry(1, b), entry(2, a))]],
  ['I6', 'a revision is skipped', [...each(a, b), committed(one, entry(2, b, { revision: 3 }))]],
  ['I6', 'a revision comes twice', [...each(a, b), committed(one, entry(2, b, { revision: 1 }))]],
  ['I8', 'an event stands in the log twice', [...each(a), committed(one, entry(2, a))]],
  ['I8', 'first refused, then accepted', [...both, answered(c, refused), answered(c, accepted(1))]],
  [
    'I8',
    'another revision the second time',
    [...both, answered(b, accepted(2)), answered(b, accepted(2, 1))],
  ],
  ['I8', 'refused, and in the log', [...both, answered(a, refused)]],
  ['I8', 'the app is told another position', [...both, told(a, 2)]],
  ['I8', 'the app is told of a refusal that nobody said', [...both, told(a)]],
  [
    'I9',
    'a service’s answer comes twice',
    [
      ...each(a),
      committed(one),
      replied(b),
      replied(c),
      committed(replyEntry(2, b), replyEntry(3, c)),
    ],
  ],
  ['I9', 'an event shows twice', [...both, applied(0, a, b), device([a])]],
  ['I10', 'called saved, and on no disk', [promised(a)]],
  [
    'I10',
    'accepted and not there yet, and gone from the device',
    [
      ...each(a),
      promised(a),
      device([a], [], { position: 0, ids: [] }),
      committed(one),
      device([]),
    ],
  ],
  [
    'I13',
    'a batch is torn',
    [
      appended(claim(a), claim(b)),
      appended(claim(c, 't')),
      committed(
        one,
        entry(2, c, { revision: 1, line: claim(c, 't') }),
        entry(3, b, { revision: 2 }),
      ),
    ],
  ],
  ['I13', 'a part of a batch', [appended(claim(a), claim(b)), committed(one)]],
  ['I14', 'an event vanishes from the outbox', [...each(a), device([])]],
  ['I14', 'a refusal is dropped', [...each(a), answered(a, refused), device([])]],
  ['I14', 'a refusal that no gateway said', [...each(a), device([], [a])]],
  ['I14', 'an event is pending twice', [...each(a), device([a, a])]],
  ['I14', 'pending and refused', [...each(a), answered(a, refused), device([a], [a])]],
  ['I15', 'settled before it is in the log', [...each(a), replied(c), { type: 'settled', id: c }]],
  ['I16', 'published and in no log', [...each(a), published(a)]],
  ['I16', 'the cursor is past what no broker has', [...both, published(a), relayed(2)]],
  ['I16', 'a stream’s events overtake on the broker', [...both, published(b), published(a)]],
  [
    'I16',
    'what came from the broker goes back to it',
    [...each(a), committed(one), replied(c), committed(replyEntry(2, c)), published(c)],
  ],
]

for (const [invariant, title, facts] of bad) {
  test(`${invariant} names it: ${title}`, () => {
    expect(verdictOf(facts)).toBe(invariant)
  })
}
