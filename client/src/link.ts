/**
 * One link to the gateway: connects, says hello with the cursors of this device, hands frames to the hops,
 * and notices when the other side has gone silent or nothing comes forward. Whatever ends it, the next
 * link starts from what is on the disk.
 */
import {
  badFrame,
  type ClientFrame,
  closeCodes,
  type Connect,
  Doorbell,
  type ErrorCode,
  type FrameOf,
  type GatewayFrame,
  isTidemarkError,
  type LogName,
  parseGatewayFrame,
  protocolVersion,
  type Socket,
  TidemarkError,
  unreachable,
  writeFrame,
} from '@tidemark/shared'
import { type Apply, type ApplyPorts, openApply, subscriptionOf } from './apply.ts'
import type { Hints } from './hints.ts'
import type { Session } from './session.ts'
import type { Identity } from './store/store.ts'
import { Submit, type SubmitPorts } from './submit.ts'
import { type Asked, keepToken, type TokenPorts } from './token.ts'

/** What a link needs. */
export interface LinkPorts extends ApplyPorts, SubmitPorts, TokenPorts {
  readonly url: string
  readonly connect: Connect
  readonly hints: Hints
  readonly identity: Identity
  /** The logs to read. */
  readonly logs: readonly LogName[]
  /** The newest version that this client knows of each event type. */
  readonly versions: Readonly<Record<string, number>>
  /** Whom the gateway must take this client for, where it has a token to tell. */
  readonly user: string | undefined
  readonly onLimits: (limits: FrameOf<'welcome'>['limits']) => void
  readonly onError: (error: unknown) => void
}

/** How a link ended. */
export interface LinkEnd {
  readonly code?: ErrorCode | undefined
  readonly details?: unknown
  /** What the gateway asked for. */
  readonly retryAfterMs: number
  readonly isWelcomed: boolean
  /** It has brought a verdict or entries. */
  readonly hasBrought: boolean
}

type Happened =
  | { readonly type: 'open' }
  | { readonly type: 'message'; readonly message: string }
  | { readonly type: 'close'; readonly code: number }

/** From connecting to the welcome. */
const welcomeMsMax = 10_000
/** Between a goaway and the close that it announces. */
const goodbyeMsMax = 5_000
/** For the answer to a ping, when something hints that the link may be gone. */
const probeMs = 5_000
/** Without a step forward. */
const progressMsMax = 30_000

/** Runs one link to its end. */
export async function runLink(
  ports: LinkPorts,
  token: Asked,
  signal: AbortSignal,
): Promise<LinkEnd> {
  const link = new Link(ports, token)
  return link.run(signal)
}

class Link implements Session {
  readonly #ports: LinkPorts
  readonly #token: Asked
  readonly #inbox: Happened[] = []
  readonly #bell = new Doorbell()
  readonly #life = new AbortController()
  #socket: Socket | undefined
  #submit: Submit | undefined
  #apply: Apply | undefined
  #silenceMsMax = 45_000
  #retryAfterMs = 0
  #end: Pick<LinkEnd, 'code' | 'details'> | undefined
  #hasBrought = false
  /** All by the monotonic clock. */
  #heardAt: number
  #sentAt: number
  /** The first ping without an answer, and when one was due. */
  #askedAt: number | undefined
  #answerBy = Infinity
  #endBy: number
  #answeredAt: number
  #uploadedAt: number
  #downloadedAt: number
  readonly signal: AbortSignal = this.#life.signal

  constructor(ports: LinkPorts, token: Asked) {
    this.#ports = ports
    this.#token = token
    const now = ports.system.mono()
    this.#heardAt = this.#sentAt = now
    this.#answeredAt = this.#uploadedAt = this.#downloadedAt = now
    this.#endBy = now + welcomeMsMax
  }

  async run(signal: AbortSignal): Promise<LinkEnd> {
    const { connect, url, hints, replica } = this.#ports
    const happened = (what: Happened): void => {
      this.#inbox.push(what)
      this.#bell.ring()
    }
    this.#socket = connect(url, {
      onOpen: () => happened({ type: 'open' }),
      onMessage: (message) => happened({ type: 'message', message }),
      onClose: (code) => happened({ type: 'close', code }),
    })
    const stopHints = hints.listen(() => this.#probe())
    replica.onRows(() => this.#bell.ring())
    while (!this.#end && !signal.aborted) {
      await this.#bell.waitAtMost(this.#ports.system, this.#tickMs(), signal)
      this.#work()
    }
    stopHints()
    replica.onRows(() => undefined)
    this.#life.abort()
    this.#socket.close(...this.#farewell())
    return {
      ...this.#end,
      retryAfterMs: this.#retryAfterMs,
      isWelcomed: this.#submit !== undefined,
      hasBrought: this.#hasBrought,
    }
  }

  send(frame: ClientFrame): void {
    if (this.#end) return
    this.#sentAt = this.#ports.system.mono()
    this.#socket?.send(writeFrame(frame))
  }

  onProgress(direction: 'upload' | 'download'): void {
    this.#hasBrought = true
    this.#moved(direction)
  }

  onRead(log: LogName, isBehind?: boolean): void {
    this.#submit?.read(log, isBehind)
    this.#moved('download')
  }

  #moved(direction: 'upload' | 'download'): void {
    const now = this.#ports.system.mono()
    if (direction === 'upload') this.#answeredAt = this.#uploadedAt = now
    else this.#downloadedAt = now
    const { status } = this.#ports
    if (status.getSnapshot().stalled === direction) status.patch({ stalled: undefined })
  }

  fail(error: unknown): void {
    if (isTidemarkError(error)) this.#finish(error.code, error.details)
    else {
      this.#ports.onError(error)
      this.#finish(undefined)
    }
    this.#bell.ring()
  }

  #work(): void {
    try {
      for (const what of this.#inbox.splice(0)) if (!this.#end) this.#takeIn(what)
      if (this.#end) return
      this.#submit?.pump()
      this.#watch(this.#ports.system.mono())
    } catch (error) {
      this.fail(error)
    }
  }

  #takeIn(what: Happened): void {
    switch (what.type) {
      case 'open':
        return this.#hello()
      case 'message':
        this.#heardAt = this.#ports.system.mono()
        this.#askedAt = undefined
        this.#answerBy = Infinity
        return this.#takeFrame(parseGatewayFrame(what.message))
      case 'close':
        return this.#finish(this.#end?.code ?? codeOfClose(what.code))
      default:
        return unreachable(what)
    }
  }

  #hello(): void {
    const { identity, logs, replica, versions } = this.#ports
    const { token } = this.#token
    this.send({
      type: 'hello',
      protocolMin: protocolVersion,
      protocolMax: protocolVersion,
      clientId: identity.clientId,
      incarnation: identity.incarnation,
      ...(token !== undefined && { token }),
      versions,
      subscriptions: logs.map((log) => subscriptionOf(replica, log)),
    })
  }

  #takeFrame(frame: GatewayFrame): void {
    switch (frame.type) {
      case 'welcome':
        return this.#welcome(frame)
      case 'error':
        return this.#takeError(frame)
      case 'goaway':
        this.#retryAfterMs = frame.retryAfterMs
        this.#endBy = this.#ports.system.mono() + goodbyeMsMax
        return
      case 'pong':
        return
      case 'published':
        return this.#ports.replica.published(frame, frame)
      case 'verdicts':
        return this.#hops().submit.verdicts(frame)
      case 'blocked':
      case 'hold':
      case 'later':
        this.#answeredAt = this.#ports.system.mono()
        return this.#hops().submit.goBack(frame)
      case 'subscribed':
      case 'deliver':
      case 'caughtUp':
      case 'reset':
      case 'revoked':
        return this.#hops().apply.take(frame)
      default:
        return unreachable(frame)
    }
  }

  #welcome({ protocol, author, limits }: FrameOf<'welcome'>): void {
    const { user, status, logs, onLimits } = this.#ports
    if (this.#submit || protocol !== protocolVersion) {
      throw badFrame('welcome: not asked for')
    }
    if (user !== undefined && author !== user) {
      throw new TidemarkError('WRONG_USER', { expected: user, actual: author })
    }
    this.#endBy = Infinity
    this.#silenceMsMax = limits.silenceMsMax
    onLimits(limits)
    status.patch({ link: 'online', linkError: undefined })
    this.#apply = openApply(this.#ports, this, logs)
    this.#submit = new Submit(this.#ports, this, limits, logs)
    const { signal } = this
    void keepToken(this.#ports, { signal, send: (frame) => this.send(frame) }, this.#token)
  }

  #hops(): { readonly submit: Submit; readonly apply: Apply } {
    if (!this.#submit || !this.#apply) {
      throw badFrame('welcome: not yet')
    }
    return { submit: this.#submit, apply: this.#apply }
  }

  #takeError({ code, details }: FrameOf<'error'>): void {
    const log = details as Partial<LogName> | undefined
    if (code === 'FORBIDDEN' && log?.topic !== undefined && log.scope !== undefined) {
      return this.#apply?.forbidden({ topic: log.topic, scope: log.scope })
    }
    // A gateway that is older does not know a frame of ours, and goes on.
    if (code !== 'UNKNOWN_FRAME') this.#finish(code, details)
  }

  #finish(code: ErrorCode | undefined, details?: unknown): void {
    this.#end ??= { code, details }
  }

  #farewell(): [code: number, reason: string] {
    const code = this.#end?.code
    const closeCode = (code && closeCodes[code]) ?? 1000
    // Browsers allow 1000 and 3000 to 4999 to be said.
    return [closeCode >= 3000 ? closeCode : 1000, code ?? '']
  }

  /** Asks whether the other side is still there, without the patience of the ordinary ping. */
  #probe(): void {
    if (!this.#submit || this.#end) return
    this.#ask(probeMs)
    this.#bell.ring()
  }

  #ask(patienceMs: number): void {
    const now = this.#ports.system.mono()
    this.#askedAt ??= now
    this.#answerBy = Math.min(this.#answerBy, now + patienceMs)
    this.send({ type: 'ping' })
  }

  #tickMs(): number {
    const now = this.#ports.system.mono()
    return Math.max(1, Math.min(this.#endBy - now, this.#answerBy - now, this.#silenceMsMax / 6))
  }

  #watch(now: number): void {
    if (now >= this.#endBy || now >= this.#answerBy) {
      return this.#finish('SILENT', { ms: now - this.#heardAt })
    }
    if (!this.#submit || !this.#apply) return
    const third = this.#silenceMsMax / 3
    const isQuiet = now - this.#heardAt >= third && this.#askedAt === undefined
    if (isQuiet || now - this.#sentAt >= third) this.#ask(2 * third)
    this.#watchProgress(this.#submit, this.#apply, now)
  }

  /** What should move and does not is said, and where an answer is due, the link is given up. */
  #watchProgress(submit: Submit, apply: Apply, now: number): void {
    const { status } = this.#ports
    if (!submit.isWaiting()) this.#answeredAt = now
    if (!submit.hasWork()) this.#moved('upload')
    if (!apply.isWaiting()) this.#moved('download')
    const isStuck = (since: number): boolean => now - since >= progressMsMax
    const stalled = isStuck(this.#uploadedAt)
      ? 'upload'
      : isStuck(this.#downloadedAt)
        ? 'download'
        : undefined
    if (stalled) status.patch({ stalled })
    if (isStuck(this.#answeredAt) || isStuck(this.#downloadedAt)) {
      this.#finish('SILENT', { ms: progressMsMax })
    }
  }
}

const codes = Object.entries(closeCodes) as [ErrorCode, number][]

const codeOfClose = (closeCode: number): ErrorCode | undefined =>
  codes.find(([, each]) => each === closeCode)?.[0]
