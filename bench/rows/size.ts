/** What the client adds to an app's bundle. */
import { join } from 'node:path'
import type { Bench } from '../bench.ts'
import { weigh } from '../bundle.ts'

const kilobytesMax = 15

/** The client's own code beside Dexie, minified and gzipped, against what we would allow ourselves. */
export const clientSize: Bench = {
  name: 'client-size',
  unit: 'kB',
  goal: { atMost: 1 },
  about: 'own code of createClient, topic and model, min+gz, without Dexie, against our bound',
  exact: true,
  open: async () => ({
    limit: async () => kilobytesMax,
    ours: () => weigh(join(import.meta.dirname, '../browser/app.ts'), ['dexie']),
    close: async () => undefined,
  }),
}
