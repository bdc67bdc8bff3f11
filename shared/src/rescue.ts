/**
 * The file that brings what a device could not send to another one, or to the gateway itself: a line that
 * says whose it is and what it holds, then one line for each batch, with its events as their author wrote
 * them. The checksum tells a damaged file from a whole one; it is no signature.
 */
import { TidemarkError } from './errors.ts'
import { type EventId, type LogName, namePattern } from './event.ts'
import { isAuthor, parseClaim, parseJsonObject } from './parse.ts'

/** A batch that waited on a device. */
export interface RescuedBatch extends LogName {
  /** The events as their author wrote them. */
  readonly lines: readonly string[]
  /** The pending event that it was decided on. */
  readonly after?: EventId | undefined
  readonly expectedRevision?: number | undefined
  /** What a command was asked for: the client's own business. */
  readonly decision?: unknown
}

/** Whose a rescue file is. */
export interface RescueOrigin {
  /** The device's database. */
  readonly clientId: string
  /** The author of everything in it. */
  readonly user: string
  readonly scope: string
  /** By the device's clock, in ms since 1970. */
  readonly exportedAt: number
}

/** A rescue file, read. The batches are in the order of their appends. */
export interface Rescue extends RescueOrigin {
  readonly batches: readonly RescuedBatch[]
}

const format = 'tidemark-rescue'
const newest = 1
/** Deeper than any event that a client takes, so that only a foreign file stumbles over it. */
const depthMax = 64

/** Writes a rescue file, as NDJSON. */
export async function writeRescue(
  { clientId, user, scope, exportedAt }: RescueOrigin,
  batches: readonly RescuedBatch[],
): Promise<string> {
  const body = batches.map((batch) => `${JSON.stringify(toRecord(batch))}\n`).join('')
  const counts = { batches: batches.length, sha256: await sha256(body) }
  const origin = { clientId, user, scope, exportedAt }
  return `${JSON.stringify({ format, version: newest, ...origin, ...counts })}\n${body}`
}

/** Reads a rescue file. Throws `RESCUE_INVALID` for whatever is none, or not a whole one. */
export async function parseRescue(text: string): Promise<Rescue> {
  const end = text.indexOf('\n')
  const header = readHeader(text.slice(0, Math.max(0, end)))
  const body = text.slice(end + 1)
  const actual = header.sha256 === undefined ? undefined : await sha256(body)
  if (actual !== undefined && actual !== header.sha256) throw invalid('it is damaged')
  const batches = body
    .split('\n')
    .slice(0, -1)
    .map((line, at) => readBatch(line, at + 2, header.scope))
  if (batches.length !== header.batches) throw invalid('a part of it is missing')
  const { clientId, user, scope, exportedAt } = header
  return { clientId, user, scope, exportedAt, batches }
}

const invalid = (reason: string): TidemarkError => new TidemarkError('RESCUE_INVALID', { reason })

const toRecord = ({ topic, scope, lines, after, expectedRevision, decision }: RescuedBatch) => ({
  topic,
  scope,
  after,
  expectedRevision,
  decision,
  lines,
})

interface Header extends RescueOrigin {
  readonly batches: number
  /** Left out by pages that are not served securely: they have no digest. */
  readonly sha256?: string
}

function readHeader(line: string): Header {
  const header = readObject(line)
  if (header?.['format'] !== format) throw invalid('it is no rescue file of Tidemark')
  const { version, clientId, user, scope, exportedAt, batches, sha256: sum } = header
  if (version !== newest) throw invalid(`its format is ${String(version)}, not ${newest}`)
  const isOfSomebody =
    typeof clientId === 'string' &&
    clientId !== '' &&
    isAuthor(user) &&
    typeof scope === 'string' &&
    namePattern.test(scope)
  const areNumbers = [exportedAt, batches].every((number) => Number.isSafeInteger(number))
  if (!isOfSomebody || !areNumbers || !(sum === undefined || typeof sum === 'string')) {
    throw invalid('its first line does not say whose it is')
  }
  return header as unknown as Header
}

function readBatch(line: string, at: number, scope: string): RescuedBatch {
  const batch = readObject(line) as Partial<RescuedBatch> | undefined
  const { topic, after, expectedRevision, lines } = batch ?? {}
  const isWhole =
    typeof topic === 'string' &&
    batch?.scope === scope &&
    Array.isArray(lines) &&
    lines.length > 0 &&
    (after === undefined || typeof after === 'string') &&
    (expectedRevision === undefined || Number.isSafeInteger(expectedRevision))
  if (!isWhole) throw invalid(`line ${at} is no batch`)
  for (const each of lines) {
    try {
      parseClaim(each, depthMax)
    } catch {
      throw invalid(`line ${at} holds what is no event`)
    }
  }
  return batch as RescuedBatch
}

function readObject(line: string): Record<string, unknown> | undefined {
  try {
    return parseJsonObject(line, depthMax)
  } catch {
    return undefined
  }
}

/** In hexadecimal digits; nothing where the page is not served securely. */
async function sha256(text: string): Promise<string | undefined> {
  const subtle = globalThis.crypto?.subtle as SubtleCrypto | undefined
  if (!subtle) return undefined
  const digest = await subtle.digest('SHA-256', new TextEncoder().encode(text))
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('')
}
