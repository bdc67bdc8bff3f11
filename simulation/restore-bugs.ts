/** Bugs to plant in what brings a restored log and its devices together again, and in tabs that a browser puts away. */
import { type Bug, one } from './plant-bug.ts'

/** What makes a log come back as an older copy. */
const restored = { logRestore: 25_000 }
/** What puts tabs away. */
const away = { tabAway: 15_000, tabFreeze: 0 }

/** Those of restores, and of pages that are put away. */
export const restoreBugs: readonly Bug[] = [
  {
    name: 'what a restored log has lost is not offered again',
    edits: one(
      'client/src/apply.ts',
      'startOver ? [] : await readOwn(',
      'startOver !== false ? [] : await readOwn(',
    ),
    caughtBy: ['I10', 'I14'],
    seeds: 10,
    rates: restored,
  },
  {
    name: 'what is offered again comes behind everything else',
    edits: [
      {
        file: 'client/src/store/memory.ts',
        find: 'seq: disk.lowest + nth',
        replace: 'seq: (disk.seq += nth - nth + 1)',
      },
      {
        file: 'client/src/store/memory.ts',
        find: '[...rows, ...later]',
        replace: '[...later, ...rows]',
      },
    ],
    caughtBy: ['I5'],
    seeds: 20,
    rates: restored,
  },
  {
    name: 'entries above the point that a device goes back to stay',
    edits: one('client/src/store/memory.ts', 'log.lines.splice(to.position)', ''),
    caughtBy: ['I3', 'I20'],
    seeds: 10,
    rates: restored,
  },
  {
    name: 'a link submits before it knows what a restored log has lost',
    edits: one(
      'client/src/submit.ts',
      'this.#unread = new Set(logs.map(logKey))',
      'this.#unread = new Set(logs.map(logKey).slice(9))',
    ),
    caughtBy: ['I5', 'I10'],
    seeds: 20,
    rates: restored,
  },
  {
    name: 'of a log that has to be read again more is submitted meanwhile',
    edits: one(
      'client/src/apply.ts',
      'session.onRead(reading.log, true)',
      'session.onRead(reading.log)',
    ),
    caughtBy: ['I5'],
    seeds: 40,
    rates: restored,
  },
  {
    name: 'a link says where its device stands while that is being taken back',
    edits: one('client/src/reconnect.ts', 'await catchUp(ports, signal)', ''),
    caughtBy: ['I5', 'I3'],
    seeds: 100,
    rates: { logRestore: 12_000, reset: 3_000 },
  },
  {
    name: 'a batch is torn where a device goes back',
    edits: one('client/src/apply.ts', 'if (!last?.batch) break', 'if (last) break'),
    caughtBy: ['I13', 'I5'],
    seeds: 40,
    rates: restored,
  },
  {
    name: 'the same event at the same position is taken for the same log',
    edits: one(
      'server/src/log/judge.ts',
      'receivedAt === undefined || receivedAt === entry.receivedAt',
      'receivedAt === undefined || entry.receivedAt > 0',
    ),
    caughtBy: ['I3', 'L2', 'I14'],
    seeds: 100,
    rates: restored,
  },
  {
    name: 'an echo of what was lost is taken for somebody else’s event',
    edits: one('server/src/ingest.ts', 'if (head && head.epoch === epoch)', 'if (head && !epoch)'),
    caughtBy: ['I2'],
    seeds: 40,
    rates: restored,
  },
  {
    name: 'nobody lists what was set aside while it is offered again',
    edits: one(
      'client/src/dead-letters.ts',
      'if (line !== undefined && missing.delete(id))',
      "if (line === '' && missing.delete(id))",
    ),
    caughtBy: ['I14'],
    seeds: 60,
    rates: restored,
  },
  {
    name: 'a tab that was put away once never takes part again',
    edits: one('client/src/presence.ts', 'isAway = isGone', 'isAway ||= isGone'),
    caughtBy: ['L1', 'L2'],
    seeds: 20,
    rates: away,
  },
]
