/** The one way out of the outbox with a verdict: first on the disk, then in memory, then told to other tabs. */
import type { Replica } from './replica.ts'
import type { Settlement, Store } from './store/store.ts'

/** What settling needs. */
export interface SettlePorts {
  readonly store: Store
  readonly replica: Replica
  /** The database has changed: other tabs should have a look. */
  readonly onWritten: () => void
}

/** Writes down what became of rows. Runs in a turn. */
export async function settle(
  { store, replica, onWritten }: SettlePorts,
  settlement: Settlement,
): Promise<void> {
  await store.settle(settlement)
  replica.settle(settlement)
  onWritten()
}
