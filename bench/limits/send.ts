/**
 * What publishing costs with the SDK alone: messages that were made before, in batches of 100, one batch
 * after the other, because two under way at once could pass each other.
 */
import { ServiceBusClient } from '@azure/service-bus'
import { makeMessage } from '../bus.ts'
import { inventory } from '../inventory.ts'
import { announce } from '../process.ts'

const batchMessages = 100

const client = new ServiceBusClient(process.argv[2] ?? '')
const sender = client.createSender(inventory.name)

async function send(count: number): Promise<{ perSecond: number; ids: readonly string[] }> {
  const messages = Array.from({ length: count }, (_, n) => makeMessage(n))
  const start = performance.now()
  for (let at = 0; at < count; at += batchMessages) {
    await sender.sendMessages(messages.slice(at, at + batchMessages))
  }
  const ms = performance.now() - start
  return { perSecond: (count / ms) * 1_000, ids: messages.map(({ messageId }) => messageId) }
}

announce(0, () => client.close(), { send })
