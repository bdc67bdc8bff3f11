/** The start of a page, in a real Chromium. Each run loads the page anew, so that no code of it is warm. */
import type { Bench, Sides } from '../bench.ts'
import type { Reads } from '../browser/requests.ts'
import { openPage, type Page } from '../browser/page.ts'

const [shortLog, longLog] = [10_000, 100_000]
const msMax = 300

/** From `createClient` to a frame that shows rows, after 100,000 entries, against what we allow ourselves. */
export const boot: Bench = {
  name: 'boot',
  unit: 'ms',
  goal: { atMost: 1 },
  about:
    'from createClient to a frame with 100 rows of 10,000 keys, 100,000 entries, against 300 ms',
  open: () => openFilled(async () => msMax),
}

/** The same against the same states, read by one `getAll`. */
export const bootRaw: Bench = {
  name: 'boot-raw',
  unit: 'ms',
  about: 'the same against one getAll of the 10,000 states by raw IndexedDB',
  open: () => openFilled((page) => runFresh(page, 'bootRaw')),
}

async function openFilled(limit: (page: Page) => Promise<number>): Promise<Sides> {
  const page = await openPage()
  await page.run('bootFill', longLog)
  return {
    limit: () => limit(page),
    ours: () => runFresh(page, 'boot'),
    close: page.close,
  }
}

async function runFresh(page: Page, name: 'boot' | 'bootRaw'): Promise<number> {
  await page.reload()
  return page.run(name, longLog)
}

/** Records that a start reads from IndexedDB with a log of 100,000 entries, against one of 10,000. */
export const bootReads: Bench = {
  name: 'boot-reads',
  unit: 'records',
  goal: { atMost: 1 },
  about:
    'records read at a start after 100,000 entries, against 10,000 entries, of 10,000 keys both',
  exact: true,
  async open() {
    const page = await openPage()
    const found: Reads[] = []
    for (const entries of [shortLog, longLog]) await page.run('bootFill', entries)
    const count = async (entries: number): Promise<number> => {
      await page.reload()
      const reads = await page.run('bootReads', entries)
      found.push(reads)
      return Object.values(reads).reduce((sum, each) => sum + each, 0)
    }
    return {
      limit: () => count(shortLog),
      ours: () => count(longLog),
      note: () =>
        `after 10,000 and 100,000 entries: ${found.map((reads) => JSON.stringify(reads)).join(', ')}`,
      close: page.close,
    }
  },
}
