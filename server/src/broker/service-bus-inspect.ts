/**
 * Looks at the entities of a Service Bus namespace: by the links that anybody with Listen and Send rights may
 * open, and by the management API where there are Manage rights. The emulators have no management API.
 */
import {
  ServiceBusAdministrationClient,
  ServiceBusClient,
  type ServiceBusReceiver,
  type SqlRuleFilter,
  type TokenCredential,
} from '@azure/service-bus'
import {
  everything,
  type FoundSubscription,
  type FoundTopic,
  type Inspector,
} from '../operate/doctor.ts'

/** Dead letters that are counted one by one. */
const countedMax = 250
/** How long a look may take, and how long one for a session that there may not be, in ms. */
const lookMs = 10_000
const sessionMs = 1_500

/** How to reach a namespace: a connection string, or a name and a credential. */
export type Address =
  | { readonly connectionString: string }
  | { readonly namespace: string; readonly credential: TokenCredential }

/** Something that looks at a namespace, until it is closed. */
export interface OpenInspector {
  readonly inspector: Inspector
  close(): Promise<void>
}

/** Opens an inspector that opens links and closes them again. It takes no message. */
export function inspectByLinks(address: Address): OpenInspector {
  const connect = (timeoutInMs: number): ServiceBusClient => {
    const settings = { retryOptions: { maxRetries: 0, timeoutInMs } }
    return 'connectionString' in address
      ? new ServiceBusClient(address.connectionString, settings)
      : new ServiceBusClient(address.namespace, address.credential, settings)
  }
  const client = connect(lookMs)
  const impatient = connect(sessionMs)
  return {
    inspector: {
      means: 'by opening links, with Listen and Send rights',
      topic: (name) => unlessMissing(() => findTopic(client, name)),
      subscription: (topic, name) =>
        unlessMissing(async () => ({
          ...(await findSubscription(client, topic, name)),
          requiresSession: await hasSessions(impatient, topic, name),
        })),
    },
    async close() {
      await client.close()
      await impatient.close()
    },
  }
}

async function findTopic(client: ServiceBusClient, name: string): Promise<FoundTopic> {
  const sender = client.createSender(name)
  try {
    const { maxSizeInBytes } = await sender.createMessageBatch()
    return { messageBytesMax: maxSizeInBytes }
  } finally {
    await sender.close()
  }
}

async function findSubscription(
  client: ServiceBusClient,
  topic: string,
  name: string,
): Promise<FoundSubscription> {
  const dead = client.createReceiver(topic, name, { subQueueType: 'deadLetter' })
  const rules = client.createRuleManager(topic, name)
  try {
    const count = await countMessages(dead)
    const filters: string[] = []
    for await (const { filter } of rules.listRules()) {
      filters.push('sqlExpression' in filter ? toSql(filter) : 'a correlation filter')
    }
    return { filters, deadLetters: { count, isAtLeast: count >= countedMax } }
  } finally {
    await dead.close()
  }
}

async function countMessages(receiver: ServiceBusReceiver): Promise<number> {
  let count = 0
  while (count < countedMax) {
    const page = await receiver.peekMessages(countedMax - count)
    if (page.length === 0) break
    count += page.length
  }
  return count
}

/** A subscription without sessions refuses who asks for one; with them it gives one, or has none to give in time. */
async function hasSessions(
  client: ServiceBusClient,
  topic: string,
  name: string,
): Promise<boolean> {
  try {
    const session = await client.acceptNextSession(topic, name)
    await session.close()
    return true
  } catch (error) {
    if (codeOf(error) === 'ServiceTimeout') return true
    // The SDK has no code of its own for an operation that an entity does not allow.
    if (codeOf(error) === 'GeneralError') return false
    throw error
  }
}

/** Opens an inspector on the management API, which needs Manage rights. */
export function inspectByManagement(address: Address): Inspector {
  const admin =
    'connectionString' in address
      ? new ServiceBusAdministrationClient(address.connectionString)
      : new ServiceBusAdministrationClient(address.namespace, address.credential)
  return {
    means: 'by the management API, with Manage rights',
    topic: (name) =>
      unlessMissing(async () => {
        const topic = await admin.getTopic(name)
        const subscriptions: string[] = []
        for await (const { subscriptionName } of admin.listSubscriptions(name)) {
          subscriptions.push(subscriptionName)
        }
        return {
          requiresDuplicateDetection: topic.requiresDuplicateDetection,
          duplicateWindow: topic.duplicateDetectionHistoryTimeWindow,
          subscriptions,
        }
      }),
    subscription: (topic, name) =>
      unlessMissing(async () => {
        const found = await admin.getSubscription(topic, name)
        const { deadLetterMessageCount } = await admin.getSubscriptionRuntimeProperties(topic, name)
        const filters: string[] = []
        for await (const { filter } of admin.listRules(topic, name)) {
          filters.push('sqlExpression' in filter ? toSql(filter) : 'a correlation filter')
        }
        return {
          requiresSession: found.requiresSession,
          filters,
          maxDeliveryCount: found.maxDeliveryCount,
          deadLettersExpired: found.deadLetteringOnMessageExpiration,
          deadLetters: { count: deadLetterMessageCount, isAtLeast: false },
        }
      }),
  }
}

/** Both kinds of a filter that takes everything are one. */
const toSql = ({ sqlExpression = everything }: SqlRuleFilter): string =>
  sqlExpression.replaceAll(/\s+/g, '') === everything ? everything : sqlExpression

async function unlessMissing<T>(run: () => Promise<T>): Promise<T | undefined> {
  try {
    return await run()
  } catch (error) {
    if (codeOf(error) === 'MessagingEntityNotFound') return undefined
    throw error
  }
}

/** The SDK's code of an error, or of the last of several tries; the management API's is translated. */
function codeOf(error: unknown): string | undefined {
  const last = error instanceof AggregateError ? error.errors.at(-1) : error
  const { code, statusCode } = last as { code?: string; statusCode?: number }
  return code === 'MessageEntityNotFoundError' || statusCode === 404
    ? 'MessagingEntityNotFound'
    : code
}
