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
import type { Attributes, Broker, Message, Received, Settlement } from './broker.ts'

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
  const bytes = sizeOf(message)
  const max = limits.messageBytesMax
  return bytes > max ? new TidemarkError('MESSAGE_TOO_LARGE', { bytes, max }) : undefined
}

/** At least what the message takes when it is encoded, in bytes: every name and value has its own header. */
function sizeOf(message: Message): number {
  const { key, attributes, body, correlationId = '' } = message
  let bytes = 256 + body.byteLength + Buffer.byteLength(messageIdOf(message) + key + correlationId)
  for (const [name, value] of Object.entries(attributes)) {
    bytes += prefix.length + name.length + Buffer.byteLength(String(value)) + 16
  }
  return bytes
}

const messageIdOf = ({ id, resend }: Message): string =>
  resend === undefined ? id : `${id}#${resend}`

/** How CloudEvents names its attributes in AMQP; the form with a colon is read too. */
const prefix = 'cloudEvents_'

/** A message as the SDK sends it: CloudEvents in AMQP binary mode. */
export function toServiceBus(message: Message): ServiceBusMessage {
  const { key, attributes, body, correlationId, properties } = message
  const label = message.label ?? attributes['type']
  const { datacontenttype, ...others } = attributes
  const prefixed = Object.entries(others).map(([name, value]) => [prefix + name, value])
  const applicationProperties = { ...properties, ...Object.fromEntries(prefixed) }
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
  for (const [name, value] of Object.entries(original.applicationProperties ?? {})) {
    if (value === null || value === undefined) continue
    const plain = value instanceof Date ? value.toISOString() : value
    const [, attribute] = /^cloudEvents[_:](.+)$/.exec(name) ?? []
    if (attribute === undefined) properties[name] = plain
    else attributes[attribute] = plain
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
