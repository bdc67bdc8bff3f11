/** The gateway: puts the hops together. It needs neither Fastify nor a socket library to run. */
import {
  defaultLimits,
  type Limits,
  type LogName,
  logKey,
  type Socket,
  system as realSystem,
  type System,
  TidemarkError,
  type Topic,
  writeFrame,
} from '@tidemark/shared'
import { createAccept } from './accept.ts'
import type { Broker } from './broker/broker.ts'
import { createDeliver } from './deliver.ts'
import { createIngest, type IngestOptions, type IngestStatus } from './ingest.ts'
import type { Log } from './log/log.ts'
import { type Logger, silentLogger } from './logger.ts'
import type { Authenticate, Authorize } from './permission.ts'
import { createRelay, type RelayStatus } from './relay.ts'
import type { Published } from './relay-log.ts'
import { Session, type SessionWorld } from './session.ts'

/** What a gateway is made of. */
export interface GatewayOptions {
  readonly log: Log
  readonly topics: readonly Topic[]
  /** Where accepted events are published. Without one they stay in the log. */
  readonly broker?: Broker
  /** Where the events of other services come from. Without it nothing is received. */
  readonly ingest?: IngestOptions
  readonly authenticate: Authenticate
  readonly authorize: Authorize
  /** Where they differ from the default. */
  readonly limits?: Partial<Limits>
  /** Clients that are sent away together come back spread over so many milliseconds. 5,000 unless said otherwise. */
  readonly awayMsMax?: number
  readonly logger?: Logger
  readonly system?: System
}

/** The gateway's side of a connection. */
export interface Connection {
  onMessage(message: string): void
  /** A message came that is not text. */
  onBinary(): void
  /** The other side is alive, though it said nothing. */
  heard(): void
  onClose(): void
}

/** How a gateway is. */
export interface GatewayStatus {
  readonly sessions: number
  readonly draining: boolean
  readonly log: 'ok' | 'unavailable'
  /** Absent without a broker. */
  readonly relay?: RelayStatus
  /** By topic. */
  readonly ingest: Readonly<Record<string, IngestStatus>>
}

/** A running gateway. */
export interface Gateway {
  readonly limits: Limits
  /** Serves a connection that is open. `address` is where it comes from. */
  connect(socket: Socket, address?: string): Connection
  status(): GatewayStatus
  /** Sends every client away, to come back after a while. What is under way is committed or not answered. */
  drain(): Promise<void>
  /** Drains, and ends. The log stays open: it is whoever opened it who closes it. */
  close(): Promise<void>
}

/** Builds a gateway and starts its loops. */
export function createGateway(options: GatewayOptions): Gateway {
  const { log, topics, authenticate, authorize } = options
  const { broker, ingest, logger = silentLogger, system = realSystem, awayMsMax = 5_000 } = options
  const limits = toLimits(options)
  const accept = createAccept({ log, system, logger })
  const deliver = createDeliver({ log, system, logger })
  const sessions = new Set<Session>()
  const byClient = new Map<string, Session>()
  const published = new Map<string, string>()
  let draining = false

  const onPublished = ({ log, upTo, parked }: Published): void => {
    const stopped = parked.slice(0, parkedMax)
    const streams = stopped.map(({ stream, fromRevision, code }) => ({
      stream,
      fromRevision,
      code,
    }))
    const message = writeFrame({ type: 'published', ...log, upTo, parked: streams })
    published.set(logKey(log), message)
    deliver.tell(log, message)
  }
  const relay = broker && createRelay({ log, broker, topics, system, logger, onPublished })
  const ingests = new Map(
    topics.flatMap((topic) =>
      broker && ingest
        ? [[topic.name, createIngest({ log, broker, topic, limits, system, logger, from: ingest })]]
        : [],
    ),
  )

  const world: SessionWorld = {
    system,
    logger,
    limits,
    rules: { topics: new Map(topics.map((topic) => [topic.name, topic])), limits, authorize },
    log,
    accept,
    deliver,
    authenticate,
    published: (name: LogName) => published.get(logKey(name)),
    onWelcome(session) {
      const { key } = session
      byClient.get(key)?.fail(new TidemarkError('SUPERSEDED'))
      byClient.set(key, session)
    },
    onClose(session) {
      sessions.delete(session)
      if (session.isWelcome) byClient.delete(session.key)
    },
  }

  const retryAfterMs = (): number => Math.floor(system.random() * awayMsMax)
  const drain = async (): Promise<void> => {
    draining = true
    for (const session of sessions) session.goAway(retryAfterMs())
  }

  return {
    limits,
    connect(socket, address) {
      const session = new Session(world, socket, address)
      sessions.add(session)
      if (draining) session.goAway(retryAfterMs())
      return session
    },
    status: () => ({
      sessions: sessions.size,
      draining,
      log: accept.healthy ? 'ok' : 'unavailable',
      ...(relay && { relay: relay.status() }),
      ingest: Object.fromEntries([...ingests].map(([name, each]) => [name, each.status()])),
    }),
    drain,
    async close() {
      await drain()
      await Promise.all([...ingests.values()].map((each) => each.close()))
      await relay?.close()
      await accept.close()
      await deliver.close()
    },
  }
}

/** What an entry becomes on the broker is its data and some attributes: these have to fit as well. */
const attributeBytesMax = 8_192
/** Parked streams that a `published` frame names. */
const parkedMax = 1_000

/** What a frame says besides its events. */
const headBytesMax = 512

/**
 * The limits that a gateway announces. Each bound holds the next: what is accepted must be publishable, an
 * event fits a frame, and a batch a submit. Otherwise a client would send what is allowed and be sent away
 * for it, again and again.
 */
export function toLimits({ broker, limits }: Pick<GatewayOptions, 'broker' | 'limits'>): Limits {
  const wanted = { ...defaultLimits, ...limits }
  const { messageBytesMax = Infinity, keyLengthMax = Infinity } = broker?.limits ?? {}
  const submitEventsMax = Math.min(wanted.submitEventsMax, wanted.unansweredEventsMax)
  return {
    ...wanted,
    submitEventsMax,
    batchEventsMax: Math.min(wanted.batchEventsMax, submitEventsMax),
    eventBytesMax: Math.min(
      wanted.eventBytesMax,
      messageBytesMax - attributeBytesMax,
      wanted.frameBytesMax - headBytesMax,
    ),
    keyLengthMax: Math.min(wanted.keyLengthMax, keyLengthMax),
  }
}
