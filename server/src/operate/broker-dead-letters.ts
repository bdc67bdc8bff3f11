/**
 * The dead letters of a subscription, `$DeadLetterQueue`. One is redriven by sending it again and then completing
 * it: a crash in between repeats it under the same message id and never loses it. It is sent to its topic, for
 * Service Bus has no other way in, and marked as being for this subscription alone.
 */
import { createHash } from 'node:crypto'
import type { System } from '@tidemark/shared'
import {
  firstIdOf,
  type Message,
  type PeekableBroker,
  type Place,
  type Received,
  resendProperty,
} from '../broker/broker.ts'
import type { Log } from '../log/log.ts'
import {
  type Act,
  type ActResult,
  type DeadLetter,
  type DeadLetterDetails,
  type DeadLetterSource,
  toRef,
} from './dead-letters.ts'

/** A subscription, and where it is written down who did what. */
export interface BrokerDeadLettersOptions {
  readonly broker: PeekableBroker
  readonly topic: string
  readonly subscription: string
  /** Keeps the audit records. */
  readonly log: Pick<Log, 'audit'>
  readonly system: System
}

/** Builds the source over a subscription. */
export function brokerDeadLetters(options: BrokerDeadLettersOptions): DeadLetterSource {
  const { broker, topic, subscription, log, system } = options
  const source = `broker/${topic}/${subscription}`
  const place: Place = { topic, subscription, deadLetters: true }

  async function act(
    [sequence = '']: readonly string[],
    action: 'redrive' | 'discard',
    { by, note }: Act,
    work: (found: Received) => Promise<void>,
  ): Promise<ActResult> {
    const isDone = await broker.pick(place, sequence, async (found) => {
      const subject = `${toRef(source, sequence)} ${found.id}`
      await log.audit({ at: system.now(), by, action, subject, note })
      await work(found)
      return { type: 'complete' }
    })
    return isDone ? 'done' : 'gone'
  }

  return {
    name: source,
    async list(max) {
      const messages = await broker.peek(place, max)
      return messages.map((message) => toDeadLetter(source, topic, subscription, message))
    },
    async show([sequence = '']) {
      const found = await peekAt(broker, place, sequence)
      return found && toDetails(toDeadLetter(source, topic, subscription, found), found)
    },
    redrive: (rest, who) =>
      act(rest, 'redrive', who, async (found) => {
        const [refused] = await broker.publish(topic, [toResend(found, subscription)])
        if (refused) throw refused
      }),
    discard: (rest, who) => act(rest, 'discard', who, async () => {}),
  }
}

async function peekAt(
  broker: PeekableBroker,
  place: Place,
  sequence: string,
): Promise<Received | undefined> {
  if (!/^\d{1,19}$/.test(sequence) || sequence === '0') return undefined
  const before = String(BigInt(sequence) - 1n)
  const [found] = await broker.peek(place, 1, before)
  return found?.sequence === sequence ? found : undefined
}

const deadLetterProperties = ['DeadLetterReason', 'DeadLetterErrorDescription']

/** The longest message id that brokers take. */
const idLengthMax = 128

/** The message as it was, under a message id that the duplicate window does not know. The event's id stays. */
export function toResend(message: Received, subscription: string): Message {
  const id = firstIdOf(message)
  const properties = Object.entries(message.properties).filter(
    ([name]) => !deadLetterProperties.includes(name),
  )
  return {
    id,
    key: message.key,
    attributes: { ...withoutDeadLetter(message.attributes), onlyfor: subscription },
    body: message.body,
    correlationId: message.correlationId,
    resend: markOf(message, id, subscription),
    label: message.label,
    properties: Object.fromEntries(properties),
  }
}

/**
 * Another one for each subscription and each time: all subscriptions of a topic share its duplicate window, which
 * would swallow what the second of them sends again.
 */
function markOf({ properties }: Received, id: string, subscription: string): string {
  const [before = '0'] = /\d{1,15}$/.exec(String(properties[resendProperty])) ?? []
  const times = Number(before) + 1
  const mark = `${subscription}.${times}`
  if (id.length + 1 + mark.length <= idLengthMax) return mark
  return `${createHash('sha256').update(subscription).digest('hex').slice(0, 8)}.${times}`
}

const withoutDeadLetter = (attributes: Message['attributes']): Message['attributes'] =>
  Object.fromEntries(
    Object.entries(attributes).filter(([name]) => !deadLetterProperties.includes(name)),
  )

const textOf = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined

function toDeadLetter(
  source: string,
  topic: string,
  subscription: string,
  message: Received,
): DeadLetter {
  const { attributes, properties, sequence = '', key, enqueuedAt, deliveries } = message
  return {
    ref: toRef(source, sequence),
    where: 'broker',
    topic,
    key: textOf(key),
    consumer: subscription,
    event: textOf(attributes['id']) ?? textOf(firstIdOf(message)),
    code: textOf(properties['DeadLetterReason']) ?? 'unknown',
    reason: textOf(properties['DeadLetterErrorDescription']) ?? '',
    attempts: deliveries - 1,
    since: enqueuedAt,
  }
}

/** Characters of a body that are shown. */
const shownLengthMax = 100_000

function toDetails(
  letter: DeadLetter,
  { body, attributes, properties }: Received,
): DeadLetterDetails {
  const text = new TextDecoder().decode(body.subarray(0, shownLengthMax))
  return { ...letter, lines: [text], attributes: { ...properties, ...attributes } }
}
