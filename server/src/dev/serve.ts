/**
 * The gateway of development: on this machine alone, with a log in a folder and a broker in this process. It
 * looks its topics up at each use, so that an edit needs no new gateway; only topics that come or go do, and
 * a log that is emptied. Devices then come back by themselves, as they do from any gateway that restarts.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { assert, type System, type Topic } from '@tidemark/shared'
import fastify, { type FastifyInstance } from 'fastify'
import type { Broker } from '../broker/broker.ts'
import { createMemoryBroker, createNamespace } from '../broker/memory.ts'
import { parseConfig } from '../emulator/config.ts'
import { gateway } from '../fastify.ts'
import type { Log } from '../log/log.ts'
import { sqliteLog } from '../log/sqlite.ts'
import { hostnameOf, isLoopback } from '../loopback.ts'
import { planTopology, toEmulatorConfig } from '../operate/provision.ts'

/** Where a gateway of development is, and what it has. */
export interface DevGatewayOptions {
  /** The folder of its log. It exists. */
  readonly folder: string
  /** 0 takes a free one. */
  readonly port: number
  /** The port of the embedded Service Bus; 0 takes a free one. */
  readonly busPort: number
  /** The names of services that read the bus: each has a subscription to every topic. */
  readonly consumers: readonly string[]
  readonly system: System
  readonly say: (line: string) => void
}

/** A gateway of development. */
export interface DevGateway {
  /** Of its WebSocket. */
  readonly address: string
  /** Of the embedded Service Bus. Absent where its libraries are not installed. */
  readonly connectionString: string | undefined
  readonly log: Log
  /** What is served from now on. Topics that are new or gone end all links for a moment. */
  serve(topics: ReadonlyMap<string, Topic>): Promise<void>
  /** Empties the log. Devices hear that it is another one, and start from its beginning. */
  reset(): Promise<void>
  close(): Promise<void>
}

const host = '127.0.0.1'
const subscription = 'gateway'

/** Starts it. Throws where a port is taken, or the log cannot be opened. */
export async function startDevGateway(
  options: DevGatewayOptions,
  first: ReadonlyMap<string, Topic>,
): Promise<DevGateway> {
  let topics = first
  let running = await start(options, topics, (name) => topics.get(name))
  const restart = async (between = (): void => {}): Promise<void> => {
    const { port, bus } = running
    await running.close()
    between()
    const same = { ...options, port, busPort: bus.port }
    running = await start(same, topics, (name) => topics.get(name))
  }
  return {
    get address() {
      return `ws://${host}:${running.port}/sync`
    },
    get connectionString() {
      return running.bus.connectionString
    },
    get log() {
      return running.log
    },
    async serve(next) {
      const isSame = next.size === topics.size && [...next.keys()].every((name) => topics.has(name))
      topics = next
      if (!isSame) await restart()
    },
    reset: () =>
      restart(() => {
        for (const suffix of ['', '-wal', '-shm']) {
          rmSync(`${logPath(options.folder)}${suffix}`, { force: true })
        }
      }),
    close: () => running.close(),
  }
}

const logPath = (folder: string): string => join(folder, 'log.db')

/** What runs between two restarts. */
interface Running {
  readonly port: number
  readonly bus: Bus
  readonly log: Log
  close(): Promise<void>
}

async function start(
  options: DevGatewayOptions,
  topics: ReadonlyMap<string, Topic>,
  find: (name: string) => Topic | undefined,
): Promise<Running> {
  const { folder, port, say, system } = options
  const served = [...topics.values()].map((topic) => liveTopic(topic, find))
  // A development log that is not there was deleted because nobody wants it back.
  const log = sqliteLog(logPath(folder), { system, startOver: true })
  const bus = await startBus(options, served)
  const app = fastify({ logger: { level: 'warn', stream: { write: toLine(say) } } })
  await app.register(gateway, {
    log,
    system,
    topics: served,
    broker: bus.broker,
    ingest: { subscription, sessions: 8 },
    // Whoever is sent away for a restart shall not be missed for long.
    awayMsMax: 0,
    // A page of whatever server of this machine; no page of the Internet, which believes nobody.
    origins: (origin) => isLoopback(hostnameOf(origin)),
  })
  const close = async (): Promise<void> => {
    await app.close()
    await bus.close()
    await log.close()
  }
  try {
    await app.listen({ host, port })
    return { port: portOf(app), bus, log, close }
  } catch (error) {
    await close()
    throw error
  }
}

function portOf(app: FastifyInstance): number {
  const address = app.server.address()
  assert(typeof address === 'object' && address, 'the gateway listens on a port')
  return address.port
}

/** The topic as the newest load defines it; as it was where that load has none of its name. */
function liveTopic(first: Topic, find: (name: string) => Topic | undefined): Topic {
  const now = (): Topic => find(first.name) ?? first
  return {
    name: first.name,
    get schemas() {
      return now().schemas
    },
    get versions() {
      return now().versions
    },
    stream: (stream) => now().stream(stream),
    check: (type, version, data) => now().check(type, version, data),
  }
}

/** The broker of development. */
interface Bus {
  readonly broker: Broker
  readonly port: number
  readonly connectionString: string | undefined
  close(): Promise<void>
}

/** A Service Bus that services connect to, or where its libraries are missing a broker in memory. */
async function startBus(options: DevGatewayOptions, topics: readonly Topic[]): Promise<Bus> {
  const { system, busPort, consumers } = options
  const readers = topics.flatMap((topic) => consumers.map((name) => ({ name, topic })))
  const config = JSON.stringify(toEmulatorConfig(planTopology({ topics, consumers: readers })))
  const libraries = await loadLibraries()
  if (!libraries) {
    const namespace = createNamespace(system, parseConfig(config))
    const broker = createMemoryBroker({ system, namespace })
    const close = async (): Promise<void> => {
      await broker.close()
      namespace.close()
    }
    return { broker, port: busPort, connectionString: undefined, close }
  }
  const emulator = await libraries.startEmulator({ config, port: busPort, host, system })
  const { connectionString, port } = emulator
  const broker = libraries.serviceBus({ connectionString, system })
  const close = async (): Promise<void> => {
    await broker.close()
    await emulator.close()
  }
  return { broker, port, connectionString, close }
}

/** The emulator and the broker's adapter, whose libraries a project has where it uses Service Bus. */
async function loadLibraries() {
  try {
    const [{ startEmulator }, { serviceBus }] = await Promise.all([
      import('../emulator/emulator.ts'),
      import('../broker/service-bus.ts'),
    ])
    return { startEmulator, serviceBus }
  } catch (error) {
    if ((error as { readonly code?: unknown }).code === 'ERR_MODULE_NOT_FOUND') return undefined
    throw error
  }
}

/** What the gateway warns of, as a line for a person. That it serves this machine only is said at the start. */
function toLine(say: (line: string) => void): (json: string) => void {
  return (json) => {
    const { event, msg, err } = JSON.parse(json) as {
      readonly event?: string
      readonly msg: string
      readonly err?: { readonly message: string }
    }
    if (event !== 'loopback-only') say(`gateway: ${msg}${err ? `: ${err.message}` : ''}`)
  }
}
