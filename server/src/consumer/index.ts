/** Services on the bus whose effects happen once. */
export { type Consumer, consume, type ConsumeOptions } from './consume.ts'
export type { Emit, EmitOptions } from './emit.ts'
export type { ConsumerState } from './intake.ts'
export {
  type Act,
  discard,
  discardResult,
  listAside,
  listAudits,
  listHeld,
  listRefused,
  listSagas,
  listSagaSteps,
  prune,
  readBacklog,
  redrive,
  resendResult,
  resumeSaga,
} from './park.ts'
export { refuse, type RetryOptions } from './policy.ts'
export type { AsideEvent, HeldFilter, HeldStream, Hold } from './processed/holds.ts'
export type { Outgoing } from './processed/outbox.ts'
export type { AuditRecord, Backlog, Processed, Unit } from './processed/processed.ts'
export type { SagaFilter, SagaRow, SagaState, SagaStepRow } from './processed/sagas.ts'
export { type Outcome, saga, type Saga, step, type Step } from './saga.ts'
export type { Context, Counts, Handler, Handlers, UnknownPolicy } from './settings.ts'
