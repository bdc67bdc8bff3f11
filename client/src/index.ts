/** Append domain events on the device, offline or not, and read what becomes of them. */
export type { Append, Appended, AppendOptions, Outcome, Settled } from './append.ts'
export {
  type Client,
  type ClientOptions,
  createClient,
  type DenialsOfModels,
  type Models,
  type RefusedList,
} from './client.ts'
export type { CommandCalls, DenialsOf, Executed, ExecuteOptions } from './execute.ts'
export type { Hints } from './hints.ts'
export type { Condition, ListQuery, LiveList } from './lists.ts'
export type { Live } from './live.ts'
export type { Knowledge } from './lookup.ts'
export type { LiveState, ModelHandle, ModelHandles, PresentState, Snapshot } from './models.ts'
export type { LinkState, LogStatus, Status } from './status.ts'
export { dexieStore, type DexieStoreOptions } from './store/dexie.ts'
export { createDisk, type Disk, memoryStore } from './store/memory.ts'
export type { Decision, Refusal, Refused, Sides, Store } from './store/store.ts'
export type { Token, TokenAnswer } from './token.ts'
export type { Lost, Witness } from './witness.ts'
