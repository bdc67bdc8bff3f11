/**
 * History over HTTP, for a service that comes late: the entries of a log as lines of JSON, from a position on.
 * It reads no faster than it is read, ends at the head that it met or follows, and is resumed by the last position.
 */
import { Readable } from 'node:stream'
import {
  Doorbell,
  type EventId,
  type Epoch,
  fixedLimits,
  logKey,
  type LogName,
  namePattern,
  type Position,
  sleep,
  type System,
  uuidPattern,
} from '@tidemark/shared'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Log } from '../log/log.ts'
import type { Logger } from '../logger.ts'
import type { Principal } from '../permission.ts'
import { type Denied, deny, type Guard, isDenied } from './guard.ts'

/** What the feed serves. */
export interface FeedOptions {
  readonly guard: Guard
  readonly log: Log
  readonly topics: readonly { readonly name: string }[]
  readonly system: System
}

/** One read of the log, in UTF-16 code units. So much is held for each reader, twice. */
const pageLengthMax = 131_072
/** A feed that follows looks again after this long, and says an empty line, so that a dead reader is noticed. In ms. */
const quietMsMax = 15_000
/** A feed asks anew after this long whether it still may, in ms. */
const askAgainMs = 60_000
/** What a feed that has to end may take to do so by itself, in ms. */
const endMsMax = 2_000
/** Feeds at one time. */
const feedsMax = 200

/** Where a feed starts. */
interface Start {
  readonly name: LogName
  readonly after: Position
  /** The entry that the reader has at `after`, if it says so: then a restored log is noticed. */
  readonly id: EventId | undefined
  readonly follow: boolean
}

/** Mounts `GET /feed/:topic/:scope?after=&id=&follow=`. Returned: what ends all feeds. */
export function serveFeed(app: FastifyInstance, options: FeedOptions): () => void {
  const { guard, log } = options
  const topics = new Set(options.topics.map(({ name }) => name))
  const stop = new AbortController()
  let feeds = 0

  async function serve(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const principal = await guard.principalOf(request)
    if (isDenied(principal)) return deny(reply, principal)
    const start = readStart(request.params, request.query)
    if (isDenied(start)) return deny(reply, start)
    const { name, after, id } = start
    const isAllowed = topics.has(name.topic) && (await guard.mayRead(principal, name))
    if (!isAllowed) return deny(reply, forbidden(name))
    const { epoch, position: head } = await log.head(name)
    const stands = await findStand(log, name, epoch, after, id, head)
    if (stands !== after) {
      return reply
        .code(409)
        .send({ error: 'RESET', epoch, position: stands, message: resetMessage })
    }
    if (feeds >= feedsMax || stop.signal.aborted) return deny(reply, busy)
    const { log: logger } = request
    const stream = openStream(options, start, { principal, head, stop: stop.signal, logger })
    feeds += 1
    stream.once('close', () => (feeds -= 1))
    return reply
      .header('content-type', 'application/x-ndjson')
      .header('tidemark-epoch', epoch)
      .header('tidemark-head', String(head))
      .header('cache-control', 'no-store')
      .send(stream)
  }

  app.get('/feed/:topic/:scope', async (request, reply) => {
    try {
      return await serve(request, reply)
    } catch (error) {
      request.log.error({ event: 'feed-failed', err: error }, 'a feed was not opened')
      return deny(reply, unavailable)
    }
  })
  return () => stop.abort()
}

/** What else a stream needs to know. */
interface Reading {
  readonly principal: Principal
  readonly head: Position
  readonly stop: AbortSignal
  readonly logger: Pick<Logger, 'warn'>
}

/** The entries as text. It ends with its reader's permission and with `stop`, also where nobody reads it. */
function openStream(options: FeedOptions, start: Start, reading: Reading): Readable {
  const { log, system } = options
  const { principal, head, stop, logger } = reading
  const over = new AbortController()
  const closed = new AbortController()
  const isOver = AbortSignal.any([over.signal, closed.signal, stop])
  const lines = start.follow
    ? followLog(options, start, isOver)
    : readLog(log, start.name, start.after, head)
  // Readable.from asks for the next page when the one before it has left: that is the backpressure.
  const stream = Readable.from(lines, { highWaterMark: 1 })
  stream.once('close', () => closed.abort())
  const endInTime = async (): Promise<void> => {
    await whileAllowed(options, principal, start.name, isOver).catch((error: unknown) => {
      logger.warn({ event: 'authorize-failed', err: error }, 'a feed was ended')
    })
    over.abort()
    // Where its reader stands still the stream waits for it, and would for ever.
    await sleep(system, endMsMax, closed.signal)
    stream.destroy()
  }
  void endInTime()
  return stream
}

const resetMessage =
  'The log was restored from a copy, or this position was never in it: go back to `position`.'

/** Where the reader may go on: at `after`, or at an earlier place where it has to go back to. */
async function findStand(
  log: Log,
  name: LogName,
  epoch: Epoch,
  after: Position,
  id: EventId | undefined,
  head: Position,
): Promise<Position> {
  if (after > head) return head
  return id === undefined ? after : await log.locate(name, { epoch, position: after, id })
}

/** The entries after `after`, up to the head that was met and perhaps a little further. */
async function* readLog(
  log: Log,
  name: LogName,
  after: Position,
  head: Position,
): AsyncGenerator<string> {
  for (let position = after; position < head;) {
    const { upTo, chunks } = await log.read(name, position, pageLengthMax)
    if (upTo === position) return
    yield toText(chunks)
    position = upTo
  }
}

/** Resolves when a log may not be read any more, or with `over`. Rejects where that cannot be found out. */
async function whileAllowed(
  { guard, system }: FeedOptions,
  principal: Principal,
  name: LogName,
  over: AbortSignal,
): Promise<void> {
  const leftMs = (): number => (principal.expiresAt ?? Infinity) - system.now()
  do {
    await sleep(system, Math.min(Math.max(0, leftMs()), askAgainMs), over)
  } while (!over.aborted && leftMs() > 0 && (await guard.mayRead(principal, name)))
}

/** All entries after a position, those to come too, until `over`. */
async function* followLog(
  { log, system }: FeedOptions,
  { name, after }: Start,
  over: AbortSignal,
): AsyncGenerator<string> {
  const bell = new Doorbell()
  const stopHearing = log.onAppend((logs) => {
    if (logs.some((each) => logKey(each) === logKey(name))) bell.ring()
  })
  try {
    for (let position = after; !over.aborted;) {
      const { upTo, chunks } = await log.read(name, position, pageLengthMax)
      if (upTo > position) yield toText(chunks)
      else if (await isQuiet(system, bell, over)) yield '\n'
      position = upTo
    }
  } finally {
    stopHearing()
  }
}

/** Waits for a ring. True where none came. */
async function isQuiet(system: System, bell: Doorbell, over: AbortSignal): Promise<boolean> {
  let isLate = false
  const cancel = system.after(quietMsMax, () => {
    isLate = true
    bell.ring()
  })
  await bell.wait(over)
  cancel()
  return isLate
}

const toText = (chunks: readonly string[]): string => `${chunks.join('\n')}\n`

function readStart(params: unknown, query: unknown): Start | Denied {
  const { topic = '', scope = '' } = params as { topic?: string; scope?: string }
  const {
    after = '0',
    id,
    follow = 'false',
  } = query as Readonly<Record<string, string | undefined>>
  for (const name of [topic, scope]) {
    if (!namePattern.test(name) || name.length > fixedLimits.nameLengthMax) {
      return bad('The path names a topic and a scope: /feed/inventory/shop-7.')
    }
  }
  const position = /^\d{1,15}$/.test(after) ? Number(after) : undefined
  if (position === undefined) return bad('`after` is a position, 0 for all of the log.')
  if (id !== undefined && !uuidPattern.test(id))
    return bad('`id` is the id of the entry at `after`.')
  if (follow !== 'true' && follow !== 'false') return bad('`follow` is true or false.')
  return {
    name: { topic, scope },
    after: position as Position,
    id: position === 0 ? undefined : (id as EventId | undefined),
    follow: follow === 'true',
  }
}

const bad = (message: string): Denied => ({ status: 400, error: 'BAD_REQUEST', message })
const busy: Denied = { status: 503, error: 'TOO_MANY', message: `${feedsMax} feeds are open.` }
const unavailable: Denied = {
  status: 503,
  error: 'UNAVAILABLE',
  message: 'It cannot be read now. The gateway’s own log says why.',
}
/** The same answer where the log does not exist, so that nobody learns which ones do. */
const forbidden = ({ topic, scope }: LogName): Denied => ({
  status: 403,
  error: 'FORBIDDEN',
  message: `You may not read ${topic}/${scope}, or it does not exist.`,
})
