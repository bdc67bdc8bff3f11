/** The embedded Service Bus emulator: in memory, for development and tests only. */
export { parseConfig } from './config.ts'
export type { Condition } from './core/message.ts'
export type {
  MailboxOptions,
  QueueOptions,
  SubscriptionOptions,
  Topology,
  TopicOptions,
} from './core/topology.ts'
export {
  type Emulator,
  type EmulatorFaults,
  type EmulatorOptions,
  startEmulator,
} from './emulator.ts'
export { startEmulatorInWorker, type WorkerOptions } from './worker.ts'
