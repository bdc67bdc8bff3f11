/**
 * The gateway's side of one link. Nothing is read before hello, everything has a bound, and whatever goes
 * wrong ends in an error frame and, where the table says so, this link: never in another client's trouble.
 */
import {
  assert,
  type Cancel,
  type ClientFrame,
  closeCodes,
  fixedLimits,
  type FrameOf,
  type GatewayFrame,
  isAuthor,
  isTidemarkError,
  type Limits,
  type LogName,
  parseClientFrame,
  protocolVersion,
  type Socket,
  type System,
  TidemarkError,
  unreachable,
  writeFrame,
} from '@tidemark/shared'
import type { Accept } from './accept.ts'
import { type Rules, toAttempt } from './check.ts'
import type { Deliver } from './deliver.ts'
import { Lane } from './lane.ts'
import type { Log } from './log/log.ts'
import type { Logger } from './logger.ts'
import { ask, type Authenticate, mayRead, type Principal } from './permission.ts'
import { Subscriptions } from './subscriptions.ts'

/** What a session shares with all others of its gateway. */
export interface SessionWorld {
  readonly system: System
  readonly logger: Logger
  readonly limits: Limits
  readonly rules: Rules
  readonly log: Log
  readonly accept: Accept
  readonly deliver: Deliver
  readonly authenticate: Authenticate
  /** The newest `published` frame of a log, for somebody who has just subscribed. */
  published(log: LogName): string | undefined
  /** A client has said who it is. A session that it still has elsewhere is superseded. */
  onWelcome(session: Session): void
  onClose(session: Session): void
}

type Hello = FrameOf<'hello'>

/** One link. */
export class Session {
  readonly #world: SessionWorld
  readonly #socket: Socket
  readonly #address: string | undefined
  readonly #lane: Lane
  readonly #subscriptions: Subscriptions
  readonly #id: string
  #stage: 'hello' | 'authenticating' | 'open' | 'closed' = 'hello'
  #hello: Hello | undefined
  #principal: Principal | undefined
  #heardAt: number
  #isRenewing = false
  #nextToken: string | undefined
  #cancelHello: Cancel = () => {}
  #cancelSilence: Cancel = () => {}
  #cancelExpiry: Cancel = () => {}

  constructor(world: SessionWorld, socket: Socket, address?: string) {
    const { system, limits } = world
    this.#world = world
    this.#socket = socket
    this.#address = address
    this.#id = system.uuid()
    this.#heardAt = system.mono()
    this.#cancelHello = system.after(fixedLimits.helloMsMax, () => {
      this.fail(new TidemarkError('HELLO_TIMEOUT'))
    })
    this.#lane = new Lane({
      limits,
      prepare: (batch, lines) => {
        const attempt = toAttempt(world.rules, this.principal, batch, lines)
        return attempt instanceof Promise ? ask(system, () => attempt) : attempt
      },
      onReady: () => world.accept.ready(this.#lane),
      answer: (frame) => this.#send(frame),
      onTrouble: (error) => {
        world.logger.warn({ event: 'authorize-failed', session: this.#id, err: error }, 'later')
        return world.accept.retryAfterMs()
      },
      onViolation: (error) => this.fail(error),
    })
    this.#subscriptions = new Subscriptions({
      ...world,
      mayRead: (log) => this.#mayRead(log),
      published: (log) => world.published(log),
      send: (frame) => this.#send(frame),
      sendBytes: (message) => this.#sendBytes(message),
      onTrouble: (error) => {
        const fields = { event: 'subscribe-failed', session: this.#id, err: error }
        world.logger.warn(fields, 'a subscription could not be opened yet')
      },
    })
  }

  /** One client of one author is one session: the key by which a newer one supersedes it. */
  get key(): string {
    return `${this.principal.author}\n${this.#hello?.clientId}`
  }

  /** Has it been welcomed? */
  get isWelcome(): boolean {
    return this.#principal !== undefined
  }

  /** Whom the gateway takes the client for. */
  get principal(): Principal {
    assert(this.#principal, 'the session has been welcomed')
    return this.#principal
  }

  /** The other side is alive, also where it said nothing that is a message. */
  heard(): void {
    this.#heardAt = this.#world.system.mono()
  }

  /** A message has come. Never throws. */
  onMessage(message: string): void {
    if (this.#stage === 'closed') return
    this.heard()
    try {
      this.#bound(message)
      this.#dispatch(parseClientFrame(message))
    } catch (error) {
      this.fail(error)
    }
  }

  /** A message that is not text has come. */
  onBinary(): void {
    this.fail(new TidemarkError('BAD_FRAME', { reason: 'not a text message' }))
  }

  /** The connection is gone. */
  onClose(): void {
    if (this.#stage === 'closed') return
    this.#stage = 'closed'
    this.#cancelHello()
    this.#cancelSilence()
    this.#cancelExpiry()
    this.#lane.close()
    this.#subscriptions.close()
    this.#world.onClose(this)
  }

  /** Tells the client what was wrong, and ends the link where the table of errors has a close code for it. */
  fail(error: unknown): void {
    if (this.#stage === 'closed') return
    const { logger } = this.#world
    if (!isTidemarkError(error)) {
      logger.error({ event: 'session-failed', session: this.#id, err: error }, 'a session failed')
      return this.goAway(this.#world.accept.retryAfterMs())
    }
    const { code, details } = error
    this.#send({ type: 'error', code, details })
    const closeCode = closeCodes[code]
    if (closeCode === undefined) return
    logger.info({ event: 'session-ended', session: this.#id, code }, 'a link was ended')
    this.#end(closeCode, code)
  }

  /** Sends the client away, to come back no sooner than in `retryAfterMs`. */
  goAway(retryAfterMs: number): void {
    if (this.#stage === 'closed') return
    this.#send({ type: 'goaway', retryAfterMs })
    this.#end(closeCodes.GOING_AWAY ?? 1001, 'GOING_AWAY')
  }

  #end(code: number, reason: string): void {
    this.onClose()
    this.#socket.close(code, reason)
  }

  #send(frame: GatewayFrame): void {
    this.#sendBytes(writeFrame(frame))
  }

  #sendBytes(message: string | Uint8Array): void {
    if (this.#stage !== 'closed') this.#socket.send(message)
  }

  #bound(message: string): void {
    const { frameBytesMax } = this.#world.limits
    const max = this.#stage === 'hello' ? fixedLimits.helloLengthMax : frameBytesMax
    if (message.length > max) {
      throw new TidemarkError('FRAME_TOO_LARGE', { bytes: message.length, max })
    }
  }

  #dispatch(frame: ClientFrame): void {
    if (this.#stage === 'hello' && frame.type !== 'hello') {
      throw new TidemarkError('BAD_FRAME', { reason: 'the first frame is not hello' })
    }
    if (this.#stage === 'authenticating' && frame.type !== 'ping') {
      throw new TidemarkError('BAD_FRAME', { reason: 'a frame before welcome' })
    }
    switch (frame.type) {
      case 'hello':
        return this.#onHello(frame)
      case 'subscribe':
        return this.#subscriptions.subscribe(frame)
      case 'unsubscribe':
        return this.#subscriptions.unsubscribe(frame)
      case 'submit':
        return this.#lane.submit(frame)
      case 'applied':
        return this.#subscriptions.applied(frame)
      case 'reauth':
        return void this.#reauth(frame.token).catch((error: unknown) => this.fail(error))
      case 'ping':
        return this.#send({ type: 'pong' })
      default:
        return unreachable(frame)
    }
  }

  #onHello(hello: Hello): void {
    if (this.#stage !== 'hello') throw new TidemarkError('BAD_FRAME', { reason: 'a second hello' })
    this.#cancelHello()
    const [min, max] = [protocolVersion, protocolVersion]
    if (hello.protocolMax < min)
      throw new TidemarkError('WRONG_VERSION', { old: 'client', min, max })
    if (hello.protocolMin > max)
      throw new TidemarkError('WRONG_VERSION', { old: 'gateway', min, max })
    this.#subscriptions.checkCount(hello.subscriptions.length)
    this.#stage = 'authenticating'
    this.#hello = hello
    this.#watchSilence()
    this.#welcome(hello).catch((error: unknown) => this.fail(error))
  }

  async #welcome(hello: Hello): Promise<void> {
    const { limits, onWelcome } = this.#world
    const principal = await this.#authenticate(hello.token)
    if (!principal || this.#stage !== 'authenticating') return
    this.#setPrincipal(principal)
    this.#stage = 'open'
    onWelcome(this)
    const { author } = principal
    this.#send({ type: 'welcome', protocol: protocolVersion, session: this.#id, author, limits })
    for (const each of hello.subscriptions) this.#subscriptions.subscribe(each)
  }

  /** Who has this token. Where that cannot be said, the link ends and there is no answer. */
  async #authenticate(token: string | undefined): Promise<Principal | undefined> {
    const { system, authenticate, accept, logger } = this.#world
    const clientId = this.#hello?.clientId ?? ''
    try {
      const credentials = { token, clientId, address: this.#address }
      const principal = await ask(system, () => authenticate(credentials))
      if (principal && isAuthor(principal.author)) return principal
      const reason = principal ? 'nobody can have this name' : 'the token was not accepted'
      this.fail(new TidemarkError('UNAUTHENTICATED', { reason }))
    } catch (error) {
      if (isTidemarkError(error, 'UNAUTHENTICATED')) this.fail(error)
      else {
        logger.warn({ event: 'authenticate-failed', session: this.#id, err: error }, 'sent away')
        this.goAway(accept.retryAfterMs())
      }
    }
    return undefined
  }

  #setPrincipal(principal: Principal): void {
    const { system } = this.#world
    this.#principal = principal
    this.#cancelExpiry()
    if (principal.expiresAt === undefined) return
    const expire = (): void => {
      this.fail(new TidemarkError('UNAUTHENTICATED', { reason: 'the token has expired' }))
    }
    // A timer holds at most 2^31 - 1 ms; a token that lives longer is looked at again then.
    const ms = Math.min(Math.max(0, principal.expiresAt - system.now()), 2 ** 31 - 1)
    this.#cancelExpiry = system.after(ms, () => {
      if (system.now() >= (principal.expiresAt ?? 0)) expire()
      else this.#setPrincipal(principal)
    })
  }

  /** One renewal at a time. Of the tokens that come meanwhile only the newest is looked at, and so it wins. */
  async #reauth(token: string): Promise<void> {
    this.#nextToken = token
    if (this.#isRenewing) return
    this.#isRenewing = true
    try {
      while (this.#nextToken !== undefined && this.#stage === 'open') {
        const next = this.#nextToken
        this.#nextToken = undefined
        await this.#renew(next)
      }
    } finally {
      this.#isRenewing = false
    }
  }

  async #renew(token: string): Promise<void> {
    const before = this.principal
    const principal = await this.#authenticate(token)
    if (!principal || this.#stage !== 'open') return
    if (principal.author !== before.author) {
      const details = { expected: before.author, actual: principal.author }
      return this.fail(new TidemarkError('WRONG_USER', details))
    }
    this.#setPrincipal(principal)
    await this.#subscriptions.recheck()
  }

  async #mayRead(log: LogName): Promise<boolean> {
    const { system, rules } = this.#world
    const { authorize } = rules
    return (
      rules.topics.has(log.topic) && (await mayRead({ system, authorize }, this.principal, log))
    )
  }

  #watchSilence(): void {
    const { system, limits } = this.#world
    const check = (): void => {
      const silent = system.mono() - this.#heardAt
      const ms = limits.silenceMsMax
      if (silent >= ms) this.fail(new TidemarkError('SILENT', { ms }))
      else this.#cancelSilence = system.after(Math.ceil(ms - silent), check)
    }
    this.#cancelSilence = system.after(limits.silenceMsMax, check)
  }
}
