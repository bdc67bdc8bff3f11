/** What Tidemark's client and gateway agree on. */
export { assert, unreachable } from './assert.ts'
export { backoffMs, type BackoffOptions } from './backoff.ts'
export {
  type AnyCommand,
  type Command,
  decide,
  type Decided,
  type Denial,
  refuse,
} from './command.ts'
export { Doorbell } from './doorbell.ts'
export {
  closeCodes,
  type ErrorCode,
  type ErrorDetails,
  isTidemarkError,
  type Recovery,
  recoveryOf,
  TidemarkError,
} from './errors.ts'
export {
  type Claim,
  type Cursor,
  type DomainEvent,
  type Draft,
  type Entry,
  type Epoch,
  type EventId,
  logKey,
  type LogName,
  namePattern,
  parseLogKey,
  type Placement,
  type Position,
  type Refusal,
  type Source,
  uuidPattern,
  type Verdict,
  writeClaim,
  writeEntry,
} from './event.ts'
export {
  type BatchVerdict,
  type ClientFrame,
  type FrameOf,
  type GatewayFrame,
  protocolVersion,
  type SubmittedBatch,
  writeFrame,
} from './frames.ts'
export { defaultLimits, fixedLimits, type Limits } from './limits.ts'
export {
  type AnyModel,
  type CommandsOf,
  type Compensation,
  fold,
  type Folds,
  type Model,
  type IndexesOf,
  type IndexValue,
  model,
  type StateOf,
} from './model.ts'
export {
  badFrame,
  isAuthor,
  parseClaim,
  parseClientFrame,
  parseEntry,
  parseGatewayFrame,
} from './parse.ts'
export type { Broadcast, Connect, Locks, Socket, SocketHandlers } from './ports.ts'
export {
  parseRescue,
  type Rescue,
  type RescuedBatch,
  type RescueOrigin,
  writeRescue,
} from './rescue.ts'
export { type DeadLettered, findReservedFault, isReservedType } from './reserved.ts'
export { type Cancel, deriveUuid, sleep, system, type System } from './system.ts'
export {
  type AnyDrafts,
  type DataOf,
  type EntryOf,
  type Schemas,
  type StreamDrafts,
  topic,
  type Topic,
} from './topic.ts'
