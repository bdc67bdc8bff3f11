/** Reads the `Config.json` of Microsoft's Service Bus emulator, comments and all, so that one file serves both. */
import { assert } from '@tidemark/shared'
import { type Correlation, type RuleOptions, sqlFilter } from './core/rule.ts'
import type {
  MailboxOptions,
  QueueOptions,
  SubscriptionOptions,
  Topology,
  TopicOptions,
} from './core/topology.ts'

type Json = Readonly<Record<string, unknown>>

/** The topology that a `Config.json` describes. Throws where it describes none, and says where. */
export function parseConfig(text: string): Topology {
  const config = JSON.parse(withoutComments(text)) as Json
  const user = objectAt(config, 'UserConfig')
  const [namespace, ...others] = listAt(user, 'Namespaces')
  assert(namespace && others.length === 0, 'UserConfig.Namespaces has exactly one namespace')
  const bytes = namespace['MaxMessageSizeInBytes']
  return {
    queues: listAt(namespace, 'Queues').map(toQueue),
    topics: listAt(namespace, 'Topics').map(toTopic),
    ...(typeof bytes === 'number' ? { messageBytesMax: bytes } : {}),
  }
}

function toQueue(queue: Json): QueueOptions {
  const properties = objectAt(queue, 'Properties')
  return { name: nameOf(queue), ...toDestination(properties), ...toMailbox(properties) }
}

function toTopic(topic: Json): TopicOptions {
  const properties = objectAt(topic, 'Properties')
  return {
    name: nameOf(topic),
    ...toDestination(properties),
    ...optional('ttlMs', durationAt(properties, 'DefaultMessageTimeToLive')),
    subscriptions: listAt(topic, 'Subscriptions').map(toSubscription),
  }
}

function toSubscription(subscription: Json): SubscriptionOptions {
  const properties = objectAt(subscription, 'Properties')
  const rules = listAt(subscription, 'Rules').map(toRule)
  return {
    name: nameOf(subscription),
    ...toMailbox(properties),
    ...(rules.length > 0 ? { rules } : {}),
  }
}

function toDestination(properties: Json): { duplicateWindowMs?: number } {
  if (properties['RequiresDuplicateDetection'] !== true) return {}
  const windowMs = durationAt(properties, 'DuplicateDetectionHistoryTimeWindow')
  return { duplicateWindowMs: windowMs ?? 600_000 }
}

function toMailbox(properties: Json): MailboxOptions {
  const { MaxDeliveryCount: count, ForwardTo: forwardTo } = properties
  assert(!properties['ForwardDeadLetteredMessagesTo'], 'forwarding dead letters is not emulated')
  return {
    ...optional('lockMs', durationAt(properties, 'LockDuration')),
    ...optional('ttlMs', durationAt(properties, 'DefaultMessageTimeToLive')),
    ...(typeof count === 'number' ? { maxDeliveryCount: count } : {}),
    ...(typeof forwardTo === 'string' && forwardTo !== '' ? { forwardTo } : {}),
    requiresSession: properties['RequiresSession'] === true,
    deadLettersExpired: properties['DeadLetteringOnMessageExpiration'] === true,
  }
}

function toRule(rule: Json): RuleOptions {
  const name = nameOf(rule)
  const properties = objectAt(rule, 'Properties')
  const type = String(properties['FilterType']).toLowerCase()
  if (type === 'sql') {
    const filter = sqlFilter(String(objectAt(properties, 'SqlFilter')['SqlExpression']))
    if (typeof filter !== 'string') return { name, filter }
    assert(false, `rule ${name}: ${filter}`)
  }
  assert(type === 'correlation', `rule ${name}: FilterType is Sql or Correlation`)
  const wanted = objectAt(properties, 'CorrelationFilter')
  const text = (key: string) => {
    const value = wanted[key]
    return typeof value === 'string' && value !== '' ? value : undefined
  }
  const correlation: Correlation = {
    correlationId: text('CorrelationId'),
    messageId: text('MessageId'),
    to: text('To'),
    replyTo: text('ReplyTo'),
    subject: text('Label') ?? text('Subject'),
    sessionId: text('SessionId'),
    replyToSessionId: text('ReplyToSessionId'),
    contentType: text('ContentType'),
    properties: objectAt(wanted, 'Properties'),
  }
  return { name, filter: { type: 'correlation', correlation } }
}

const optional = <Key extends string>(key: Key, value: number | undefined) =>
  (value === undefined ? {} : { [key]: value }) as { readonly [K in Key]?: number }

function nameOf(entity: Json): string {
  const name = entity['Name']
  assert(typeof name === 'string' && name !== '', 'every entity has a Name')
  return name
}

function objectAt(parent: Json, key: string): Json {
  const value = parent[key] ?? {}
  assert(typeof value === 'object' && !Array.isArray(value), `${key} is an object`)
  return value as Json
}

function listAt(parent: Json, key: string): readonly Json[] {
  const value = parent[key] ?? []
  assert(Array.isArray(value), `${key} is a list`)
  return value as readonly Json[]
}

/** An ISO 8601 duration of days, hours, minutes and seconds, in ms. */
function durationAt(parent: Json, key: string): number | undefined {
  const text = parent[key]
  if (text === undefined || text === '') return undefined
  const parts = /^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$/.exec(String(text))
  assert(parts, `${key} is an ISO 8601 duration such as PT1M30S, not ${String(text)}`)
  const [days = 0, hours = 0, minutes = 0, seconds = 0] = parts
    .slice(1)
    .map((part) => Number(part ?? 0))
  return Math.round((((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1_000)
}

/** JSON without comments and without commas before a closing bracket. Strings are left alone. */
const withoutComments = (text: string): string =>
  text
    .replaceAll(/("(?:[^"\\]|\\.)*")|\/\/[^\n]*|\/\*[\s\S]*?\*\//g, (_, string = '') => string)
    .replaceAll(/("(?:[^"\\]|\\.)*")|,(?=\s*[}\]])/g, (_, string = '') => string)
