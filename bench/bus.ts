/** What the rows with a broker share: the emulator in a process of its own, its messages, and a look at what arrived. */
import { ServiceBusClient, type ServiceBusMessage } from '@azure/service-bus'
import type { SubscriptionOptions } from '@tidemark/server/emulator'
import { v7 } from 'uuid'
import { inventory, log, makeData, makeStream } from './inventory.ts'
import { type ServerProcess, startServer } from './process.ts'

/** A running emulator, and how to reach it. */
export interface BrokerProcess extends ServerProcess {
  readonly connectionString: string
}

/** Starts an emulator with the measured topic and these subscriptions. */
export async function openBroker(
  subscriptions: readonly SubscriptionOptions[],
): Promise<BrokerProcess> {
  const topology = { topics: [{ name: inventory.name, subscriptions }] }
  const server = await startServer('servers/emulator.ts', [JSON.stringify(topology)])
  const endpoint = `sb://127.0.0.1:${server.port}`
  const connectionString = `Endpoint=${endpoint};SharedAccessKeyName=bench;SharedAccessKey=bench;UseDevelopmentEmulator=true`
  return { ...server, connectionString }
}

const epoch = v7()

/** Message number `n`, the same that the relay makes of an event: its data as the body, the rest as properties. */
export function makeMessage(n: number, more: ServiceBusMessage['applicationProperties'] = {}) {
  const messageId = v7()
  const stream = makeStream(n)
  const message = {
    messageId,
    sessionId: `${log.scope}/${stream}`,
    correlationId: messageId,
    subject: 'StockPicked',
    contentType: 'application/json',
    body: Buffer.from(JSON.stringify(makeData(n))),
    applicationProperties: {
      cloudEvents_specversion: '1.0',
      cloudEvents_id: messageId,
      cloudEvents_source: `/${log.topic}/${log.scope}`,
      cloudEvents_type: 'StockPicked',
      cloudEvents_subject: stream,
      cloudEvents_time: new Date(1_790_000_000_000 + n).toISOString(),
      cloudEvents_scope: log.scope,
      cloudEvents_schemaversion: '1',
      cloudEvents_author: 'u-42',
      cloudEvents_epoch: epoch,
      cloudEvents_position: String(n + 1),
      cloudEvents_revision: String(1 + Math.floor(n / 1_000)),
      ...more,
    },
  } satisfies ServiceBusMessage
  return message
}

/** A message that arrived, as far as a check needs it. */
export interface Arrived {
  readonly id: string
  /** The names of what it carries, and how long its body is. */
  readonly shape: string
}

/** Takes everything out of a subscription, `count` messages or more, and says what it was, in the order of arrival. */
export async function drain(
  connectionString: string,
  subscription: string,
  count: number,
): Promise<readonly Arrived[]> {
  const client = new ServiceBusClient(connectionString)
  const receiver = client.createReceiver(inventory.name, subscription, {
    receiveMode: 'receiveAndDelete',
    skipParsingBodyAsJson: true,
  })
  const arrived: Arrived[] = []
  for (let isMore = true; isMore;) {
    // Where all has come that was expected, a little longer shows whether something came twice.
    const maxWaitTimeInMs = arrived.length < count ? 5_000 : 20
    const messages = await receiver.receiveMessages(1_000, { maxWaitTimeInMs })
    for (const { messageId, applicationProperties, body } of messages) {
      const names = Object.keys(applicationProperties ?? {}).toSorted()
      const about = typeof body === 'object' ? Object.keys(JSON.parse(String(body))) : typeof body
      arrived.push({ id: String(messageId), shape: `${names} ${about}` })
    }
    isMore = messages.length > 0
  }
  await receiver.close()
  await client.close()
  return arrived
}
