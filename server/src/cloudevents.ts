/**
 * Entries to CloudEvents 1.0 messages, and messages of any decent publisher back to events. The data of
 * an event passes through as the bytes that its author wrote; docs/bus.md tables every attribute.
 */
import {
  type Claim,
  defaultLimits,
  type Entry,
  type Epoch,
  fixedLimits,
  isTidemarkError,
  type LogName,
  namePattern,
  parseClaim,
  parseEntry,
  TidemarkError,
  uuidPattern,
} from '@tidemark/shared'
import { v5 } from 'uuid'
import { type Attributes, firstIdOf, type Message, type Received } from './broker/broker.ts'
import { memberText } from './json.ts'

/** Ids that are no UUIDs become UUIDs in this namespace, by their source and themselves. */
const foreignIds = '6f2c9f0e-5d0b-5c1a-9a3e-2f6f7c1d8b44'

/** The content type of a message whose body holds the attributes too. */
const structuredType = /^application\/cloudevents\+json\b/i
/** Content types whose body is JSON. None at all is taken for JSON too. */
const jsonType = /^(?:application|text)\/(?:[\w.+-]+\+)?json\b/i

/** What a message says. */
export interface Heard {
  readonly scope: string
  /** Who says that they published it: whoever may send to the topic can claim anything here. */
  readonly author: string
  /** The event as a claim line, byte for byte the same whenever this message is read. */
  readonly line: string
  /** The event that the line says. */
  readonly claim: Claim
  /** Of the log that has published it, if a gateway did. */
  readonly epoch: string | undefined
}

/** A longer key is no broker's, so nothing could be said about such a stream. */
const { keyLengthMax } = defaultLimits

const encoder = new TextEncoder()

/** The `source` of the events of a log. */
export const sourceOf = ({ topic, scope }: LogName): string => `/${topic}/${scope}`

/**
 * The message that carries an entry of `log`, given as the line that subscribers read. Whoever has
 * parsed the line already hands over the entry too. Throws `BAD_FRAME` where the line is none.
 */
export function toMessage(
  log: LogName,
  epoch: Epoch,
  line: string,
  entry: Entry = parseEntry(log, line),
): Message {
  const data = memberText(claimText(line), 'data') ?? 'null'
  return {
    id: entry.id,
    key: `${log.scope}/${entry.stream}`,
    attributes: attributesOf(log, epoch, entry),
    body: encoder.encode(data),
    correlationId: entry.correlationId ?? entry.batch ?? entry.id,
  }
}

const eventMark = ',"event":'

/** The author's line inside an entry's. It is the last member, and no text before it has a quote that is not escaped. */
const claimText = (line: string): string =>
  line.slice(line.indexOf(eventMark) + eventMark.length, -1)

function attributesOf(log: LogName, epoch: Epoch, entry: Entry): Attributes {
  const time = toTime(entry.occurredAt)
  return {
    specversion: '1.0',
    id: entry.id,
    source: sourceOf(log),
    type: entry.type,
    subject: entry.stream,
    ...(time === undefined ? {} : { time }),
    datacontenttype: 'application/json',
    scope: log.scope,
    // Everything travels as text: CloudEvents' integers end at 2^31, and every client library has its own idea
    // of a number in an AMQP property.
    schemaversion: String(entry.version),
    author: entry.author,
    epoch,
    position: String(entry.position),
    revision: String(entry.revision),
    ...(entry.causationId === undefined ? {} : { causationid: entry.causationId }),
    ...(entry.correlationId === undefined ? {} : { correlationid: entry.correlationId }),
    ...(entry.traceparent === undefined ? {} : { traceparent: entry.traceparent }),
    ...(entry.batch === undefined ? {} : { batch: entry.batch }),
  }
}

/**
 * The event that a message of `topic` carries: a CloudEvent in binary or structured mode, or a plain
 * JSON body whose type, id and stream stand in the broker's own fields. Throws `MESSAGE_MALFORMED`.
 */
export function fromMessage(topic: string, received: Received): Heard {
  const { attributes, data } = openBody(received)
  const source = textOf(attributes['source']) ?? `/${topic}`
  const scope = findScope(attributes, received)
  // What a gateway published is all in its attributes. What stands beside them is the broker's or its SDK's, and
  // would be bytes that the author never wrote: an echo has to be known for the author's own event.
  const epoch = uuidOf(attributes['epoch'])
  const beside = epoch
    ? {}
    : { correlationId: received.correlationId, traceparent: received.properties['Diagnostic-Id'] }
  const head = {
    id: findId(attributes, received, source),
    stream: findStream(attributes, received, scope),
    type: findType(attributes, received),
    version: wholeNumber(attributes['schemaversion'] ?? received.properties['schemaversion']) ?? 1,
    occurredAt: toMs(attributes['time']) ?? received.enqueuedAt,
    causationId: uuidOf(attributes['causationid']),
    correlationId: shortText(attributes['correlationid'] ?? beside.correlationId, 128),
    traceparent: shortText(attributes['traceparent'] ?? beside.traceparent, 128),
  }
  const line = `${JSON.stringify(head).slice(0, -1)},"data":${data}}`
  const claim = toClaim(line)
  const { length } = `${scope}/${claim.stream}`
  if (length > keyLengthMax) {
    throw malformed(`scope/stream has ${length} characters, and may have ${keyLengthMax}`)
  }
  const author = shortText(attributes['author'], 256) ?? shortText(source, 256) ?? topic
  return { scope, author, line, claim, epoch }
}

function toClaim(line: string): Claim {
  try {
    return parseClaim(line)
  } catch (error) {
    throw isTidemarkError(error, 'BAD_FRAME') ? malformed(error.details.reason, error) : error
  }
}

/**
 * Is a message for the readers of this subscription? What is sent again for one subscription names it in the
 * attribute `onlyfor`; the filter that `tidemark provision` writes keeps it from the others, and this is for those
 * that have no filter.
 */
export function isMeantFor({ attributes, properties }: Received, subscription: string): boolean {
  const onlyFor = textOf(attributes['onlyfor'] ?? properties['onlyfor'])
  return onlyFor === undefined || onlyFor.toLowerCase() === subscription.toLowerCase()
}

/** The attributes and the data of a message, whatever mode it is in. */
function openBody(received: Received): { attributes: Attributes; data: string } {
  const contentType = textOf(received.attributes['datacontenttype']) ?? ''
  if (/^application\/cloudevents-batch/i.test(contentType)) {
    throw malformed('several CloudEvents in one message are not read: send one each')
  }
  const text = decode(received.body)
  if (structuredType.test(contentType)) return openStructured(text)
  if (contentType !== '' && !jsonType.test(contentType)) {
    throw malformed(`the content type is ${contentType.slice(0, 100)}, not JSON`)
  }
  const specversion = received.attributes['specversion']
  if (specversion !== undefined && !/^1\.\d+$/.test(String(specversion))) {
    throw malformed(`CloudEvents ${String(specversion).slice(0, 20)} is not read, 1.0 is`)
  }
  return { attributes: received.attributes, data: text.trim() === '' ? 'null' : oneLine(text) }
}

function openStructured(text: string): { attributes: Attributes; data: string } {
  const envelope = parseJson(text)
  if (typeof envelope !== 'object' || envelope === null || Array.isArray(envelope)) {
    throw malformed('a structured CloudEvent is a JSON object')
  }
  const members = Object.entries(envelope)
  const plain = members.filter(([, value]) =>
    ['string', 'number', 'boolean'].includes(typeof value),
  )
  const attributes = Object.fromEntries(plain) as Attributes
  if (!/^1\.\d+$/.test(String(attributes['specversion']))) {
    throw malformed('specversion: not 1.0')
  }
  const encoded = textOf(attributes['data_base64'])
  if (encoded !== undefined)
    return { attributes, data: oneLine(decode(Buffer.from(encoded, 'base64'))) }
  return { attributes, data: oneLine(memberText(text, 'data') ?? 'null') }
}

function findId(attributes: Attributes, received: Received, source: string): string {
  const given = textOf(attributes['id']) ?? textOf(firstIdOf(received))
  if (given === undefined) throw malformed('no id: neither a CloudEvents id nor a message id')
  return uuidOf(given) ?? v5(`${source}\n${given}`, foreignIds)
}

function findScope(attributes: Attributes, { key, properties }: Received): string {
  const slash = key.indexOf('/')
  const scope =
    textOf(attributes['scope'] ?? properties['scope']) ??
    (slash > 0 && namePattern.test(key.slice(0, slash)) ? key.slice(0, slash) : 'default')
  if (!namePattern.test(scope) || scope.length > fixedLimits.nameLengthMax) {
    throw malformed('scope: not a name of letters, digits, dots, dashes and underscores')
  }
  return scope
}

function findStream(attributes: Attributes, received: Received, scope: string): string {
  const { key, properties } = received
  const stream = textOf(attributes['subject'] ?? properties['stream'])
  if (stream !== undefined) return stream
  if (key.startsWith(`${scope}/`) && key.length > scope.length + 1)
    return key.slice(scope.length + 1)
  return textOf(key) ?? textOf(attributes['id']) ?? firstIdOf(received)
}

function findType(attributes: Attributes, { label, properties }: Received): string {
  const type = textOf(attributes['type'] ?? label ?? properties['type'])
  if (type === undefined) {
    throw malformed('no type: neither a CloudEvents type, nor a subject, nor a property named type')
  }
  return type
}

const textOf = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== ''
    ? value
    : typeof value === 'number'
      ? String(value)
      : undefined

/** Text that may be stored: cut to its bound, without control characters and halves of characters. */
const shortText = (value: unknown, lengthMax: number): string | undefined =>
  textOf(
    textOf(value)
      ?.slice(0, lengthMax)
      .replaceAll(/\p{Cc}|\p{Cs}/gu, ''),
  )

/** A UUID in the one form that we keep, from the forms in which .NET and Java write them. */
function uuidOf(value: unknown): string | undefined {
  if (typeof value !== 'string') return undefined
  const lower = value.toLowerCase()
  if (uuidPattern.test(lower)) return lower
  const [, a, b, c, d, e] = /^\{?(.{8})-?(.{4})-?(.{4})-?(.{4})-?(.{12})\}?$/.exec(lower) ?? []
  const dashed = [a, b, c, d, e].join('-')
  return uuidPattern.test(dashed) ? dashed : undefined
}

const wholeNumber = (value: unknown): number | undefined => {
  const number = typeof value === 'string' && /^\d{1,16}$/.test(value) ? Number(value) : value
  return Number.isSafeInteger(number) && (number as number) > 0 ? (number as number) : undefined
}

const toMs = (value: unknown): number | undefined => {
  const ms = typeof value === 'string' ? Date.parse(value) : Number.NaN
  return Number.isNaN(ms) ? undefined : ms
}

/** RFC 3339 knows the years 0 to 9999; a clock that claims another one claims no time. */
const toTime = (ms: number): string | undefined =>
  ms >= -62_167_219_200_000 && ms < 253_402_300_800_000 ? new Date(ms).toISOString() : undefined

function decode(body: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body)
  } catch (cause) {
    throw malformed('the body is not UTF-8', cause)
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw malformed('the body is not JSON', cause)
  }
}

/** JSON without line breaks: outside of strings they mean nothing, and inside they are not allowed. */
function oneLine(json: string): string {
  parseJson(json)
  return json.replaceAll(/[\r\n]+\s*/g, ' ').trim()
}

const malformed = (reason: string, cause?: unknown): TidemarkError<'MESSAGE_MALFORMED'> =>
  new TidemarkError('MESSAGE_MALFORMED', { reason }, { cause })
