/** The configuration of a gateway that runs on its own: a module that exports `config`, and a few variables. */
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { assert } from '@tidemark/shared'
import type { GatewayPluginOptions } from './fastify.ts'
import type { Log } from './log/log.ts'
import type { AuthorizeRescue } from './operate/import-rescue.ts'

/** What a configuration module exports as `config`. */
export interface GatewayConfig extends Omit<GatewayPluginOptions, 'log' | 'system'> {
  /** Left out, a SQLite file named by `TIDEMARK_LOG`, or `tidemark.db`. */
  readonly log?: Log
  /** The address to listen on, unless `HOST` names one. 127.0.0.1 unless said otherwise. */
  readonly host?: string
  /** The port to listen on, unless `PORT` names one. 4747 unless said otherwise. */
  readonly port?: number
  /** Says what `tidemark rescue import` may append in the name of others. Nothing unless said otherwise. */
  readonly rescue?: AuthorizeRescue
  /** How long the broker shall know a message id again, as ISO 8601, for `tidemark provision`. `PT1H` unless said otherwise. */
  readonly duplicateWindow?: string
}

/**
 * Types a configuration.
 *
 * @example
 * export const config = defineConfig({ topics: [inventory], authenticate, authorize })
 */
export const defineConfig = (config: GatewayConfig): GatewayConfig => config

/** Imports a configuration module. Throws where it exports no `config` with topics. */
export async function loadConfig(path: string): Promise<GatewayConfig> {
  const module = (await import(pathToFileURL(resolve(path)).href)) as { config?: GatewayConfig }
  assert(Array.isArray(module.config?.topics), `${path} exports \`config\`, with its topics`)
  return module.config
}
