/** The configuration module as the commands read it, and what they open by it. */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Topic } from '@tidemark/shared'
import type { GatewayConfig } from '../config.ts'
import type { Log } from '../log/log.ts'
import { sqliteLog } from '../log/sqlite.ts'
import { type PlannedTopic, planTopology } from '../operate/provision.ts'
import { BadInput, CommandFailed, type Terminal } from './command.ts'

const names = ['tidemark.config.ts', 'tidemark.config.js', 'tidemark.config.mjs']

/** A configuration and where it stands. */
export interface Configuration {
  readonly path: string
  readonly config: GatewayConfig
}

/** The path of the configuration: the one that is named, or the one in this folder. */
export function findConfiguration(
  named: string | undefined,
  { cwd }: Terminal,
): string | undefined {
  const paths = (named === undefined ? names : [named]).map((name) => resolve(cwd, name))
  return paths.find((path) => existsSync(path))
}

/** Imports the configuration. Throws `BadInput` where there is none, `CommandFailed` where it is none. */
export async function readConfiguration(
  named: string | undefined,
  terminal: Terminal,
): Promise<Configuration> {
  const path = findConfiguration(named, terminal)
  if (path === undefined) {
    throw new BadInput(
      named === undefined
        ? `There is no ${names[0]} in ${terminal.cwd}. Name one with --config.`
        : `There is no file ${named}.`,
    )
  }
  let module: { readonly config?: GatewayConfig }
  try {
    module = (await import(pathToFileURL(path).href)) as typeof module
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new CommandFailed(`${path} could not be imported: ${reason}`, { cause })
  }
  const { config } = module
  if (!Array.isArray(config?.topics) || config.topics.length === 0) {
    throw new CommandFailed(`${path} exports no \`config\` with \`topics\`.`)
  }
  return { path, config }
}

/** The log that the gateway of this configuration writes. It is not made where it does not exist. */
export function openLog({ config }: Configuration, { env, cwd }: Terminal): Log {
  if (config.log) return config.log
  const path = resolve(cwd, env['TIDEMARK_LOG'] ?? 'tidemark.db')
  if (!existsSync(path)) {
    throw new CommandFailed(`There is no log at ${path}. TIDEMARK_LOG names the gateway's file.`)
  }
  return sqliteLog(path)
}

/** What should exist on the broker, as the configuration declares it. */
export function planOf({ config }: Configuration): readonly PlannedTopic[] {
  const { topics, consumers = [], ingest, duplicateWindow } = config
  try {
    return planTopology({
      topics,
      consumers,
      ...(ingest ? { gatewaySubscription: ingest.subscription } : {}),
      gatewayOrdered: ingest === undefined || ingest.sessions !== undefined,
      ...(duplicateWindow === undefined ? {} : { duplicateWindow }),
    })
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new CommandFailed(reason.replace(/^Assertion failed: /, 'The configuration is wrong: '), {
      cause,
    })
  }
}

/** A topic of the configuration by its name, or `BadInput`. */
export function topicNamed({ config }: Configuration, name: string | undefined): Topic {
  const found = config.topics.find((topic) => topic.name === name)
  if (found) return found
  const known = config.topics.map((topic) => topic.name).join(', ')
  throw new BadInput(`--topic is one of ${known}, not "${name ?? ''}".`)
}
