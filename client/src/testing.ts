/**
 * For tests: a clock that goes when it is told to, locks and doorbells between tabs of one process, and a
 * gateway that says what the test tells it to say.
 */
import {
  type Broadcast,
  type ClientFrame,
  type Connect,
  type Cursor,
  defaultLimits,
  type EventId,
  type FrameOf,
  type GatewayFrame,
  type Limits,
  type Locks,
  type LogName,
  parseClaim,
  parseClientFrame,
  type Position,
  type SocketHandlers,
  type Source,
  system as realSystem,
  type System,
  writeEntry,
  writeFrame,
} from '@tidemark/shared'

/** A `System` whose time passes only in `advance`. */
export interface TestSystem extends System {
  /** Lets everything happen that is due within `ms` milliseconds, in order. */
  advance(ms: number): Promise<void>
  /** Lets everything happen that waits for no clock. */
  settle(): Promise<void>
  /** How many timers are waiting. */
  timers(): number
}

/** Rounds of real macrotasks that promises get to come to rest. Storage fakes take a few for a transaction. */
const settleRounds = 12

/** A clock at a fixed start, random numbers from a seed, ids that count up. */
export function createTestSystem({ seed = 1, startMs = 1_790_000_000_000 } = {}): TestSystem {
  let nowMs = 0
  let state = seed >>> 0
  let ids = 0
  let order = 0
  const timers = new Set<{
    readonly at: number
    readonly order: number
    readonly run: () => void
  }>()
  const random = (): number => {
    // Mulberry32.
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const settle = async (): Promise<void> => {
    for (let round = 0; round < settleRounds; round++) await realSystem.breathe()
  }
  const next = (until: number) =>
    [...timers].filter(({ at }) => at <= until).sort((a, b) => a.at - b.at || a.order - b.order)[0]
  return {
    now: () => startMs + nowMs,
    mono: () => nowMs,
    after(ms, run) {
      const timer = { at: nowMs + Math.max(0, ms), order: order++, run }
      timers.add(timer)
      return () => void timers.delete(timer)
    },
    breathe: () => realSystem.breathe(),
    random,
    uuid() {
      ids += 1
      const tail = (ids * 65_536 + (seed & 0xffff)).toString(16).padStart(12, '0')
      return `0198c0de-0000-7000-8000-${tail}`
    },
    async advance(ms) {
      const until = nowMs + ms
      await settle()
      for (let timer = next(until); timer; timer = next(until)) {
        timers.delete(timer)
        nowMs = Math.max(nowMs, timer.at)
        timer.run()
        await settle()
      }
      nowMs = until
    },
    settle,
    timers: () => timers.size,
  }
}

/** Locks and broadcasts among clients of one process, as tabs of one origin have them. */
export function createTestTabs(): { readonly locks: Locks; broadcast(): TestBroadcast } {
  return { locks: new TestLocks(), broadcast: createTestBroadcasts() }
}

/** Locks as the Web Locks API has them: in the order of the requests, unless one steals. */
class TestLocks implements Locks {
  readonly #holders = new Map<string, AbortController>()
  readonly #waiting = new Map<string, (() => void)[]>()

  async request(...[name, { signal, steal }, hold]: Parameters<Locks['request']>): Promise<void> {
    if (steal) this.#holders.get(name)?.abort()
    else if (this.#holders.has(name)) await this.#wait(name, signal)
    if (signal?.aborted) return
    const mine = new AbortController()
    this.#holders.set(name, mine)
    try {
      await hold(mine.signal)
    } finally {
      if (this.#holders.get(name) === mine) {
        this.#holders.delete(name)
        this.#waiting.get(name)?.shift()?.()
      }
    }
  }

  #wait(name: string, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const waiting = this.#waiting.get(name) ?? []
      this.#waiting.set(name, waiting)
      waiting.push(resolve)
      const giveUp = (): void => {
        const at = waiting.indexOf(resolve)
        if (at >= 0) waiting.splice(at, 1)
        resolve()
      }
      signal?.addEventListener('abort', giveUp, { once: true })
    })
  }
}

/** A tab's end of the broadcasts. While it is frozen it hears nothing, and what was said is lost to it. */
export interface TestBroadcast extends Broadcast {
  isFrozen: boolean
}

function createTestBroadcasts(): () => TestBroadcast {
  const members = new Set<(message: unknown) => void>()
  return () => {
    const mine = new Set<(message: unknown) => void>()
    const hear = (message: unknown): void => {
      if (!broadcast.isFrozen) mine.forEach((heard) => heard(message))
    }
    members.add(hear)
    const broadcast: TestBroadcast = {
      isFrozen: false,
      post(message) {
        for (const member of members) {
          if (member !== hear) void Promise.resolve().then(() => member(message))
        }
      },
      listen(heard) {
        mine.add(heard)
        return () => void mine.delete(heard)
      },
      close: () => void members.delete(hear),
    }
    return broadcast
  }
}

/** The gateway's end of one connection of a client under test. */
export interface TestConnection {
  /** What the client has sent and `expect` has not taken yet. */
  readonly received: ClientFrame[]
  /** Why the client closed it. */
  closed: { readonly code: number; readonly reason: string } | undefined
  open(): void
  send(...frames: readonly GatewayFrame[]): void
  sendText(text: string): void
  /** Ends the connection from the gateway's side. */
  drop(code?: number, reason?: string): void
}

/** A `Connect` whose other ends are in the test's hands. */
export function createTestNetwork(): {
  readonly connect: Connect
  readonly connections: readonly TestConnection[]
} {
  const connections: TestConnection[] = []
  const connect: Connect = (_url, handlers) => {
    const connection = createConnection(handlers)
    connections.push(connection)
    return {
      send: (message) => {
        const text = typeof message === 'string' ? message : new TextDecoder().decode(message)
        if (!connection.closed) connection.received.push(parseClientFrame(text))
      },
      close(code, reason) {
        if (connection.closed) return
        connection.closed = { code, reason }
        handlers.onClose(code, reason)
      },
    }
  }
  return { connect, connections }
}

function createConnection(handlers: SocketHandlers): TestConnection {
  const connection: TestConnection = {
    received: [],
    closed: undefined,
    open: () => handlers.onOpen(),
    send: (...frames) => frames.forEach((frame) => connection.sendText(writeFrame(frame))),
    sendText(text) {
      if (!connection.closed) handlers.onMessage(text)
    },
    drop(code = 1006, reason = '') {
      if (connection.closed) return
      connection.closed = { code, reason }
      handlers.onClose(code, reason)
    },
  }
  return connection
}

/** A welcome with the default limits, or others. */
export const welcome = (author = 'ann', limits: Partial<Limits> = {}): FrameOf<'welcome'> => ({
  type: 'welcome',
  protocol: 1,
  session: '0198c0de-5e55-7000-8000-000000000000',
  author,
  limits: { ...defaultLimits, ...limits },
})

/** A log of a gateway that exists only in the test: gives submitted lines their place and delivers them. */
export class TestLog {
  readonly name: LogName
  epoch: Cursor['epoch']
  readonly lines: string[] = []
  readonly #revisions = new Map<string, number>()

  constructor(name: LogName, epoch = '0198c0de-e90c-7000-8000-000000000001') {
    this.name = name
    this.epoch = epoch as Cursor['epoch']
  }

  get head(): Position {
    return this.lines.length as Position
  }

  /** Appends claim lines and answers with the verdict on them as one batch. */
  append(
    lines: readonly string[],
    author = 'ann',
    source: Source = 'client',
  ): FrameOf<'verdicts'>['verdicts'][number] {
    const position = (this.head + 1) as Position
    const claims = lines.map((line) => parseClaim(line))
    const batch = lines.length > 1 ? claims[0]?.id : undefined
    const revisions = lines.map((line, at) => {
      const stream = claims[at]?.stream ?? ''
      const revision = (this.#revisions.get(stream) ?? 0) + 1
      this.#revisions.set(stream, revision)
      const placement = { position: this.head + 1, revision, receivedAt: 1, author, batch }
      this.lines.push(writeEntry({ ...placement, source }, line))
      return revision
    })
    return { position, revisions }
  }

  subscribed(): FrameOf<'subscribed'> {
    return { type: 'subscribed', ...this.name, epoch: this.epoch, head: this.head }
  }

  deliver(after = 0, upTo: number = this.head): FrameOf<'deliver'> {
    return {
      type: 'deliver',
      ...this.name,
      epoch: this.epoch,
      after: after as Position,
      upTo: upTo as Position,
      entries: this.lines.slice(after, upTo),
    }
  }

  caughtUp(): FrameOf<'caughtUp'> {
    return { type: 'caughtUp', ...this.name, upTo: this.head }
  }

  idAt(position: number): EventId {
    const line = this.lines[position - 1] ?? ''
    return (JSON.parse(line) as { event: { id: EventId } }).event.id
  }
}
