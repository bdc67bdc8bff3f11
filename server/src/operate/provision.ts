/**
 * What has to exist on the broker, derived from what the code declares: a topic with duplicate detection for
 * each topic, a subscription for the gateway and for each consumer. Written as Bicep for Azure, or as the
 * Config.json of the emulators.
 */
import { assert, namePattern, type Topic } from '@tidemark/shared'

/** A service that reads a topic by a subscription of its own. */
export interface ConsumerDeclaration {
  /** The name that it has in its database, and the subscription's unless that is given. */
  readonly name: string
  readonly topic: Topic
  readonly subscription?: string
  /** Reads each stream in order, by sessions. True unless said otherwise. */
  readonly ordered?: boolean
  /** How often Service Bus hands a message out before it dead-letters it. 10 unless said otherwise. */
  readonly maxDeliveryCount?: number
  /** How long a message or session stays with its receiver, as ISO 8601. `PT1M` unless said otherwise. */
  readonly lockDuration?: string
}

/** What the topology is derived from. */
export interface ProvisionOptions {
  readonly topics: readonly Topic[]
  readonly consumers?: readonly ConsumerDeclaration[]
  /** The gateway's own subscription, by which the events of other services come in. `gateway` unless said otherwise. */
  readonly gatewaySubscription?: string
  /** False where the gateway's subscription is read without sessions. True unless said otherwise. */
  readonly gatewayOrdered?: boolean
  /** How long Service Bus knows a message id again, as ISO 8601. `PT1H` unless said otherwise. */
  readonly duplicateWindow?: string
}

/** A subscription as it should be. */
export interface PlannedSubscription {
  readonly name: string
  readonly requiresSession: boolean
  readonly maxDeliveryCount: number
  readonly lockDuration: string
  /** The one rule: passes by what was sent again for somebody else. */
  readonly filter: string
}

/** A topic as it should be. */
export interface PlannedTopic {
  readonly name: string
  readonly duplicateWindow: string
  readonly subscriptions: readonly PlannedSubscription[]
}

/** Service Bus's own bound on a subscription's name, in characters. */
const subscriptionLengthMax = 50
/** The longest duplicate window of the official emulator. */
const emulatorWindow = 'PT5M'
const durationPattern = /^P(?=.)(?:\d+D)?(?:T(?=.)(?:\d+H)?(?:\d+M)?(?:\d+S)?)?$/

/**
 * The rule of a subscription: what everybody gets, and what was sent again for it alone. The name is the
 * application property of the CloudEvents attribute `onlyfor`.
 */
export const subscriptionFilter = (subscription: string): string =>
  `NOT EXISTS(user.cloudEvents_onlyfor) OR user.cloudEvents_onlyfor = '${subscription}'`

/** What should exist. Throws where two consumers of a topic want the same subscription in different ways. */
export function planTopology(options: ProvisionOptions): readonly PlannedTopic[] {
  const { topics, consumers = [], gatewaySubscription = 'gateway', gatewayOrdered = true } = options
  const { duplicateWindow = 'PT1H' } = options
  assert(durationPattern.test(duplicateWindow), `"${duplicateWindow}" is a time as PT10M or P1D`)
  for (const { name, topic } of consumers) {
    const isKnown = topics.some((known) => known.name === topic.name)
    assert(isKnown, `the consumer ${name} reads a topic of the list, not ${topic.name}`)
  }
  return topics.map((topic) => {
    const gateway = { name: gatewaySubscription, topic, ordered: gatewayOrdered }
    const readers = [gateway, ...consumers.filter((one) => one.topic.name === topic.name)]
    const planned = new Map<string, PlannedSubscription>()
    for (const reader of readers) {
      const subscription = planSubscription(reader)
      const known = planned.get(subscription.name)
      const isSame = !known || JSON.stringify(known) === JSON.stringify(subscription)
      const place = `${topic.name}/${subscription.name}`
      assert(isSame, `all consumers of the subscription ${place} want it the same way`)
      planned.set(subscription.name, subscription)
    }
    return { name: topic.name, duplicateWindow, subscriptions: [...planned.values()] }
  })
}

function planSubscription(reader: ConsumerDeclaration): PlannedSubscription {
  const { name, subscription = name, ordered = true, maxDeliveryCount = 10 } = reader
  const { lockDuration = 'PT1M' } = reader
  assert(
    namePattern.test(subscription) && subscription.length <= subscriptionLengthMax,
    `"${subscription}" is a name of at most ${subscriptionLengthMax} letters, digits, dots, dashes and underscores`,
  )
  assert(durationPattern.test(lockDuration), `"${lockDuration}" is a time as PT1M`)
  return {
    name: subscription,
    requiresSession: ordered,
    maxDeliveryCount,
    lockDuration,
    filter: subscriptionFilter(subscription),
  }
}

/** The Config.json that the official emulator reads, and ours. */
export function toEmulatorConfig(
  topics: readonly PlannedTopic[],
): Readonly<Record<string, unknown>> {
  return {
    UserConfig: {
      Namespaces: [
        {
          Name: 'sbemulatorns',
          Queues: [],
          Topics: topics.map(({ name, duplicateWindow, subscriptions }) => ({
            Name: name,
            Properties: {
              DefaultMessageTimeToLive: 'PT1H',
              DuplicateDetectionHistoryTimeWindow: shorterWindow(duplicateWindow),
              RequiresDuplicateDetection: true,
            },
            Subscriptions: subscriptions.map(toEmulatorSubscription),
          })),
        },
      ],
      Logging: { Type: 'Console' },
    },
  }
}

const toEmulatorSubscription = (subscription: PlannedSubscription) => ({
  Name: subscription.name,
  Properties: {
    DeadLetteringOnMessageExpiration: true,
    DefaultMessageTimeToLive: 'PT1H',
    LockDuration: subscription.lockDuration,
    // Ten is the official emulator's most.
    MaxDeliveryCount: Math.min(10, subscription.maxDeliveryCount),
    RequiresSession: subscription.requiresSession,
  },
  Rules: [
    {
      Name: '$Default',
      Properties: { FilterType: 'Sql', SqlFilter: { SqlExpression: subscription.filter } },
    },
  ],
})

/** The Bicep of an existing namespace's topics. Standard and Premium have topics, Basic has none. */
export function toBicep(topics: readonly PlannedTopic[]): string {
  const head = `// Written by: tidemark provision --print bicep
@description('The name of an existing Service Bus namespace, Standard or Premium.')
param namespaceName string

resource namespace 'Microsoft.ServiceBus/namespaces@2021-11-01' existing = {
  name: namespaceName
}
`
  return [head, ...topics.map(toBicepTopic)].join('\n')
}

function toBicepTopic({ name, duplicateWindow, subscriptions }: PlannedTopic): string {
  const symbol = toSymbol(name)
  const topic = `resource ${symbol} 'Microsoft.ServiceBus/namespaces/topics@2021-11-01' = {
  parent: namespace
  name: ${quote(name)}
  properties: {
    requiresDuplicateDetection: true
    duplicateDetectionHistoryTimeWindow: ${quote(duplicateWindow)}
    supportOrdering: true
  }
}
`
  return [topic, ...subscriptions.map((each) => toBicepSubscription(symbol, each))].join('\n')
}

function toBicepSubscription(topic: string, subscription: PlannedSubscription): string {
  const symbol = `${topic}_${toSymbol(subscription.name)}`
  return `resource ${symbol} 'Microsoft.ServiceBus/namespaces/topics/subscriptions@2021-11-01' = {
  parent: ${topic}
  name: ${quote(subscription.name)}
  properties: {
    requiresSession: ${subscription.requiresSession}
    lockDuration: ${quote(subscription.lockDuration)}
    maxDeliveryCount: ${subscription.maxDeliveryCount}
    deadLetteringOnMessageExpiration: true
    deadLetteringOnFilterEvaluationExceptions: true
  }
}

resource ${symbol}_rule 'Microsoft.ServiceBus/namespaces/topics/subscriptions/rules@2021-11-01' = {
  parent: ${symbol}
  name: '$Default'
  properties: {
    filterType: 'SqlFilter'
    sqlFilter: {
      sqlExpression: ${quote(subscription.filter)}
    }
  }
}
`
}

/** A Bicep symbol: letters, digits and underscores. What is neither is written as its number, so no two names meet. */
const toSymbol = (name: string): string =>
  `t_${name.replaceAll(/[^A-Za-z0-9]/g, (letter) => `_${letter.charCodeAt(0)}_`)}`

const quote = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`

const shorterWindow = (window: string): string =>
  toSeconds(window) <= toSeconds(emulatorWindow) ? window : emulatorWindow

function toSeconds(duration: string): number {
  const amount = (unit: string): number =>
    Number(new RegExp(`(\\d+)${unit}`).exec(duration)?.[1] ?? 0)
  return amount('D') * 86_400 + amount('H') * 3_600 + amount('M') * 60 + amount('S')
}
