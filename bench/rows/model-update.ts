/** From an append to what somebody who looks at a model sees of it, in a real Chromium. */
import { type Bench, median } from '../bench.ts'
import { openPage } from '../browser/page.ts'

/** One frame of a screen with 60 of them a second. */
const msMax = 16.7
const appends = 100

/** A list of all 10,000 keys in the order of an index, with its new snapshot. */
export const modelUpdateList: Bench = {
  name: 'model-update-list',
  unit: 'ms',
  goal: { atMost: 1 },
  about:
    'from append to the new snapshot of a list of 10,000 keys by an index, p95 of 100, against a frame',
  open: () => openUpdate('updateList'),
}

/** The state of one key among 10,000. */
export const modelUpdateKey: Bench = {
  name: 'model-update-key',
  unit: 'ms',
  goal: { atMost: 1 },
  about: 'from append to the new snapshot of one key among 10,000, p95 of 100, against a frame',
  open: () => openUpdate('updateKey'),
}

async function openUpdate(name: 'updateList' | 'updateKey'): ReturnType<Bench['open']> {
  const page = await openPage()
  await page.run('updateFill')
  const middles: number[] = []
  return {
    limit: async () => msMax,
    async ours() {
      const { p50, p95 } = await page.run(name, appends)
      middles.push(p50)
      return p95
    },
    note: () => `p50 ${median(middles).toFixed(1)} ms`,
    close: page.close,
  }
}
