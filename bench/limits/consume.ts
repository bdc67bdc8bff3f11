/**
 * What consuming costs with the SDK alone: 100 messages under peek-lock, their effects and the marks of what
 * is done in one SQLite transaction, and each completed after the commit.
 */
import { ServiceBusClient } from '@azure/service-bus'
import { insertEffect, openEffects, readEffects } from '../effects.ts'
import { inventory, type makeData } from '../inventory.ts'
import { announce } from '../process.ts'

const batchMessages = 100

const [, , connectionString = '', subscription = '', folder = ''] = process.argv
const client = new ServiceBusClient(connectionString)
let runs = 0

async function consume(count: number): Promise<{ perSecond: number; ids: readonly string[] }> {
  const database = openEffects(folder, (runs += 1))
  database.exec('CREATE TABLE processed (id TEXT PRIMARY KEY) WITHOUT ROWID')
  const mark = database.prepare('INSERT INTO processed VALUES (?) ON CONFLICT DO NOTHING')
  const insert = database.prepare(insertEffect)
  const start = performance.now()
  const receiver = client.createReceiver(inventory.name, subscription, {
    skipParsingBodyAsJson: true,
    maxAutoLockRenewalDurationInMs: 0,
  })
  for (let done = 0; done < count;) {
    const messages = await receiver.receiveMessages(batchMessages, { maxWaitTimeInMs: 5_000 })
    database.exec('BEGIN IMMEDIATE')
    for (const { messageId, sessionId = '', body } of messages) {
      if (mark.run(String(messageId)).changes === 0) continue
      const { quantity } = JSON.parse(String(body)) as ReturnType<typeof makeData>
      insert.run(String(messageId), sessionId, quantity)
    }
    database.exec('COMMIT')
    await Promise.all(messages.map((message) => receiver.completeMessage(message)))
    done += messages.length
  }
  const ms = performance.now() - start
  await receiver.close()
  const ids = readEffects(database)
  database.close()
  return { perSecond: (count / ms) * 1_000, ids }
}

announce(0, () => client.close(), { consume })
