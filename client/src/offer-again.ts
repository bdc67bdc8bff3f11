/**
 * What a restored log has lost and this device still has: the events of its user, batch by batch, in the
 * bytes in which they were accepted. They are offered as facts: that they happened was decided long ago.
 */
import { type LogName, parseEntry, type Position } from '@tidemark/shared'
import { claimOf } from './dead-letters.ts'
import { readPages } from './search.ts'
import type { Batch, Store } from './store/store.ts'

/** What reading them needs. */
export interface OfferPorts {
  readonly store: Store
  /** Whose events are offered. */
  readonly deciding: { readonly user: string }
}

interface Offered extends Batch {
  readonly lines: string[]
}

/** The user's own batches after a position of a log. What came from the bus, its services have to say again. */
export async function readOwn(
  { store, deciding: { user } }: OfferPorts,
  log: LogName,
  after: Position,
): Promise<readonly Batch[]> {
  const { topic, scope } = log
  const found: Offered[] = []
  let last: string | undefined
  for await (const lines of readPages(store, log, after)) {
    for (const line of lines) {
      const { author, source, batch } = parseEntry(log, line)
      if (author !== user || source !== 'client') continue
      if (batch === undefined || batch !== last) found.push({ topic, scope, lines: [] })
      last = batch
      found.at(-1)?.lines.push(claimOf(line))
    }
  }
  return found
}
