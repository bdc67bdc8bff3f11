/** Bugs to plant in what stands between the log and a service's effects: relay, ingest, consumer and sagas. */
import { type Bug, one } from './plant-bug.ts'

const deadly = { serviceCrash: 2_500 }

/** Those of the bus. */
export const busBugs: readonly Bug[] = [
  {
    name: 'an attempt is not counted before its handler begins',
    edits: one(
      'server/src/consumer/handle.ts',
      'if (counted.size > 0) await unit.attempts.count(name, [...counted], batch.length > 1)',
      '',
    ),
    caughtBy: ['I15'],
    seeds: 20,
  },
  {
    name: 'a retry is not counted before its handler begins',
    edits: one(
      'server/src/consumer/retry.ts',
      'await unit.attempts.count(name, [first.id], false)',
      '',
    ),
    caughtBy: ['I15'],
    seeds: 10,
  },
  {
    name: 'the mark that an event is done in another transaction than its effect',
    edits: one(
      'server/src/consumer/handle.ts',
      `await unit.attempts.finish(
    name,
    done.map(({ delivery }) => delivery.event.id),
    system.now(),
  )`,
      `const ids = done.map(({ delivery }) => delivery.event.id)
  void settings.processed
    .transaction((later) => later.attempts.finish(name, ids, system.now()))
    .catch(() => {})`,
    ),
    caughtBy: ['I9'],
    seeds: 40,
    rates: deadly,
  },
  {
    name: 'a consumer that does not look whether an event is done',
    edits: [
      {
        file: 'server/src/consumer/handle.ts',
        find: 'if (before?.done) {',
        replace: 'if (false) {',
      },
      {
        file: 'server/src/consumer/handle.ts',
        find: "if (standing?.done) return { type: 'duplicate', delivery }",
        replace: '',
      },
    ],
    caughtBy: ['I9', 'I15'],
    seeds: 10,
  },
  {
    name: 'an author is told anew, under a new id, whenever a stream is parked again',
    edits: [
      {
        file: 'server/src/consumer/attempt.ts',
        find: "if (hold.state === 'parked' && before?.parkedAt === undefined) {",
        replace: "if (hold.state === 'parked') {",
      },
      {
        file: 'server/src/consumer/emit.ts',
        find: "const id = deriveId(event.id, author.name, 'dead-lettered')",
        replace: 'const id = deriveId(event.id, author.name, author.now())',
      },
    ],
    caughtBy: ['I9'],
    seeds: 30,
    rates: { redrive: 20_000 },
  },
  {
    name: 'nobody is told that an event is parked',
    edits: one(
      'server/src/consumer/attempt.ts',
      "if (hold.state === 'parked' && before?.parkedAt === undefined) {",
      'if (false) {',
    ),
    caughtBy: ['I15'],
    seeds: 10,
  },
  {
    // Twice, for an event that was begun too often is taken for one that kills the process.
    name: 'an event that always fails is never parked',
    edits: [
      {
        file: 'server/src/consumer/policy.ts',
        find: 'const isParked = !failure.retryable || attempts >= attemptsMax',
        replace: 'const isParked = !failure.retryable',
      },
      {
        file: 'server/src/consumer/retry.ts',
        find: 'if (ended >= attemptsMax) {',
        replace: 'if (false) {',
      },
    ],
    caughtBy: ['I15'],
    seeds: 10,
  },
  {
    name: 'results are deleted before the broker has confirmed them',
    edits: one(
      'server/src/consumer/send.ts',
      'const results = await broker.publish(',
      `const seqs = items.map(({ seq }) => seq)
    await processed.transaction(({ outbox }) => outbox.confirm(seqs))
    const results = await broker.publish(`,
    ),
    caughtBy: ['L5', 'I15'],
    seeds: 20,
    rates: { brokerDown: 30_000 },
  },
  {
    name: 'a consumer settles before it commits',
    edits: one(
      'server/src/consumer/intake.ts',
      'laneOf(lanes, delivery).add(delivery)',
      'settling.complete(message)\n        laneOf(lanes, delivery).add(delivery)',
    ),
    caughtBy: ['I15'],
    seeds: 20,
    rates: deadly,
  },
  {
    name: 'events behind a held one are not set aside',
    edits: one(
      'server/src/consumer/handle.ts',
      'return { standing, held: new Set(held.keys()) }',
      'return { standing, held: new Set() }',
    ),
    caughtBy: ['I16', 'I15', 'I2'],
    seeds: 10,
  },
  {
    name: 'a redriven stream begins with its newest event',
    edits: one(
      'server/src/consumer/processed/memory-unit.ts',
      '[...parked.values()].filter((row) => row.consumer === consumer && row.key === key).sort(bySeq)',
      `[...parked.values()]
      .filter((row) => row.consumer === consumer && row.key === key)
      .sort((one, other) => bySeq(other, one))`,
    ),
    caughtBy: ['I16'],
    seeds: 10,
  },
  {
    name: 'a redrive of what is being tried already',
    edits: one(
      'server/src/consumer/park.ts',
      "if (held?.state !== 'parked') return false",
      'if (!held) return false',
    ),
    caughtBy: ['I15'],
    seeds: 10,
  },
  {
    name: 'a saga compensates in the order in which it went',
    edits: [
      {
        file: 'server/src/consumer/run-saga.ts',
        find: 'const first = isUnsure ? row.step : row.step - 1',
        replace: 'const first = row.step > 0 ? 0 : -1',
      },
      {
        file: 'server/src/consumer/run-saga.ts',
        find: 'const next = isForward ? row.step + 1 : row.step - 1',
        replace: `const next = isForward
      ? row.step + 1
      : turn.steps.some(({ step }) => step === row.step + 1)
        ? row.step + 1
        : -1`,
      },
    ],
    caughtBy: ['I17'],
    seeds: 10,
  },
  {
    name: 'a saga compensates a step that never ran',
    edits: one(
      'server/src/consumer/run-saga.ts',
      'const first = isUnsure ? row.step : row.step - 1',
      'const first = row.step',
    ),
    caughtBy: ['I17'],
    seeds: 10,
  },
  {
    name: 'a saga that turns back forgets its first step',
    edits: one(
      'server/src/consumer/run-saga.ts',
      'const isEnd = next < 0 || next >= saga.steps.length',
      'const isEnd = (!isForward && next < 1) || next >= saga.steps.length',
    ),
    caughtBy: ['I17'],
    seeds: 10,
  },
  {
    name: 'a step has another key at each attempt',
    edits: one(
      'server/src/consumer/run-saga.ts',
      "const key = deriveId(row.id, row.state === 'running' ? 'run' : 'compensate', step.name)",
      "const key = deriveId(row.id, row.attempts, row.state === 'running' ? 'run' : 'compensate', step.name)",
    ),
    caughtBy: ['I9'],
    seeds: 10,
  },
  {
    name: 'whoever lost a saga writes it down all the same',
    edits: one(
      'server/src/consumer/run-saga.ts',
      'return now?.term === row.term && now.state === row.state',
      'return now !== undefined',
    ),
    caughtBy: ['I19', 'I17'],
    seeds: 60,
    rates: { serviceFreeze: 3_000, serviceCrash: 0 },
  },
  {
    name: 'the relay goes on while a batch of the same streams is under way',
    edits: one(
      'server/src/relay-log.ts',
      `const [isPublished] = await Promise.all([publishing, more && pages.readAhead(upTo)])
    if (!isPublished) return false`,
      'void publishing',
    ),
    caughtBy: ['I16'],
    seeds: 10,
  },
  {
    name: 'a relay takes a lease that another one holds, and that one saves its cursor all the same',
    edits: [
      {
        file: 'server/src/log/memory.ts',
        find: 'if (lease && !keeps && lease.until > now) return undefined',
        replace: '',
      },
      {
        file: 'server/src/log/memory.ts',
        find: 'if (this.#leases.get(lease.name)?.term !== lease.term) {',
        replace: 'if (!this.#leases.has(lease.name)) {',
      },
    ],
    caughtBy: ['I19', 'I16'],
    seeds: 20,
  },
  {
    name: 'a dead letter is completed before it is sent again',
    edits: one(
      'server/src/operate/broker-dead-letters.ts',
      'const [refused] = await broker.publish(topic, [toResend(found, subscription)])\n        if (refused) throw refused',
      'void [toResend(found, subscription)]',
    ),
    caughtBy: ['I15'],
    seeds: 120,
  },
  {
    name: 'a dead letter has the same message id whichever subscription it is sent again for',
    edits: one(
      'server/src/operate/broker-dead-letters.ts',
      'const mark = `${subscription}.${times}`',
      'const mark = `${times}`',
    ),
    caughtBy: ['I15'],
    seeds: 120,
    rates: { serviceFreeze: 4_000 },
  },
  {
    name: 'a dead letter is sent again by everybody who asks for it',
    edits: one(
      'server/src/operate/broker-dead-letters.ts',
      "return isDone ? 'done' : 'gone'",
      "void isDone\n    return 'done'",
    ),
    caughtBy: ['I15'],
    seeds: 60,
  },
]
