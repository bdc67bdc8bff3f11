/** How fast a reader that has nothing gets a long log. */
import type { Bench } from '../bench.ts'
import { openLink } from '../wire.ts'
import { openIngest } from './ingest.ts'
import { type Load, openServers, type Target } from './sides.ts'

const entries = 100_000
/** Fresh readers in a run, one after the other. */
const readers = 3

/** From a fresh reader's connect to the last of 100,000 entries; three readers in a run. */
export const catchUp: Bench = {
  name: 'catch-up',
  unit: 'entries/s',
  goal: { atLeast: 0.5 },
  about: 'a fresh reader receives a log of 100,000 entries',
  open: () => openServers(openCatchUp),
}

async function openCatchUp(target: Target): Promise<Load> {
  const filling = await openIngest(target, { writers: 1, batch: 100, window: 8 }, entries / 100)
  await filling.run()
  filling.close()
  return {
    async run() {
      let ms = 0
      for (let n = 0; n < readers; n += 1) ms += await readAll(target)
      return ((entries * readers) / ms) * 1_000
    },
    close: () => undefined,
  }
}

/** The milliseconds from a reader's connect to its last entry. Throws unless each entry came once. */
async function readAll({ port, dialect }: Target): Promise<number> {
  const received: Buffer[] = []
  const start = performance.now()
  // A reader is ready when it has what there was.
  const link = await openLink(port, dialect, 'reader', (heard, message) => {
    if (heard.type === 'delivered') received.push(message)
  })
  const ms = performance.now() - start
  link.close()
  const ids = received.flatMap(dialect.ids)
  const distinct = new Set(ids).size
  if (ids.length !== entries || distinct !== entries) {
    throw new Error(`received ${ids.length} entries, ${distinct} of them distinct`)
  }
  return ms
}
