/** Tidemark's gateway. Logs and brokers are imported by their own paths, so that nobody loads a driver who does not use it. */
export { defineConfig, type GatewayConfig } from './config.ts'
export { gateway, type GatewayPluginOptions } from './fastify.ts'
export {
  type Connection,
  createGateway,
  type Gateway,
  type GatewayOptions,
  type GatewayStatus,
} from './gateway.ts'
export type { Log } from './log/log.ts'
export type { Logger } from './logger.ts'
export type { Operate } from './operate/guard.ts'
export type { AuthorizeRescue, RescueAccess } from './operate/import-rescue.ts'
export type { ConsumerDeclaration } from './operate/provision.ts'
export type { DeclaredConsumer } from './operate/view.ts'
export type { Origins } from './origins.ts'
export type {
  Access,
  Authenticate,
  Authorize,
  Credentials,
  Permission,
  Principal,
} from './permission.ts'
