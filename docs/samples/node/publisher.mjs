/**
 * Publishes an OrderCreatedEvent with nothing but Azure's SDK: node publisher.mjs ORDER TOTAL
 * The connection string is in SERVICEBUS_CONNECTION_STRING.
 */
import { randomUUID } from 'node:crypto'
import { ServiceBusClient } from '@azure/service-bus'

const [order = 'order-77', total = '4200', id = randomUUID()] = process.argv.slice(2)
const scope = 'shop-7'
const event = { orderId: order, total: Number(total), currency: 'EUR' }

const client = new ServiceBusClient(process.env.SERVICEBUS_CONNECTION_STRING)
const sender = client.createSender('orders')
await sender.sendMessages({
  // The topic drops a message id that it has seen: a retry after a lost answer arrives once.
  messageId: id,
  // Messages of one session keep their order. scope/stream is Tidemark's stream.
  sessionId: `${scope}/${order}`,
  subject: 'OrderCreatedEvent',
  contentType: 'application/json',
  // Bytes go as they are; an object would be written as JSON by the SDK, which is as good.
  body: Buffer.from(JSON.stringify(event)),
  applicationProperties: {
    cloudEvents_specversion: '1.0',
    cloudEvents_id: id,
    cloudEvents_source: `/orders/${scope}`,
    cloudEvents_type: 'OrderCreatedEvent',
    cloudEvents_subject: order,
    cloudEvents_time: new Date().toISOString(),
    cloudEvents_scope: scope,
    cloudEvents_schemaversion: '1',
    cloudEvents_author: 'node-sample',
  },
})
console.log(`published ${id}`)
await client.close()
