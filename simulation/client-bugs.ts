/** Bugs to plant in what the client does above its link: commands, refusals, models, and tabs that share a disk. */
import { type Bug, one } from './plant-bug.ts'

/** What makes devices disagree: they work while they are apart. */
const apart = { partition: 20_000, offlineSwitch: 20_000 }
/** What makes another tab the leader. */
const led = { tabFreeze: 10_000, tabCrash: 30_000 }

/** Those of the client. */
export const clientBugs: readonly Bug[] = [
  {
    name: 'a decision does not say which revision it saw',
    edits: one(
      'client/src/execute.ts',
      'expectedRevision: view.revision(key) + pending.length,',
      '',
    ),
    caughtBy: ['I22'],
    seeds: 60,
    rates: apart,
  },
  {
    name: 'the gateway does not look at the revision that was expected',
    edits: one(
      'server/src/log/judge.ts',
      'if (actual !== expectedRevision) {',
      'if (actual < 0) {',
    ),
    caughtBy: ['I7', 'I22'],
    seeds: 10,
    rates: apart,
  },
  {
    name: 'what a decision rests on is not told to the gateway',
    edits: [
      {
        file: 'client/src/submit.ts',
        find: '  size: lines.length,\n  after,',
        replace: '  size: lines.length,',
      },
      {
        file: 'client/src/submit.ts',
        find: '  after,\n  expectedRevision,\n}: PendingBatch): SubmittedBatch => ({',
        replace: '  expectedRevision,\n}: PendingBatch): SubmittedBatch => ({',
      },
    ],
    caughtBy: ['I7'],
    seeds: 20,
    rates: apart,
  },
  {
    name: 'a command is decided without what is pending',
    edits: one(
      'client/src/execute.ts',
      'decide(command, view.stateFor(key, except), input, emit)',
      'decide(command, view.confirmed(key), input, emit)',
    ),
    caughtBy: ['I22'],
    seeds: 60,
    rates: apart,
  },
  {
    name: 'a command is decided again before the stream has caught up',
    edits: one(
      'client/src/redecide.ts',
      'view.revision(stream) >= revision',
      'view.revision(stream) >= revision * 0',
    ),
    caughtBy: ['I7'],
    seeds: 20,
    rates: apart,
  },
  {
    name: 'a new decision keeps the revision of the one before',
    edits: one(
      'client/src/redecide.ts',
      "return 'batch' in decided ? decided : { id: first.id, refusal: decided }",
      `return 'batch' in decided
      ? { ...decided, batch: { ...decided.batch, expectedRevision: row.expectedRevision ?? 0 } }
      : { id: first.id, refusal: decided }`,
    ),
    caughtBy: ['I7'],
    seeds: 20,
    rates: apart,
  },
  {
    name: 'the ids of a decision do not depend on the attempt',
    edits: one('client/src/execute.ts', 'attempt * placesMax + at', 'attempt * 0 + at'),
    caughtBy: ['I8'],
    seeds: 20,
    rates: apart,
  },
  {
    name: 'a new decision is put beside the old one',
    edits: one(
      'client/src/redecide.ts',
      "await store.replace(row.seq, { type: 'superseded', topic, scope, ids, by }, decided.batch)",
      'await store.append([decided.batch])\n    void [topic, scope, ids, by]',
    ),
    caughtBy: ['I8', 'I21', 'I14', 'L1'],
    seeds: 20,
    rates: apart,
  },
  {
    name: 'nobody writes down what has superseded a decision',
    edits: one(
      'client/src/redecide.ts',
      "{ type: 'superseded', topic, scope, ids, by }",
      "{ type: 'superseded', topic, scope, ids: ids.slice(9), by }",
    ),
    caughtBy: ['I14', 'L1'],
    seeds: 20,
    rates: apart,
  },
  {
    name: 'what a command denies when it is decided again is not written down',
    edits: one(
      'client/src/redecide.ts',
      'seqs: [row.seq], refused, accepted: []',
      'seqs: [row.seq], refused: refused.slice(9), accepted: []',
    ),
    caughtBy: ['I14'],
    seeds: 20,
    rates: apart,
  },
  {
    name: 'of a refused batch only the reason is written down',
    edits: one(
      'client/src/refuse.ts',
      'return events.map(({ id }, at) => {',
      `return events.flatMap(({ id }, at) => {
    if (id !== reason.id) return []`,
    ),
    caughtBy: ['I14'],
    seeds: 20,
  },
  {
    name: 'an event is withdrawn that a link was handed',
    edits: [
      {
        file: 'client/src/submit.ts',
        find: 'store.linked(true)',
        replace: 'store.linked(false)',
      },
      {
        file: 'client/src/withdraw.ts',
        find: 'if (replica.outbox.isSubmitted(id)) return',
        replace: 'if (false) return',
      },
    ],
    caughtBy: ['I21'],
    seeds: 40,
  },
  {
    name: 'of a withdrawn batch one event stays',
    edits: one(
      'client/src/withdraw.ts',
      "{ type: 'withdrawn', topic, scope, ids, by: [] }",
      "{ type: 'withdrawn', topic, scope, ids: [id], by: [] }",
    ),
    caughtBy: ['I14'],
    seeds: 40,
    rates: apart,
  },
  {
    name: 'a leader that was robbed says that nothing is linked',
    edits: one('client/src/reconnect.ts', 'if (!ports.lost.aborted) await', 'await'),
    caughtBy: ['I21', 'I14'],
    seeds: 60,
    rates: { tabFreeze: 4_000, reset: 5_000, deviceFull: 0 },
  },
  {
    name: 'a refusal that was answered stays on the list',
    edits: one(
      'client/src/append.ts',
      'ready.flatMap(({ call }) => call.resolves ?? [])',
      'ready.flatMap(({ call }) => (call.resolves ?? []).slice(9))',
    ),
    caughtBy: ['I14'],
    seeds: 20,
  },
  {
    name: 'an author is not told what a service has set aside',
    edits: one(
      'client/src/dead-letters.ts',
      'if (cause !== undefined) found',
      'if (!letter) found',
    ),
    caughtBy: ['I14'],
    seeds: 10,
  },
  {
    name: 'what rests on a refused event waits for ever',
    edits: one(
      'client/src/submit.ts',
      '    if (isGone) {\n      const refusal',
      '    if (false) {\n      const refusal',
    ),
    caughtBy: ['L3', 'L1'],
    seeds: 60,
  },
  {
    name: 'another tab does not take over the list of refused events',
    edits: one('client/src/replica.ts', 'this.refused.set(listed)\n    }', '}'),
    caughtBy: ['I23'],
    seeds: 10,
    rates: led,
  },
  {
    name: 'a tab folds again what a state from the disk has in it',
    edits: one('client/src/cells.ts', 'if (entry.position > position) met', 'if (entry) met'),
    caughtBy: ['I20'],
    seeds: 40,
    rates: led,
  },
  {
    name: 'a pending event is not taken away when its entry comes from another tab',
    edits: one(
      'client/src/outbox.ts',
      'for (const each of this.#overlaid) each.lift(event.id)',
      'if (row.seq % 5) for (const each of this.#overlaid) each.lift(event.id)',
    ),
    caughtBy: ['I20'],
    seeds: 10,
  },
  {
    name: 'entries are folded by their stream, whatever the key',
    edits: one(
      'client/src/cells.ts',
      'this.#folding.isByStream ? entry.stream : this.#folding.keyOf(entry)',
      'entry.stream',
    ),
    caughtBy: ['I20'],
    seeds: 5,
  },
  {
    name: 'a state that was evicted is folded from the beginning',
    edits: one(
      'client/src/cells.ts',
      'this.#isWhole ? this.#next(none, entry) : { ...none, tail: [entry] }',
      'this.#next(none, entry)',
    ),
    caughtBy: ['I20'],
    seeds: 40,
  },
  {
    name: 'states that another release of the app has folded are taken for its own',
    edits: one(
      'client/src/builds.ts',
      'this.#code = `${options.name}@${options.model.version}${fingerprint(options.model)}`',
      'this.#code = options.name',
    ),
    caughtBy: ['I20'],
    seeds: 40,
    rates: { tabReopen: 15_000 },
  },
  {
    name: 'a checkpoint goes ahead of its states',
    edits: one(
      'client/src/cells.ts',
      'if ((this.#cells.get(key)?.position ?? 0) <= position) this.#dirty.delete(key)',
      'this.#dirty.delete(key)',
    ),
    caughtBy: ['I20', 'L2'],
    seeds: 60,
    rates: { tabReopen: 15_000, tabCrash: 15_000 },
  },
]
