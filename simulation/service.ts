/**
 * Another team's service: it hears of events on the bus and answers some of them with events of its
 * own. It does what a decent consumer does: the answer is stored before it is sent, once per cause, and
 * a message is settled after its answer has been confirmed.
 */
import type { Broker, Message, Received } from '@tidemark/server/broker/broker'
import type { History } from './history.ts'
import { type Amount, isAnswered, scope } from './topics.ts'
import { inventory } from './topics.ts'
import { serviceSubscription } from './broker.ts'
import type { Life } from './world.ts'

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** A service's disk: what it has answered, by the id of the event that it answers to. */
export type Replies = Map<string, Message>

/** Runs the service until its life ends. */
export async function runService(
  life: Life,
  broker: Broker,
  replies: Replies,
  history: History,
): Promise<void> {
  const receiver = broker.receiver({
    topic: inventory.name,
    subscription: serviceSubscription,
    sessions: 4,
  })
  for (;;) {
    try {
      for (const message of await receiver.receive(10, 5_000)) {
        const reply = replyTo(life, message, replies, history)
        const isDone = !reply || (await publish(broker, reply))
        const settlement = { type: isDone ? 'complete' : 'abandon' } as const
        // What cannot be settled is handed out again, and answered with the same answer.
        await receiver.settle(message, settlement).catch(() => {})
        if (!isDone) await life.pause(1_000)
      }
    } catch {
      await life.pause(1_000)
    }
  }
}

async function publish(broker: Broker, reply: Message): Promise<boolean> {
  const [error] = await broker.publish(inventory.name, [reply])
  return error === undefined
}

function replyTo(
  life: Life,
  message: Received,
  replies: Replies,
  history: History,
): Message | undefined {
  const type = String(message.attributes['type'])
  const data = JSON.parse(decoder.decode(message.body)) as Amount
  if (!isAnswered(type, data)) return undefined
  const stored = replies.get(message.id)
  if (stored) return stored
  const reply = createReply(life, message, data)
  replies.set(message.id, reply)
  history.note(`${life.name} answers ${message.id} with ${reply.id}`)
  history.state({ type: 'replied', service: life.machine.name, line: lineOf(reply, message.id) })
  return reply
}

function createReply(life: Life, cause: Received, data: Amount): Message {
  const id = life.system.uuid()
  const answer: Amount = { tag: -data.tag, quantity: data.quantity + 1, note: '' }
  return {
    id,
    key: cause.key,
    attributes: {
      specversion: '1.0',
      id,
      source: '/orders',
      type: 'Reordered',
      subject: String(cause.attributes['subject']),
      scope,
      datacontenttype: 'application/json',
      causationid: cause.id,
      author: 'orders',
    },
    body: encoder.encode(JSON.stringify(answer)),
  }
}

/** The answer as the checks know it. */
const lineOf = ({ id, attributes, body }: Message, causationId: string): string =>
  `{"id":"${id}","stream":"${attributes['subject']}","type":"Reordered","causationId":"${causationId}","data":${decoder.decode(body)}}`
