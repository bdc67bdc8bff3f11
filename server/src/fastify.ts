/**
 * The gateway as a Fastify plugin: its WebSocket, and its health. What `ws` refuses by itself (text that
 * is not UTF-8, a message that is too large) it closes with 1007 and 1009, as the protocol says.
 */
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { type Socket, system as realSystem } from '@tidemark/shared'
import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import { type WebSocket, WebSocketServer } from 'ws'
import { type Connection, createGateway, type Gateway, type GatewayOptions } from './gateway.ts'
import type { Logger } from './logger.ts'
import { isLocalRequest } from './loopback.ts'
import { serveFeed } from './operate/feed.ts'
import { createGuard, type Operate } from './operate/guard.ts'
import { serveOperate } from './operate/routes.ts'
import { createView, type DeclaredConsumer } from './operate/view.ts'
import { isExpectedOrigin, type Origins } from './origins.ts'
import type { Authenticate, Authorize } from './permission.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The running gateway, where the plugin is registered. */
    tidemark: Gateway
  }
}

/** What the plugin is registered with. */
export interface GatewayPluginOptions extends Omit<
  GatewayOptions,
  'authenticate' | 'authorize' | 'logger'
> {
  /** Without it, or without `authorize`, only connections from this machine are served. */
  readonly authenticate?: Authenticate
  readonly authorize?: Authorize
  /** Where the WebSocket is. `/sync` unless said otherwise. */
  readonly path?: string
  /** The browser origins that may connect, or what says so of one. Left out, those of the request's own host. */
  readonly origins?: Origins
  /** Connections at one time. 10,000 unless said otherwise. */
  readonly connectionsMax?: number
  /** Who may look at dead letters and act on them, at `/operate/…`. Nobody unless said otherwise. */
  readonly operate?: Operate
  /** The services whose dead letters are shown there. */
  readonly consumers?: readonly DeclaredConsumer[]
}

/** On the own machine nobody is asked for a password: who says who they are is believed. */
const believe: Authenticate = ({ token }) => ({ author: token ?? 'anonymous' })
const allow: Authorize = () => 'allow'

/** What a socket may have buffered before it is cut: more than its unapplied bytes and its verdicts come to. */
const bufferedBytesMax = 33_554_432

/** How long a client that was sent away may take to close, in milliseconds. */
const closeMsMax = 2_000

/**
 * The Fastify plugin.
 *
 * @example
 * await app.register(gateway, { log: sqliteLog('tidemark.db'), topics: [inventory], authenticate, authorize })
 */
export const gateway: FastifyPluginAsync<GatewayPluginOptions> = Object.assign(serve, {
  // Fastify shares what a plugin decorates with the whole app only where the plugin asks for it.
  [Symbol.for('skip-override')]: true,
})

async function serve(app: FastifyInstance, options: GatewayPluginOptions): Promise<void> {
  const { authenticate, authorize } = options
  const logger = toLogger(app)
  const open = authenticate !== undefined && authorize !== undefined
  if (!open) {
    const missing = authenticate ? 'authorize' : 'authenticate'
    logger.warn({ event: 'loopback-only', missing }, 'serving this machine only')
  }
  const running = createGateway({
    ...options,
    authenticate: authenticate ?? believe,
    authorize: authorize ?? allow,
    logger,
  })
  app.decorate('tidemark', running)
  serveHealth(app, running)
  const closeFeeds = serveOperators(app, options, open)
  const closeSockets = serveSockets(app, running, options, open)
  // Before Fastify waits for its connections to end: a WebSocket would keep it waiting for ever.
  app.addHook('preClose', async () => {
    closeFeeds()
    await running.close()
    await closeSockets()
  })
}

function serveHealth(app: FastifyInstance, running: Gateway): void {
  app.get('/healthz', async () => ({ status: 'ok' }))
  app.get('/readyz', async (_request, reply) => {
    const status = running.status()
    const ready = !status.draining && status.log === 'ok'
    return reply.code(ready ? 200 : 503).send({ ready, ...status })
  })
}

/** Serves history, and what operators need. Returns what ends the feeds. */
function serveOperators(
  app: FastifyInstance,
  options: GatewayPluginOptions,
  open: boolean,
): () => void {
  const { log, topics, system = realSystem } = options
  const guard = createGuard({
    ...options,
    authenticate: options.authenticate ?? believe,
    authorize: options.authorize ?? allow,
    loopbackOnly: !open,
  })
  const gatewaySubscription = options.ingest?.subscription
  const deadLetters = createView({ ...options, gatewaySubscription, system })
  serveOperate(app, { guard, deadLetters, log })
  return serveFeed(app, { guard, log, topics, system })
}

/** Serves the WebSocket. Returns what lets its connections end, and cuts those that do not. */
function serveSockets(
  app: FastifyInstance,
  running: Gateway,
  options: GatewayPluginOptions,
  open: boolean,
): () => Promise<void> {
  const { path = '/sync', connectionsMax = 10_000, system = realSystem } = options
  const { frameBytesMax, silenceMsMax } = running.limits
  const sockets = new WebSocketServer({
    noServer: true,
    clientTracking: true,
    maxPayload: frameBytesMax,
    perMessageDeflate: false,
  })

  /** Why an upgrade of ours is refused. Nothing where it is not. */
  const findRefusal = (request: IncomingMessage): string | undefined => {
    const { origin, host } = request.headers
    const isServed = open || isLocalRequest(request.socket.remoteAddress, host)
    if (!isServed || !isExpectedOrigin(origin, host, options.origins)) return '403 Forbidden'
    const isFull = sockets.clients.size >= connectionsMax || running.status().draining
    return isFull ? '503 Service Unavailable' : undefined
  }

  app.server.on('upgrade', (request: IncomingMessage, stream: Duplex, head: Buffer) => {
    const target = URL.parse(request.url ?? '', 'http://localhost')?.pathname
    if (target !== path && app.server.listenerCount('upgrade') > 1) return
    // Nobody else listens here: whatever goes wrong with one request would end the process.
    stream.on('error', () => stream.destroy())
    try {
      if (target === undefined) return refuse(stream, '400 Bad Request')
      const refusal = target === path ? findRefusal(request) : '404 Not Found'
      if (refusal) return refuse(stream, refusal)
      sockets.handleUpgrade(request, stream, head, (socket) => {
        connect(running, socket, request.socket.remoteAddress)
      })
    } catch (error) {
      app.log.error({ event: 'upgrade-failed', err: error }, 'a connection was not opened')
      stream.destroy()
    }
  })

  // A browser answers these pings also where its timers sleep, in a tab that nobody looks at.
  const ping = (): void => {
    for (const socket of sockets.clients) socket.ping()
    stopPinging = system.after(silenceMsMax / 3, ping)
  }
  let stopPinging = system.after(silenceMsMax / 3, ping)
  return async () => {
    stopPinging()
    const cut = system.after(closeMsMax, () => {
      for (const socket of sockets.clients) socket.terminate()
    })
    await new Promise<void>((resolve) => sockets.close(() => resolve()))
    cut()
  }
}

function connect(running: Gateway, socket: WebSocket, address: string | undefined): void {
  const port: Socket = {
    send(message) {
      if (socket.readyState !== socket.OPEN) return
      if (socket.bufferedAmount > bufferedBytesMax) return socket.terminate()
      socket.send(message, { binary: false })
    },
    close: (code, reason) => socket.close(code, reason),
  }
  const connection: Connection = running.connect(port, address)
  socket.on('message', (data: Buffer, isBinary) => {
    if (isBinary) connection.onBinary()
    else connection.onMessage(data.toString())
  })
  socket.on('pong', () => connection.heard())
  socket.on('close', () => connection.onClose())
  // What went wrong is told by the close code that follows.
  socket.on('error', () => {})
}

/** Answers and lets go at once, because whoever was refused may keep its own side open for ever. */
function refuse(stream: Duplex, status: string): void {
  stream.once('finish', () => stream.destroy())
  stream.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
}

function toLogger({ log }: FastifyInstance): Logger {
  return {
    info: (fields, message) => log.info(fields, message),
    warn: (fields, message) => log.warn(fields, message),
    error: (fields, message) => log.error(fields, message),
  }
}
