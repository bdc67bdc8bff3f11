/** The operations on an entity that the SDK asks for beside the flow of messages, at `<entity>/$management`. */
import type { AmqpWriter } from './amqp-writer.ts'
import type { Destination } from './core/destination.ts'
import type { Mailbox } from './core/mailbox.ts'
import type { Stored } from './core/message.ts'
import type { Session } from './core/session.ts'
import type { LinkWorld } from './link-world.ts'
import { type Call, failed, ok, type Request, type Response } from './requests.ts'
import { addRule, enumerateRules, removeRule } from './rule-operations.ts'
import { encodeStored, openMessage } from './wire-message.ts'

type Operation = (call: Call) => Response

/** What an entity's management node answers. */
export function manage(world: LinkWorld, path: string, request: Request): Response {
  const name = request.operation.replace(/^com\.microsoft:/, '')
  const operation = Object.hasOwn(operations, name) ? operations[name] : undefined
  if (!operation) {
    return failed(501, 'amqp:not-implemented', `The operation '${name}' is not emulated.`)
  }
  const body = (request.body ?? {}) as Call['body']
  return operation({ world, path, body })
}

const operations: { readonly [name: string]: Operation } = {
  'renew-lock': onMailbox(renewLocks),
  'renew-session-lock': onSession((_mailbox, session) => {
    const until = session.renew()
    return ok((writer) => writer.map({ expiration: (value) => value.timestamp(until) }))
  }),
  'get-session-state': onMailbox((mailbox, { body }) => {
    const { state } = mailbox.session(String(body['session-id']))
    return ok((writer) =>
      writer.map({
        'session-state': (value) => (state ? value.binary(Buffer.from(state)) : value.null()),
      }),
    )
  }),
  'set-session-state': onSession((_mailbox, session, { body }) => {
    const state = body['session-state']
    session.state = Buffer.isBuffer(state) ? Buffer.from(state) : undefined
    return ok()
  }),
  'peek-message': onMailbox(peek),
  'receive-by-sequence-number': onMailbox(receiveDeferred),
  'update-disposition': onMailbox(updateDisposition),
  'schedule-message': schedule,
  'cancel-scheduled-message': onDestination((destination, { body }) => {
    const found = destination.cancel(numbers(body['sequence-numbers']))
    return found.every(Boolean) ? ok() : notFound('A scheduled message')
  }),
  'get-message-sessions': onMailbox((mailbox, { body }) => {
    const skip = Number(body['skip'] ?? 0)
    const ids = mailbox.sessionIds().slice(skip, skip + Number(body['top'] ?? 100))
    return ok((writer) =>
      writer.map({
        skip: (value) => value.int(skip + ids.length),
        'sessions-ids': (value) => value.list(ids.map((id) => (item) => item.text(id))),
      }),
    )
  }),
  'enumerate-rules': enumerateRules,
  'add-rule': addRule,
  'remove-rule': removeRule,
}

const notFound = (what: string): Response =>
  failed(404, 'com.microsoft:message-not-found', `${what} could not be found.`)

const lockLost = (): Response =>
  failed(410, 'com.microsoft:message-lock-lost', 'The lock supplied is invalid.')

function onMailbox(run: (mailbox: Mailbox, call: Call) => Response): Operation {
  return (call) => {
    const mailbox = call.world.namespace.mailbox(call.path)
    return mailbox ? run(mailbox, call) : entityMissing(call)
  }
}

function onDestination(run: (destination: Destination, call: Call) => Response): Operation {
  return (call) => {
    const destination = call.world.namespace.destination(call.path)
    return destination ? run(destination, call) : entityMissing(call)
  }
}

function onSession(run: (mailbox: Mailbox, session: Session, call: Call) => Response): Operation {
  return onMailbox((mailbox, call) => {
    const session = mailbox.session(String(call.body['session-id']))
    return session.isHeld
      ? run(mailbox, session, call)
      : failed(410, 'com.microsoft:session-lock-lost', 'The session lock has expired.')
  })
}

const entityMissing = ({ path }: Call): Response =>
  failed(404, 'amqp:not-found', `The messaging entity '${path}' could not be found.`)

const numbers = (value: unknown): readonly number[] =>
  Array.isArray(value) ? value.map(Number) : []

const tokens = (value: unknown): readonly string[] =>
  Array.isArray(value) ? value.map(String) : []

function renewLocks(mailbox: Mailbox, { body }: Call): Response {
  const ends = tokens(body['lock-tokens']).map((token) => mailbox.renew(token))
  if (ends.includes(undefined)) return lockLost()
  return ok((writer) =>
    writer.map({
      expirations: (value) =>
        value.array(0x83, ends.length, (items, index) => items.timestamp(ends[index] ?? 0)),
    }),
  )
}

function peek(mailbox: Mailbox, { body }: Call): Response {
  const from = Number(body['from-sequence-number'] ?? 0)
  const sessionId = body['session-id']
  const found = mailbox.peek(
    from,
    Number(body['message-count'] ?? 1),
    typeof sessionId === 'string' ? sessionId : undefined,
  )
  if (found.length === 0) return { status: 204, description: 'No Content' }
  return ok((writer) => writer.map({ messages: (value) => value.list(found.map(writePeeked)) }))
}

const writePeeked = (stored: Stored) => (item: AmqpWriter) =>
  item.map({ message: (value) => value.binary(encodeStored(stored)) })

function receiveDeferred(mailbox: Mailbox, { body }: Call): Response {
  const wanted = numbers(body['sequence-numbers'])
  const sessionId = body['session-id']
  const session = typeof sessionId === 'string' ? mailbox.session(sessionId) : undefined
  const mode = body['receiver-settle-mode'] === 0 ? 'delete' : 'lock'
  if (!wanted.every((sequence) => mailbox.isDeferred(sequence))) return notFound('A message')
  const found = mailbox.takeDeferred(wanted, mode, session)
  return ok((writer) =>
    writer.map({
      messages: (value) =>
        value.list(
          found.map(
            (stored) => (item) =>
              item.map({
                'lock-token': (token) => token.uuid(stored.lock?.token ?? noToken),
                message: (bytes) => bytes.binary(encodeStored(stored)),
              }),
          ),
        ),
    }),
  )
}

const noToken = '00000000-0000-0000-0000-000000000000'

function updateDisposition(mailbox: Mailbox, { body }: Call): Response {
  const changes = body['properties-to-modify'] as Stored['changes']
  const reason = String(body['deadletter-reason'] ?? '')
  const description = String(body['deadletter-description'] ?? '')
  const acts: { readonly [status: string]: (token: string) => boolean } = {
    completed: (token) => mailbox.complete(token),
    abandoned: (token) => mailbox.abandon(token, changes),
    // The misspelling is the protocol's.
    defered: (token) => mailbox.defer(token, changes),
    suspended: (token) => mailbox.deadLetter(token, { reason, description }, changes),
  }
  const act = acts[String(body['disposition-status'])]
  if (!act) return failed(400, 'com.microsoft:argument-error', 'An unknown disposition.')
  return tokens(body['lock-tokens']).map(act).every(Boolean) ? ok() : lockLost()
}

function schedule({ path, body, world }: Call): Response {
  const newId = () => world.system.uuid().replaceAll('-', '')
  const encoded = (body['messages'] ?? []) as readonly { readonly message: Buffer }[]
  const envelopes = encoded.map(({ message }) => openMessage(Buffer.from(message), newId))
  const result = world.namespace.schedule(path, envelopes)
  if ('condition' in result) return failed(400, result.condition, result.description)
  return ok((writer) =>
    writer.map({
      'sequence-numbers': (value) =>
        value.array(0x81, result.length, (items, index) => items.long(result[index] ?? 0)),
    }),
  )
}
