/**
 * The one door for untrusted text. A frame is a line of JSON, and the events it carries are the lines
 * after it, one each, so the bytes that an author wrote can be stored, hashed and passed on unread.
 * Nothing here recurses deeper than its bound, and a key named `__proto__` never gets in.
 */
import { TidemarkError } from './errors.ts'
import { type Claim, type Entry, type LogName, namePattern, uuidPattern } from './event.ts'
import {
  type ClientFrame,
  clientFrames,
  type GatewayFrame,
  gatewayFrames,
  linesOf,
} from './frames.ts'
import { defaultLimits, fixedLimits } from './limits.ts'
import { type Check, integer, optional, record, text } from './shape.ts'

/** What the other side said makes no sense. */
export const badFrame = (reason: string, cause?: unknown): TidemarkError<'BAD_FRAME'> =>
  new TidemarkError('BAD_FRAME', { reason }, { cause })

/** Says why `value` must not be let in (nested too deep, or a key that poisons prototypes), or nothing. */
export function findPoison(value: unknown, depthMax: number): string | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  if (depthMax <= 0) return 'nested too deep'
  if (Array.isArray(value)) {
    for (const item of value) {
      const found = findPoison(item, depthMax - 1)
      if (found) return found
    }
    return undefined
  }
  for (const key of Object.keys(value)) {
    if (key === '__proto__') return 'a key named __proto__'
    const found = findPoison((value as Record<string, unknown>)[key], depthMax - 1)
    if (found) return found
  }
  return undefined
}

/** Parses one line of JSON into an object. Throws `BAD_FRAME`. */
export function parseJsonObject(line: string, depthMax: number): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch (cause) {
    throw badFrame('not JSON', cause)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw badFrame('not an object')
  }
  const poison = findPoison(value, depthMax)
  if (poison) throw badFrame(poison)
  return value as Record<string, unknown>
}

function parseFrame(message: string, checks: Readonly<Record<string, Check<unknown>>>): unknown {
  const end = message.indexOf('\n')
  const frame = parseJsonObject(end < 0 ? message : message.slice(0, end), defaultLimits.depthMax)
  const { type } = frame
  if (typeof type !== 'string') throw badFrame('type: not a string')
  const check = Object.hasOwn(checks, type) ? checks[type] : undefined
  if (!check) throw new TidemarkError('UNKNOWN_FRAME', { type: type.slice(0, 64) })
  const wrong = check(frame, type)
  if (wrong) throw badFrame(wrong)
  const lines = linesOf[type]
  if (lines) frame[lines] = end < 0 ? [] : message.slice(end + 1).split('\n')
  return frame
}

/** What a client sent. Throws `BAD_FRAME` or `UNKNOWN_FRAME`. The event lines of a submit are not read yet. */
export const parseClientFrame = (message: string): ClientFrame =>
  parseFrame(message, clientFrames) as ClientFrame

/** What a gateway sent. Throws `BAD_FRAME` or `UNKNOWN_FRAME`. The entry lines of a deliver are not read yet. */
export const parseGatewayFrame = (message: string): GatewayFrame =>
  parseFrame(message, gatewayFrames) as GatewayFrame

const claimShape = {
  id: text(36, uuidPattern),
  stream: text(fixedLimits.streamLengthMax),
  type: text(fixedLimits.nameLengthMax, namePattern),
  version: integer(1),
  occurredAt: integer(Number.MIN_SAFE_INTEGER),
  causationId: optional(text(36, uuidPattern)),
  correlationId: optional(text(128)),
  traceparent: optional(text(128)),
}
const claimCheck = record(claimShape)

/** The event on a submitted line. Throws `BAD_FRAME`; `data` is not checked against its schema here. */
export function parseClaim(line: string, depthMax = defaultLimits.depthMax): Claim {
  const claim = parseJsonObject(line, depthMax + 1)
  const wrong = claimCheck(claim, 'event')
  if (wrong) throw badFrame(wrong)
  if (claim['data'] === undefined) throw badFrame('event.data: missing')
  return claim as unknown as Claim
}

const author = text(256)

/** Can this be an author: 1 to 256 characters, without a control character or half of a pair? */
export const isAuthor = (value: unknown): value is string => !author(value, 'author')

const entryCheck = record({
  position: integer(1),
  revision: integer(1),
  receivedAt: integer(0),
  source: text(6),
  author,
  batch: optional(text(36, uuidPattern)),
  event: record(claimShape),
})

/** The entry on a delivered line of `log`. Throws `BAD_FRAME`. */
export function parseEntry({ topic, scope }: LogName, line: string): Entry {
  const placed = parseJsonObject(line, defaultLimits.depthMax + 2)
  const wrong = entryCheck(placed, 'entry')
  if (wrong) throw badFrame(wrong)
  const { event, ...placement } = placed as { event: object }
  return { topic, scope, ...event, ...placement } as Entry
}
