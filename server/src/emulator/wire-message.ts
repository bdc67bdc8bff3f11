/**
 * Messages between their encoded form and the broker's core. Properties, application properties and
 * body are kept as they came; a delivery is those bytes behind a header and annotations of our own.
 */
import { openCompound, readList, readMap, readValue, skipValue } from './amqp-reader.ts'
import { AmqpWriter } from './amqp-writer.ts'
import type { Envelope, Stored } from './core/message.ts'

/** What the emulator keeps of a message that it was sent. */
export interface WireMessage {
  /** From the properties to the end. */
  readonly bare: Buffer
  readonly partitionKey: string | undefined
}

/** Where the sections of a message begin, by their code: 0x70 header, … 0x75 to 0x77 body, 0x78 footer. */
type Sections = ReadonlyMap<number, number>

const bodies = [0x75, 0x76, 0x77]

/** Finds the sections of an encoded message; their values follow the descriptor. Throws where it is none. */
function findSections(bytes: Buffer): Sections {
  const sections = new Map<number, number>()
  let at = 0
  while (at < bytes.length) {
    if (bytes[at] !== 0) throw new RangeError('a section without a descriptor')
    const code = Number(readValue(bytes, at + 1).value)
    if (!sections.has(code)) sections.set(code, at)
    at = skipValue(bytes, at)
    // The body is the last thing to look for, and may be large in many parts.
    if (bodies.includes(code)) break
  }
  return sections
}

/** Where the value of the section at `at` begins. */
const valueAt = (bytes: Buffer, at: number): number => skipValue(bytes, at + 1)

/** Reads what the core must know of an encoded message. Throws where it cannot be read. */
export function openMessage(bytes: Buffer, newId: () => string): Envelope {
  const sections = findSections(bytes)
  const listAt = (code: number): readonly unknown[] => {
    const at = sections.get(code)
    return at === undefined ? [] : readList(bytes, valueAt(bytes, at))
  }
  const mapAt = (code: number): Readonly<Record<string, unknown>> => {
    const at = sections.get(code)
    return at === undefined ? {} : readMap(bytes, valueAt(bytes, at))
  }
  const [, , ttl] = listAt(0x70)
  const annotations = mapAt(0x72)
  const [
    id,
    ,
    to,
    subject,
    replyTo,
    correlationId,
    contentType,
    ,
    ,
    ,
    sessionId,
    ,
    replyToSession,
  ] = listAt(0x73)
  const scheduled = annotations['x-opt-scheduled-enqueue-time']
  const bareAt = Math.min(
    ...[...sections].filter(([code]) => code >= 0x73).map(([, at]) => at),
    bytes.length,
  )
  const bare = bytes.subarray(bareAt)
  const messageId = textOf(id) ?? newId()
  let properties: Envelope['properties'] | undefined
  const wire: WireMessage = {
    bare: id === undefined ? withId(bare, sections.get(0x73) !== undefined, messageId) : bare,
    partitionKey: textOf(annotations['x-opt-partition-key']),
  }
  return {
    messageId,
    sessionId: textOf(sessionId),
    correlationId: textOf(correlationId),
    subject: textOf(subject),
    to: textOf(to),
    replyTo: textOf(replyTo),
    replyToSessionId: textOf(replyToSession),
    contentType: textOf(contentType),
    bytes: bytes.length,
    ttlMs: typeof ttl === 'number' ? ttl : undefined,
    scheduledAt: scheduled instanceof Date ? scheduled.getTime() : undefined,
    get properties() {
      properties ??= mapAt(0x74)
      return properties
    },
    payload: wire,
  }
}

/** The messages of a batch: each is an encoded message in a data section of its own. */
export function openBatch(bytes: Buffer): readonly Buffer[] {
  const messages: Buffer[] = []
  for (let at = 0; at < bytes.length; at = skipValue(bytes, at)) {
    if (Number(readValue(bytes, at + 1).value) !== 0x75) continue
    const { value } = readValue(bytes, valueAt(bytes, at))
    if (Buffer.isBuffer(value)) messages.push(value)
  }
  return messages
}

/** What a delivery or a peek tells about a stored message. */
export function encodeStored(stored: Stored): Buffer {
  const { bare, partitionKey } = stored.envelope.payload as WireMessage
  const writer = new AmqpWriter()
  writer.section(0x70).compound(0xd0, 5, headerOf(stored))
  const annotations = new AmqpWriter()
  annotations.symbol('x-opt-enqueued-time').timestamp(stored.enqueuedAt)
  annotations.symbol('x-opt-sequence-number').long(stored.sequence)
  annotations.symbol('x-opt-enqueue-sequence-number').long(stored.sequence)
  annotations
    .symbol('x-opt-message-state')
    .int(stored.state === 'deferred' || stored.wasDeferred ? 1 : 0)
  let count = 8
  if (stored.lock) {
    annotations.symbol('x-opt-locked-until').timestamp(stored.lock.until)
    count += 2
  }
  if (partitionKey !== undefined) {
    annotations.symbol('x-opt-partition-key').text(partitionKey)
    count += 2
  }
  if (stored.deadLetterSource !== undefined) {
    annotations.symbol('x-opt-deadletter-source').text(stored.deadLetterSource)
    count += 2
  }
  writer.section(0x72).compound(0xd1, count, annotations.finish())
  return writer.raw(stored.changes ? withChanges(bare, stored.changes) : bare).finish()
}

function headerOf({ failures, expiresAt, enqueuedAt }: Stored): Buffer {
  const header = new AmqpWriter().null().null()
  if (expiresAt === Infinity) header.null()
  else header.uint(Math.min(expiresAt - enqueuedAt, 4_294_967_295))
  return header.null().uint(failures).finish()
}

/** Gives a message the id that it came without: receivers tell messages apart by it. */
function withId(bare: Buffer, hasProperties: boolean, id: string): Buffer {
  const writer = new AmqpWriter().section(0x73)
  const idText = new AmqpWriter().text(id).finish()
  if (!hasProperties) return writer.compound(0xd0, 1, idText).raw(bare).finish()
  const at = valueAt(bare, 0)
  const { start, end, count } = openCompound(bare, at)
  const rest = count === 0 ? bare.subarray(end, end) : bare.subarray(skipValue(bare, start), end)
  return writer
    .compound(0xd0, Math.max(1, count), Buffer.concat([idText, rest]))
    .raw(bare.subarray(end))
    .finish()
}

/** Sets application properties, and leaves all others as they are encoded. */
function withChanges(bare: Buffer, changes: Readonly<Record<string, unknown>>): Buffer {
  const at = findSections(bare).get(0x74)
  const items = new AmqpWriter()
  let count = 0
  // Without the section, the new one goes between the properties and the body.
  let before = at ?? (readValue(bare, 1).value === 0x73 ? skipValue(bare, 0) : 0)
  let after = before
  if (at !== undefined) {
    const map = openCompound(bare, valueAt(bare, at))
    for (let place = map.start; place < map.end;) {
      const key = readValue(bare, place)
      const next = skipValue(bare, key.end)
      if (!Object.hasOwn(changes, String(key.value))) {
        items.raw(bare.subarray(place, next))
        count += 2
      }
      place = next
    }
    after = map.end
    before = at
  }
  for (const [key, value] of Object.entries(changes)) {
    items.text(key).value(value)
    count += 2
  }
  return new AmqpWriter()
    .raw(bare.subarray(0, before))
    .section(0x74)
    .compound(0xd1, count, items.finish())
    .raw(bare.subarray(after))
    .finish()
}

/** Ids may be texts, numbers or UUIDs in AMQP. */
const textOf = (value: unknown): string | undefined =>
  typeof value === 'string'
    ? value
    : typeof value === 'number' || typeof value === 'bigint'
      ? String(value)
      : undefined
