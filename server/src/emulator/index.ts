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
export { type Emulator, type EmulatorOptions, startEmulator } from './emulator.ts'
export type { EmulatorFaults } from './emulator-server.ts'
export { startEmulatorInWorker, type WorkerOptions } from './worker.ts'
