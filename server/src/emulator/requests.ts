/** Requests and responses over a pair of links in one session, as `$cbs` and `$management` speak. */
import type { EventContext, Receiver, Session } from 'rhea'
import { readList, readMap, readValue, skipValue } from './amqp-reader.ts'
import { AmqpWriter } from './amqp-writer.ts'
import type { LinkWorld } from './link-world.ts'
import { answerAttach, type Delivery, type Outcomes } from './rhea.ts'

/** What a client asks. */
export interface Request {
  readonly operation: string
  readonly properties: Readonly<Record<string, unknown>>
  /** The value that is the body: a map, or a text. */
  readonly body: unknown
}

/** What it is answered. */
export interface Response {
  /** As in HTTP. */
  readonly status: number
  readonly description: string
  readonly condition?: string
  /** Writes the value that is the body. */
  readonly body?: (writer: AmqpWriter) => void
}

/** A request to the management node of an entity. */
export interface Call {
  readonly world: LinkWorld
  /** The path of the entity. */
  readonly path: string
  readonly body: Readonly<Record<string, unknown>>
}

/** A good answer, with a body if there is something to say. */
export const ok = (body?: Response['body']): Response =>
  body ? { status: 200, description: 'OK', body } : { status: 200, description: 'OK' }

/** A bad answer. */
export const failed = (status: number, condition: string, description: string): Response => ({
  status,
  condition,
  description,
})

/** How a node spells the names of a response's status. */
export const spellings = {
  cbs: { status: 'status-code', description: 'status-description', condition: 'error-condition' },
  management: {
    status: 'statusCode',
    description: 'statusDescription',
    condition: 'errorCondition',
  },
} as const

/** Answers the requests that come in on `link` through the sender of the same session. */
export function answerRequests(
  link: Receiver,
  spelling: (typeof spellings)[keyof typeof spellings],
  outcomes: Outcomes,
  answer: (request: Request) => Response,
): void {
  answerAttach(link, { source: link.source, target: link.target })
  link.on('message', (context: EventContext) => {
    outcomes.accept(context.delivery as unknown as Delivery)
    const bytes = context.message as unknown as Buffer
    const { request, messageId } = readRequest(bytes)
    const sender = senderOf(link.session)
    sender?.send(writeResponse(answer(request), messageId, spelling) as never, undefined, 0)
  })
}

const senderOf = (session: Session) => session.find_sender(() => true)

function readRequest(bytes: Buffer): { readonly request: Request; readonly messageId: Buffer } {
  let messageId = new AmqpWriter().null().finish()
  let properties: Readonly<Record<string, unknown>> = {}
  let body: unknown
  for (let at = 0; at < bytes.length; at = skipValue(bytes, at)) {
    const valueAt = skipValue(bytes, at + 1)
    switch (readValue(bytes, at + 1).value) {
      case 0x73: {
        // The id goes back as it came, in whatever type.
        const isEmpty = readList(bytes, valueAt).length === 0
        const start = valueAt + (bytes[valueAt] === 0xd0 ? 9 : 3)
        if (!isEmpty) messageId = bytes.subarray(start, skipValue(bytes, start))
        break
      }
      case 0x74:
        properties = readMap(bytes, valueAt)
        break
      case 0x75:
      case 0x77:
        body = readValue(bytes, valueAt).value
        break
    }
  }
  return { request: { operation: String(properties['operation']), properties, body }, messageId }
}

function writeResponse(
  { status, description, condition, body }: Response,
  messageId: Buffer,
  spelling: (typeof spellings)[keyof typeof spellings],
): Buffer {
  const writer = new AmqpWriter()
  const fields = new AmqpWriter().null().null().null().null().null().raw(messageId).finish()
  writer.section(0x73).compound(0xd0, 6, fields)
  writer.section(0x74).map({
    [spelling.status]: (value) => value.int(status),
    [spelling.description]: (value) => value.text(description),
    ...(condition === undefined
      ? {}
      : { [spelling.condition]: (value: AmqpWriter) => value.symbol(condition) }),
  })
  writer.section(0x77)
  if (body) body(writer)
  else writer.null()
  return writer.finish()
}
