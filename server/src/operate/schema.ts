/**
 * What a topic's definition says to people who do not write TypeScript: JSON Schema of each event's data, and
 * an AsyncAPI document of the messages on the bus. Both are of the data as authors write it, which is what travels.
 */
import { type Topic, assert } from '@tidemark/shared'

/** A JSON Schema, or a part of one. */
export type JsonSchema = Readonly<Record<string, unknown>>

/** What a vendor's schema is described with where it cannot describe itself. */
export type Describe = (schema: unknown) => JsonSchema

/** By the vendor's name (`zod`, `valibot`), as Standard Schema gives it. */
export type Describers = Readonly<Record<string, Describe | undefined>>

const draft = 'https://json-schema.org/draft/2020-12/schema'
const target = 'draft-2020-12'

/** A type whose schema says nothing about itself in JSON Schema. `message` names it and says what to do. */
export class UndescribedSchema extends Error {
  override readonly name = 'UndescribedSchema'
}

/** One event type of a topic. */
interface Described {
  readonly type: string
  readonly version: number
  readonly schema: JsonSchema
}

/** What Standard JSON Schema adds to Standard Schema. */
interface SelfDescribing {
  readonly vendor: string
  readonly jsonSchema?: { input(options: { readonly target: string }): JsonSchema }
}

const advice: Readonly<Record<string, string | undefined>> = {
  zod: 'Install zod 4.2 or newer beside your config file',
  valibot:
    'Install @valibot/to-json-schema beside your config file, or wrap the schema with its toStandardJsonSchema',
}

/**
 * The JSON Schemas of topics, as one document with a definition for each event type, `inventory.StockReceived.1`.
 * Throws `UndescribedSchema`.
 */
export function toJsonSchema(
  topics: readonly Topic[],
  describers: Describers = {},
): Readonly<Record<string, unknown>> {
  const definitions = topics.flatMap((topic) =>
    describe(topic, describers).map(({ type, version, schema }) => [
      `${topic.name}.${type}.${version}`,
      { title: `${type}, version ${version}`, ...schema },
    ]),
  )
  return {
    $schema: draft,
    title: `Event data of ${topics.map(({ name }) => name).join(', ')}`,
    $defs: Object.fromEntries(definitions) as Readonly<Record<string, unknown>>,
  }
}

/**
 * The AsyncAPI 3.0 document of topics on Azure Service Bus: a channel for each topic, a message for each event
 * type, with the application properties of a CloudEvent in AMQP binary mode. Throws `UndescribedSchema`.
 */
export function toAsyncApi(
  topics: readonly Topic[],
  options: { readonly title?: string; readonly version?: string } = {},
  describers: Describers = {},
): Readonly<Record<string, unknown>> {
  const described = topics.map((topic) => ({ topic, types: describe(topic, describers) }))
  const messages = described.flatMap(({ topic, types }) =>
    types.map((one) => [`${topic.name}.${one.type}`, messageOf(topic.name, one)]),
  )
  return {
    asyncapi: '3.0.0',
    info: { title: options.title ?? 'Events', version: options.version ?? '1.0.0' },
    defaultContentType: 'application/json',
    servers: {
      servicebus: {
        host: '{namespace}.servicebus.windows.net:5671',
        protocol: 'amqps',
        protocolVersion: '1.0',
        variables: { namespace: { description: 'The name of the Service Bus namespace.' } },
      },
    },
    channels: Object.fromEntries(
      described.map(({ topic, types }) => [topic.name, channelOf(topic.name, types)]),
    ),
    operations: Object.fromEntries(
      described.flatMap(({ topic: { name } }) => [
        [`send.${name}`, operationOf('send', name)],
        [`receive.${name}`, operationOf('receive', name)],
      ]),
    ),
    components: {
      messages: Object.fromEntries(messages),
      schemas: { cloudEvent: cloudEventHeaders, ...deadLetteredSchema },
    },
  }
}

function describe(topic: Topic, describers: Describers): readonly Described[] {
  const versions: Readonly<Record<string, number>> = topic.versions
  return Object.entries(topic.schemas).map(([type, schema]) => {
    const version = versions[type]
    assert(version !== undefined, `${topic.name}/${type} has a version`)
    return { type, version, schema: describeOne(`${topic.name}/${type}`, schema, describers) }
  })
}

function describeOne(name: string, schema: unknown, describers: Describers): JsonSchema {
  const standard = (schema as { readonly '~standard': SelfDescribing })['~standard']
  const describer = describers[standard.vendor]
  try {
    if (standard.jsonSchema) return withoutDraft(standard.jsonSchema.input({ target }))
    if (describer) return withoutDraft(describer(schema))
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    const why = `The schema of ${name} has no JSON Schema: ${reason}`
    throw new UndescribedSchema(why, { cause })
  }
  const what = advice[standard.vendor] ?? 'Its library has to offer Standard JSON Schema'
  throw new UndescribedSchema(
    `The schema of ${name} is made with ${standard.vendor}, and cannot describe itself as JSON Schema. ${what}.`,
  )
}

/** The draft is named once, for the whole document. */
const withoutDraft = ({ $schema: _draft, ...schema }: JsonSchema): JsonSchema => schema

const channelOf = (name: string, types: readonly Described[]) => ({
  address: name,
  title: `The Service Bus topic ${name}`,
  description:
    'Messages of one stream share a session id, `scope/stream`, and come in the order of the log to a subscription that requires sessions. Delivery is at least once: deduplicate by `cloudEvents_id`.',
  messages: {
    ...Object.fromEntries(
      types.map(({ type }) => [type, { $ref: `#/components/messages/${name}.${type}` }]),
    ),
    'tidemark.DeadLettered': deadLetteredMessage,
  },
})

const operationOf = (action: 'send' | 'receive', name: string) => ({
  action,
  channel: { $ref: `#/channels/${name}` },
})

function messageOf(topic: string, { type, version, schema }: Described) {
  return {
    name: type,
    title: `${type}, version ${version}`,
    contentType: 'application/json',
    correlationId: { location: '$message.header#/cloudEvents_correlationid' },
    headers: {
      allOf: [
        { $ref: '#/components/schemas/cloudEvent' },
        {
          type: 'object',
          properties: {
            cloudEvents_type: { const: type },
            cloudEvents_schemaversion: { const: String(version) },
            cloudEvents_source: { type: 'string', pattern: `^/${topic}/` },
          },
        },
      ],
    },
    payload: schema,
  }
}

const text = (description: string) => ({ type: 'string', description })

/** The application properties of every message; docs/bus.md is the long form. */
const cloudEventHeaders = {
  type: 'object',
  required: [
    'cloudEvents_specversion',
    'cloudEvents_id',
    'cloudEvents_source',
    'cloudEvents_type',
    'cloudEvents_subject',
    'cloudEvents_scope',
    'cloudEvents_schemaversion',
  ],
  properties: {
    cloudEvents_specversion: { const: '1.0' },
    cloudEvents_id: { type: 'string', format: 'uuid', description: 'The event’s id at every hop.' },
    cloudEvents_source: text('`/topic/scope`.'),
    cloudEvents_type: text('The type of the event.'),
    cloudEvents_subject: text('The stream.'),
    cloudEvents_time: { type: 'string', format: 'date-time', description: 'As its author claims.' },
    cloudEvents_scope: text('Whose events these are.'),
    cloudEvents_schemaversion: text('The version of the data’s schema, a whole number.'),
    cloudEvents_author: text('Who appended it.'),
    cloudEvents_epoch: text('The log that the position belongs to.'),
    cloudEvents_position: text('The place in the log, a whole number.'),
    cloudEvents_revision: text('The place in the stream, a whole number.'),
    cloudEvents_causationid: text('The event that this one answers.'),
    cloudEvents_correlationid: text('The conversation that it belongs to.'),
    cloudEvents_traceparent: text('W3C Trace Context.'),
    cloudEvents_batch: text('The first event of its batch.'),
    cloudEvents_replayed: text('`true` where it is sent again from history.'),
    cloudEvents_onlyfor: text('The subscription that it is for; every other one passes it by.'),
  },
}

const deadLetteredMessage = {
  name: 'tidemark.DeadLettered',
  title: 'A consumer has set an event aside until a person looks at it',
  contentType: 'application/json',
  headers: { $ref: '#/components/schemas/cloudEvent' },
  payload: { $ref: '#/components/schemas/tidemark.DeadLettered' },
}

const deadLetteredSchema = {
  'tidemark.DeadLettered': {
    type: 'object',
    required: ['id', 'consumer', 'code', 'reason', 'attempts'],
    properties: {
      id: text('The event that could not be processed.'),
      consumer: text('The name of the consumer.'),
      code: text('Why, as a code.'),
      reason: text('Why, as a sentence.'),
      attempts: { type: 'integer', minimum: 0 },
    },
  },
}
