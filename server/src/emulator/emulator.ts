/**
 * An embedded Azure Service Bus: the unmodified SDK connects to it with an ordinary emulator connection
 * string. It keeps everything in memory and loses it when it stops. For development and tests only.
 */
import { system as realSystem, type System } from '@tidemark/shared'
import { parseConfig } from './config.ts'
import { Namespace } from './core/namespace.ts'
import type { Topology } from './core/topology.ts'
import { type EmulatorFaults, EmulatorServer } from './emulator-server.ts'

/** How to start an emulator. */
export interface EmulatorOptions {
  /** The entities: the text of a `Config.json` of Microsoft's emulator, or a topology as an object. */
  readonly config: string | Topology
  /** The TCP port; 0 takes a free one. Default: 0. */
  readonly port?: number
  /** The address to listen on. Default: 127.0.0.1. */
  readonly host?: string
  /** The shared access key that clients must sign with. Left out, any token will do. */
  readonly key?: string
  readonly system?: System
  /** Where it says that it has started, and what it is. Default: nowhere. */
  readonly say?: (line: string) => void
}

/** A running emulator. */
export interface Emulator {
  readonly port: number
  /** For the SDK of any language. */
  readonly connectionString: string
  readonly faults: EmulatorFaults
  /** Stops it. Every message is gone. */
  close(): Promise<void>
}

const keyName = 'RootManageSharedAccessKey'

/** What it says when it starts. */
const warning = 'in memory only, for development and tests: every message is lost when it stops'

/** Starts an emulator in this process. Rejects if the port is taken. */
export async function startEmulator(options: EmulatorOptions): Promise<Emulator> {
  const { config, system = realSystem, host = '127.0.0.1' } = options
  const topology = typeof config === 'string' ? parseConfig(config) : config
  const namespace = new Namespace({ system, topology })
  const server = new EmulatorServer(namespace, system, options.key)
  const port = await server.listen(host, options.port ?? 0)
  const key = options.key ?? 'SAS_KEY_VALUE'
  options.say?.(`Service Bus emulator on ${host}:${port}, ${warning}.`)
  return {
    port,
    connectionString: `Endpoint=sb://${host}:${port};SharedAccessKeyName=${keyName};SharedAccessKey=${key};UseDevelopmentEmulator=true`,
    faults: server.faults(),
    close: () => server.close(),
  }
}
