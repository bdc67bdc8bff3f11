/**
 * Messages between the port and the SDK: CloudEvents attributes as application properties `cloudEvents_*`, the
 * body as the bytes that it is, and the settlements that the SDK has a method for each.
 */
import type {
  ServiceBusMessage,
  ServiceBusReceivedMessage,
  ServiceBusReceiver,
} from '@azure/service-bus'
import { TidemarkError } from '@tidemark/shared'
import {
  type Attributes,
  type Broker,
  type Message,
  type Received,
  resendProperty,
  type Settlement,
} from './broker.ts'

/** Why a message cannot be sent whatever happens, if so. */
export function findUnsendable(
  message: Message,
  limits: Broker['limits'],
): TidemarkError | undefined {
  const { id, key } = message
  const longest = Math.max(key.length, messageIdOf(message).length)
  if (longest > limits.keyLengthMax) {
    return new TidemarkError('KEY_TOO_LONG', {
      key: key.length > limits.keyLengthMax ? key : id,
      max: limits.keyLengthMax,
    })
  }
  const max = limits.messageBytesMax
  const bytes = sizeOf(message, max)
  return bytes > max ? new TidemarkError('MESSAGE_TOO_LARGE', { bytes, max }) : undefined
}

/**
 * At least what the message takes when it is encoded, in bytes: every name and value has its own header.
 * Characters are counted as three bytes each, and exactly only where that would be more than `max`.
 */
function sizeOf(message: Message, max: number): number {
  const { key, attributes, body, correlationId = '' } = message
  const texts = [messageIdOf(message), key, correlationId]
  let bytes = 256 + body.byteLength
  for (const name in attributes) {
    bytes += prefix.length + 16
    texts.push(name, String(attributes[name]))
  }
  let characters = 0
  for (const text of texts) characters += text.length
  if (bytes + characters * 3 <= max) return bytes + characters * 3
  return bytes + Buffer.byteLength(texts.join(''))
}

const messageIdOf = ({ id, resend }: Message): string =>
  resend === undefined ? id : `${id}#${resend}`

/** How CloudEvents names its attributes in AMQP; the form with a colon is read too. */
const prefix = 'cloudEvents_'

/** Prefixed names, made once each: there are few, and every message has most of them. */
const prefixedNames = new Map<string, string>()

function prefixed(name: string): string {
  let known = prefixedNames.get(name)
  if (known === undefined) {
    known = prefix + name
    // Names come from outside: a bound keeps a stranger from filling the memory with them.
    if (prefixedNames.size < 1_000) prefixedNames.set(name, known)
  }
  return known
}

/** A message as the SDK sends it: CloudEvents in AMQP binary mode. */
export function toServiceBus(message: Message): ServiceBusMessage {
  const { key, attributes, body, correlationId, properties, resend } = message
  const label = message.label ?? attributes['type']
  const { datacontenttype } = attributes
  const applicationProperties: Record<string, string | number | boolean> = { ...properties }
  if (resend !== undefined) applicationProperties[resendProperty] = resend
  for (const name in attributes) {
    const value = attributes[name]
    if (value !== undefined && name !== 'datacontenttype') {
      applicationProperties[prefixed(name)] = value
    }
  }
  return {
    messageId: messageIdOf(message),
    // A Buffer goes as it is; anything else would be written as JSON.
    body: Buffer.from(body.buffer, body.byteOffset, body.byteLength),
    applicationProperties,
    ...(key === '' ? {} : { sessionId: key }),
    ...(correlationId === undefined ? {} : { correlationId }),
    ...(typeof datacontenttype === 'string' ? { contentType: datacontenttype } : {}),
    ...(typeof label === 'string' ? { subject: label } : {}),
  }
}

/** A message as the SDK hands it over, whoever sent it. */
export function fromServiceBus(original: ServiceBusReceivedMessage): Received {
  const attributes: Record<string, string | number | boolean> = {}
  const properties: Record<string, string | number | boolean> = {}
  const sent = original.applicationProperties ?? {}
  for (const name in sent) {
    const value = sent[name]
    if (value === null || value === undefined) continue
    const plain = value instanceof Date ? value.toISOString() : value
    if (isPrefixed(name)) attributes[name.slice(prefix.length)] = plain
    else properties[name] = plain
  }
  if (original.contentType !== undefined) attributes['datacontenttype'] = original.contentType
  return {
    id: String(original.messageId ?? ''),
    key: original.sessionId ?? '',
    attributes: attributes satisfies Attributes,
    body: bodyOf(original.body),
    correlationId:
      original.correlationId === undefined ? undefined : String(original.correlationId),
    label: original.subject,
    properties,
    sequence: original.sequenceNumber?.toString(),
    enqueuedAt: original.enqueuedTimeUtc?.getTime() ?? 0,
    deliveries: (original.deliveryCount ?? 0) + 1,
    lockedUntil: original.lockedUntilUtc?.getTime() ?? 0,
  }
}

const isPrefixed = (name: string): boolean =>
  name.startsWith('cloudEvents') && name.length > prefix.length && '_:'.includes(name[11] ?? ' ')

/** Is the AMQP link gone by which this message came? A message that says nothing of it is taken at its word. */
export function isCutOff(original: ServiceBusReceivedMessage): boolean {
  const { delivery } = original as {
    readonly delivery?: { readonly link?: { is_open?(): boolean } }
  }
  return delivery?.link?.is_open?.() === false
}

/** The body as bytes, also where its publisher sent an AMQP value instead of data. */
function bodyOf(body: unknown): Uint8Array {
  if (Buffer.isBuffer(body)) return body
  if (body === undefined || body === null) return Buffer.alloc(0)
  return Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))
}

/** Settles a message as the port says it. */
export function apply(
  receiver: ServiceBusReceiver,
  original: ServiceBusReceivedMessage,
  settlement: Settlement,
): Promise<void> {
  switch (settlement.type) {
    case 'complete':
      return receiver.completeMessage(original)
    case 'abandon':
      return receiver.abandonMessage(original)
    case 'deadLetter':
      return receiver.deadLetterMessage(original, {
        deadLetterReason: settlement.reason.slice(0, 4_096),
        deadLetterErrorDescription: settlement.description.slice(0, 4_096),
      })
  }
}
