/** Append and apply in a real Chromium, both sides in the same page. */
import type { Bench } from '../bench.ts'
import type { Applied } from '../browser/apply.ts'
import type { InPage } from '../browser/main.ts'
import { openPage } from '../browser/page.ts'

/** What measures by itself, and says one number. */
type Measurement = {
  [Name in keyof InPage]: InPage[Name] extends (count: number) => Promise<number> ? Name : never
}[keyof InPage]

const openBoth =
  (limit: Measurement, ours: Measurement, count: number): Bench['open'] =>
  async () => {
    const page = await openPage()
    return {
      limit: () => page.run(limit, count),
      ours: () => page.run(ours, count),
      close: page.close,
    }
  }

/** 500 appends, each after the one before it, against as many raw transactions of one add. */
export const appendOne: Bench = {
  name: 'append-one',
  unit: 'events/s',
  goal: { atLeast: 0.8 },
  about: '500 appends, one after the other, against raw IndexedDB, a transaction for each',
  open: openBoth('rawAppendOne', 'tidemarkAppendOne', 500),
}

/** 100 batches of 100, each after the one before it, against raw transactions of 100 adds. */
export const appendBulk: Bench = {
  name: 'append-bulk',
  unit: 'events/s',
  goal: { atLeast: 0.8 },
  about: '100 batches of 100, one after the other, against raw IndexedDB, a transaction for each',
  open: openBoth('rawAppendHundreds', 'tidemarkAppendHundreds', 10_000),
}

/** 10,000 appends at once, against as many raw adds in one transaction. */
export const appendConcurrent: Bench = {
  name: 'append-concurrent',
  unit: 'events/s',
  goal: { atLeast: 0.95 },
  about: '10,000 concurrent appends, each durable, against raw IndexedDB adds in one transaction',
  open: openBoth('rawAppendAll', 'tidemarkAppendAll', 10_000),
}

const entriesCount = 100_000

/** 100,000 entries from a link into the store, against a record for each. */
export const apply: Bench = {
  name: 'apply',
  unit: 'entries/s',
  goal: { atLeast: 3 },
  about: '100,000 delivered entries into IndexedDB, against Dexie bulkAdd per record',
  warmups: 0,
  open: openBoth('dexieApply', 'tidemarkApply', entriesCount),
}

/** The same with a model of 10,000 keys. */
export const applyModel: Bench = {
  name: 'apply-model',
  unit: 'entries/s',
  goal: { atLeast: 5 },
  about: '100,000 delivered entries into IndexedDB and a model, against Dexie bulkAdd per record',
  warmups: 0,
  open: () => openFold(({ perSecond }) => perSecond),
}

/** The same until the states of all 10,000 keys are on the disk as well. */
export const applyStates: Bench = {
  name: 'apply-states',
  unit: 'entries/s',
  goal: { atLeast: 5 },
  about: 'the same until the states are in IndexedDB as well, against Dexie bulkAdd per record',
  warmups: 0,
  open: () => openFold(({ perSecondKept }) => perSecondKept),
}

async function openFold(toNumber: (applied: Applied) => number): ReturnType<Bench['open']> {
  const page = await openPage()
  return {
    limit: () => page.run('dexieApply', entriesCount),
    ours: async () => toNumber(await page.run('tidemarkFold', entriesCount)),
    close: page.close,
  }
}
