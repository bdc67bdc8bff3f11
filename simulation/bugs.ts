/**
 * Bugs that somebody could have written. Each is planted into production code for a few seeds, and has
 * to be caught by the invariant that names it; a simulation that lets one pass proves nothing.
 */
import { busBugs } from './bus-bugs.ts'
import { clientBugs } from './client-bugs.ts'
import { type Bug, one } from './plant-bug.ts'
import { restoreBugs } from './restore-bugs.ts'

/** Those of links, gateways and logs. */
const coreBugs: readonly Bug[] = [
  {
    name: 'a disk that answers before it has written',
    edits: one(
      'simulation/log-disk.ts',
      'liesMs = 0 } = this.#options',
      'liesMs = 300 } = this.#options',
    ),
    caughtBy: ['I1', 'I3'],
    seeds: 10,
  },
  {
    name: 'no dedupe at the gateway',
    edits: one(
      'server/src/log/judge.ts',
      'const known = findKnown(attempt, transaction) ?? findDenial(attempt, transaction)',
      'const known = findDenial(attempt, transaction)',
    ),
    caughtBy: ['I8'],
    seeds: 10,
  },
  {
    name: 'a repeated id is judged again',
    edits: one(
      'server/src/log/judge.ts',
      'const known = findKnown(attempt, transaction) ?? findDenial(attempt, transaction)',
      'const known = findDenial(attempt, transaction) ?? findKnown(attempt, transaction)',
    ),
    caughtBy: ['I8'],
    seeds: 40,
    rates: { refuse: 15_000, reset: 4_000, gatewayCrash: 20_000 },
  },
  {
    name: 'the gateway takes a submit whose number it does not expect',
    edits: one(
      'server/src/lane.ts',
      'if (n !== this.#expected || this.#closed) return',
      'if (this.#closed) return',
    ),
    caughtBy: ['I5', 'I1', 'I21'],
    seeds: 40,
    rates: { logFull: 20_000, hold: 20_000 },
  },
  {
    name: 'what was ignored is sent again behind what was not',
    edits: one(
      'client/src/submit.ts',
      'this.#unsent = [...ignored, ...this.#unsent]',
      'this.#unsent = [...this.#unsent, ...ignored]',
    ),
    caughtBy: ['I5'],
    seeds: 40,
    rates: { logFull: 20_000 },
  },
  {
    name: 'the relay saves its cursor before it publishes',
    edits: one(
      'server/src/relay-log.ts',
      'const publishing = this.#publish(items',
      `this.#cursor = upTo
    this.#changes()
    await this.#save()
    const publishing = this.#publish(items`,
    ),
    caughtBy: ['I16'],
    seeds: 5,
  },
  {
    name: 'the relay publishes what came from the broker',
    edits: one('server/src/relay-pages.ts', "entry.source === 'client'", 'entry.position > 0'),
    caughtBy: ['I16'],
    seeds: 10,
  },
  {
    name: 'the ingest settles before it appends',
    edits: one(
      'server/src/ingest.ts',
      'const [outcomes = []] = await log.append([attempts])',
      `log.append([attempts]).catch(() => {})
      const outcomes = attempts.map(() => ({ type: 'accepted' }))`,
    ),
    caughtBy: ['I15'],
    seeds: 10,
  },
  {
    name: 'a bell that forgets a ring nobody waited for',
    edits: one('shared/src/doorbell.ts', 'this.#rung = true', 'this.#rung = false'),
    caughtBy: ['L1', 'L2', 'L3', 'L4', 'L5'],
    seeds: 20,
  },
  {
    name: 'no heartbeat: a silent link is kept',
    edits: one(
      'client/src/link.ts',
      'this.#answerBy = Math.min(this.#answerBy, now + patienceMs)',
      '',
    ),
    caughtBy: ['L1', 'L2'],
    seeds: 40,
  },
  {
    name: 'a device applies across the gap that a failing disk has left',
    edits: [
      {
        file: 'client/src/apply.ts',
        find: 'await store.apply(pages, settled, refused)',
        replace: 'await store.apply(pages, settled, refused).catch(() => true)',
      },
      {
        file: 'client/src/store/memory.ts',
        find: 'if (!fits) return false',
        replace: '',
      },
    ],
    caughtBy: ['I3', 'I20'],
    seeds: 20,
    rates: { deviceFull: 20_000 },
  },
  {
    name: 'entries and the rows that they settle in two transactions',
    edits: one(
      'client/src/apply.ts',
      'if (!(await store.apply(pages, settled, refused))) return false',
      `if (!(await store.apply(pages, [], refused))) return false
        await store.settle({ seqs: settled, refused: [], accepted: [] })`,
    ),
    caughtBy: ['I9'],
    seeds: 5,
  },
  {
    name: 'a row leaves the outbox when it is sent',
    edits: one(
      'client/src/submit.ts',
      "this.#session.send({ type: 'submit', n, batches: batches.map(toSubmitted), events })",
      `this.#session.send({ type: 'submit', n, batches: batches.map(toSubmitted), events })
      const seqs = batches.map(({ seq }) => seq)
      void this.#ports.store.settle({ seqs, refused: [], accepted: [] }).catch(() => {})`,
    ),
    caughtBy: ['I14', 'I10'],
    seeds: 5,
  },
  {
    name: 'a row leaves the outbox at its verdict, before its entry is there',
    edits: one(
      'client/src/submit.ts',
      'if (reason || this.#isLast(row, verdict)) seqs.push(row.seq)',
      'seqs.push(row.seq)',
    ),
    caughtBy: ['I10'],
    seeds: 10,
  },
  {
    name: 'a refusal is not written down',
    edits: one(
      'client/src/submit.ts',
      'if (reason) refused.push(...this.#refuse(row, reason))',
      'if (reason) void reason',
    ),
    caughtBy: ['I14'],
    seeds: 10,
  },
  {
    name: 'a hold is taken for a refusal',
    edits: one(
      'client/src/submit.ts',
      'this.#hold(row)\n',
      `this.#unsent.shift()
        const id = row.events[0]!.id
        const refusal = { code: 'ID_REUSED', details: undefined } as const
        void this.#settle([row.seq], refuseBatch(this.#ports.deciding, row, { id, refusal }), [])\n`,
    ),
    caughtBy: ['I14'],
    seeds: 20,
    rates: { hold: 30_000 },
  },
  {
    name: 'a refused batch burns a position',
    edits: one(
      'server/src/log/memory.ts',
      'const { known } = this.#held(log)',
      `const { known } = this.#held(log)
    this.#held(log).head += 1`,
    ),
    caughtBy: ['I3'],
    seeds: 10,
  },
]

/** All of them. */
export const bugs: readonly Bug[] = [...coreBugs, ...clientBugs, ...busBugs, ...restoreBugs]
