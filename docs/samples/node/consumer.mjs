/**
 * Bills each OrderCreatedEvent once, with nothing but Azure's SDK and a SQLite file: node consumer.mjs FILE
 * The connection string is in SERVICEBUS_CONNECTION_STRING. Ctrl-C ends it.
 *
 * Service Bus delivers at least once. What makes the effect happen once is one transaction that holds it and the
 * event's id, and that the message is completed only after that transaction is on the disk.
 */
import { ServiceBusClient } from '@azure/service-bus'
import { DatabaseSync } from 'node:sqlite'

const subscription = 'billing'
const database = new DatabaseSync(process.argv[2] ?? 'billing.db')
database.exec(`
  PRAGMA synchronous = FULL;
  CREATE TABLE IF NOT EXISTS processed (id TEXT PRIMARY KEY, at TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS bills (order_id TEXT PRIMARY KEY, total INTEGER NOT NULL);
`)
const remember = database.prepare(
  "INSERT INTO processed (id, at) VALUES (?, datetime('now')) ON CONFLICT DO NOTHING",
)
const bill = database.prepare('INSERT INTO bills (order_id, total) VALUES (?, ?)')

/** The attributes of a CloudEvent; both prefixes are allowed. */
const attribute = ({ applicationProperties = {} }, name) =>
  applicationProperties[`cloudEvents_${name}`] ?? applicationProperties[`cloudEvents:${name}`]

/** The event's id: it stays the same when the message is sent again under another message id. */
const idOf = (message) => attribute(message, 'id') ?? String(message.messageId).replace(/#\d+$/, '')

function handle(message) {
  const onlyFor = attribute(message, 'onlyfor')
  if (onlyFor !== undefined && onlyFor !== subscription) return 'not for us'
  if ((attribute(message, 'type') ?? message.subject) !== 'OrderCreatedEvent') return 'ignored'
  const { orderId, total } = JSON.parse(message.body.toString('utf8'))
  database.exec('BEGIN IMMEDIATE')
  try {
    const { changes } = remember.run(idOf(message))
    if (changes > 0) bill.run(orderId, total)
    database.exec('COMMIT')
    return changes > 0 ? `billed ${orderId} ${total}` : 'known already'
  } catch (error) {
    database.exec('ROLLBACK')
    throw error
  }
}

async function take(session, message) {
  try {
    console.log(`${idOf(message)} ${handle(message)}`)
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    // It will never be JSON. A person finds it with: tidemark dead-letters list
    const deadLetterErrorDescription = error.message
    await session.deadLetterMessage(message, {
      deadLetterReason: 'NotJson',
      deadLetterErrorDescription,
    })
    return
  }
  await session.completeMessage(message)
}

const client = new ServiceBusClient(process.env.SERVICEBUS_CONNECTION_STRING, {
  retryOptions: { maxRetries: 0, timeoutInMs: 5_000 },
})
const ending = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => ending.abort())

while (!ending.signal.aborted) {
  try {
    const session = await client.acceptNextSession('orders', subscription, {
      // Otherwise the SDK parses the body by itself, and hands over what it could not parse as bytes.
      skipParsingBodyAsJson: true,
    })
    try {
      for (;;) {
        const messages = await session.receiveMessages(20, { maxWaitTimeInMs: 500 })
        // One after the other keeps the order of the stream.
        for (const message of messages) await take(session, message)
        if (messages.length === 0) break
      }
    } finally {
      await session.close()
    }
  } catch (error) {
    // No session had messages in time. Anything else is tried again, and the messages come again.
    if (error.code !== 'ServiceTimeout') {
      console.error(error.message)
      await new Promise((resolve) => setTimeout(resolve, 1_000))
    }
  }
}
await client.close()
database.close()
