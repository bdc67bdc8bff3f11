/** The tables of a consumer in memory. */
import type { AsideEvent, Hold } from './holds.ts'
import { JournaledMap } from './journal.ts'
import type { Outgoing } from './outbox.ts'
import type { AuditRecord } from './processed.ts'
import type { SagaRow, SagaStepRow } from './sagas.ts'

/** A row of attempts. */
export interface Attempted {
  readonly consumer: string
  readonly attempts: number
  readonly inCompany: boolean
  readonly doneAt?: number | undefined
}
/** A row of held streams. */
export interface Held extends Hold {
  readonly consumer: string
  readonly key: string
}
/** A row of events that are set aside. */
export interface Aside extends AsideEvent {
  readonly consumer: string
  readonly key: string
}
/** A row of resulting events. */
export interface Unsent extends Outgoing {
  readonly consumer: string
  readonly owner: string
  readonly at: number
}

/** The tables: the names are those of the SQL adapters. Keys are the primary keys, joined. */
export const memoryTables = () => ({
  processed: new JournaledMap<Attempted>(),
  held: new JournaledMap<Held>(),
  parked: new JournaledMap<Aside>(),
  outgoing: new JournaledMap<Unsent>(),
  revisions: new JournaledMap<number>(),
  audit: new JournaledMap<AuditRecord>(),
  sagas: new JournaledMap<SagaRow>(),
  sagaSteps: new JournaledMap<SagaStepRow & { readonly saga: string }>(),
  sequence: new JournaledMap<number>(),
})

/** What a disk holds for consumers. */
export type MemoryTables = ReturnType<typeof memoryTables>
