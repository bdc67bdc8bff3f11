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
  type System,
  uuidPattern,
} from '@tidemark/shared'
import type { FastifyInstance } from 'fastify'
import type { Log } from '../log/log.ts'
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
/** A feed that follows asks anew after this long whether it still may, in ms. */
const askAgainMs = 60_000
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

  app.get('/feed/:topic/:scope', async (request, reply) => {
    const principal = await guard.principalOf(request)
    if (isDenied(principal)) return deny(reply, principal)
    const start = readStart(request.params, request.query)
    if (isDenied(start)) return deny(reply, start)
    const { name, after, id } = start
    const isAllowed = topics.has(name.topic) && (await guard.mayRead(principal, name))
    if (!isAllowed) return deny(reply, forbidden(name))
    if (feeds >= feedsMax || stop.signal.aborted) return deny(reply, busy)
    const { epoch, position: head } = await log.head(name)
    const stands = await findStand(log, name, epoch, after, id, head)
    if (stands !== after) {
      return reply
        .code(409)
        .send({ error: 'RESET', epoch, position: stands, message: resetMessage })
    }
    const over = new AbortController()
    const isOver = AbortSignal.any([over.signal, stop.signal])
    const lines = start.follow
      ? followLog(options, start, principal, isOver)
      : readLog(log, name, after, head)
    // Readable.from asks for the next page when the one before it has left: that is the backpressure.
    const stream = Readable.from(lines, { highWaterMark: 1 })
    feeds += 1
    stream.once('close', () => {
      feeds -= 1
      over.abort()
    })
    return reply
      .header('content-type', 'application/x-ndjson')
      .header('tidemark-epoch', epoch)
      .header('tidemark-head', String(head))
      .header('cache-control', 'no-store')
      .send(stream)
  })
  return () => stop.abort()
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

/** All entries after a position, those to come too, until `over` or until the reader may not read them any more. */
async function* followLog(
  { log, guard, system }: FeedOptions,
  { name, after }: Start,
  principal: Principal,
  over: AbortSignal,
): AsyncGenerator<string> {
  const bell = new Doorbell()
  const stopHearing = log.onAppend((logs) => {
    if (logs.some((each) => logKey(each) === logKey(name))) bell.ring()
  })
  let askedAt = system.mono()
  try {
    for (let position = after; !over.aborted;) {
      if ((principal.expiresAt ?? Infinity) <= system.now()) return
      if (system.mono() - askedAt >= askAgainMs) {
        if (!(await guard.mayRead(principal, name))) return
        askedAt = system.mono()
      }
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
/** The same answer where the log does not exist, so that nobody learns which ones do. */
const forbidden = ({ topic, scope }: LogName): Denied => ({
  status: 403,
  error: 'FORBIDDEN',
  message: `You may not read ${topic}/${scope}, or it does not exist.`,
})
