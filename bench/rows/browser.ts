/** Append and apply in a real Chromium, both sides in the same page. */
import type { Bench } from '../bench.ts'
import type { InPage } from '../browser/main.ts'
import { openPage } from '../browser/page.ts'

type Measurement = keyof InPage

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
  goal: { atLeast: 0.8 },
  about: '10,000 concurrent appends, each durable, against raw IndexedDB adds in one transaction',
  open: openBoth('rawAppendAll', 'tidemarkAppendAll', 10_000),
}

/** 100,000 entries from a link into the store, against a record for each. */
export const apply: Bench = {
  name: 'apply',
  unit: 'entries/s',
  goal: { atLeast: 3 },
  about: '100,000 delivered entries into IndexedDB, against Dexie bulkAdd per record',
  warmups: 0,
  open: openBoth('dexieApply', 'tidemarkApply', 100_000),
}
