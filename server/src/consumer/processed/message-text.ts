/** A message as text, for a column of a table: readable where its body is, and always the same bytes again. */
import type { Message } from '../../broker/broker.ts'

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const encoder = new TextEncoder()

/** The text that keeps a message. */
export function writeMessage({ id, key, attributes, correlationId, body }: Message): string {
  const head = { id, key, correlationId, attributes }
  try {
    return JSON.stringify({ ...head, body: strict.decode(body) })
  } catch {
    // The body is not UTF-8, so it is not ours: some other producer's bytes are kept as they came.
    return JSON.stringify({ ...head, bodyBase64: Buffer.from(body).toString('base64') })
  }
}

/** The message that a text keeps. */
export function parseMessage(text: string): Message {
  const { body, bodyBase64, ...head } = JSON.parse(text) as Omit<Message, 'body'> & {
    readonly body?: string
    readonly bodyBase64?: string
  }
  const bytes = body === undefined ? Buffer.from(bodyBase64 ?? '', 'base64') : encoder.encode(body)
  return { ...head, body: bytes }
}
