/** Listing, adding and removing the rules of a subscription while it is in use. */
import type { AmqpWriter } from './amqp-writer.ts'
import { type Correlation, type Filter, type RuleOptions, sqlFilter } from './core/rule.ts'
import { type Call, failed, ok, type Response } from './requests.ts'

/** The descriptors of what a rule consists of. */
const descriptors = {
  rule: 1_335_734_829_060,
  sqlFilter: 83_483_426_822,
  trueFilter: 83_483_426_823,
  falseFilter: 83_483_426_824,
  correlationFilter: 83_483_426_825,
  emptyAction: 1_335_734_829_061,
}

/** `com.microsoft:enumerate-rules`. */
export function enumerateRules(call: Call): Response {
  const rules = rulesAt(call)
  if (!rules) return missing(call)
  const skip = Number(call.body['skip'] ?? 0)
  const found = [...rules.values()].slice(skip, skip + Number(call.body['top'] ?? 100))
  if (found.length === 0) return { status: 204, description: 'No Content' }
  return ok((writer) =>
    writer.map({
      rules: (value) =>
        value.list(
          found.map((rule) => (item) => {
            item.map({ 'rule-description': (description) => writeRule(description, rule) })
          }),
        ),
    }),
  )
}

/** `com.microsoft:add-rule`. */
export function addRule(call: Call): Response {
  const rules = rulesAt(call)
  if (!rules) return missing(call)
  const name = String(call.body['rule-name'])
  if (rules.has(name)) {
    const text = `The messaging entity '${call.path}/Rules/${name}' already exists.`
    return failed(409, 'com.microsoft:entity-already-exists', text)
  }
  const description = call.body['rule-description'] as Readonly<Record<string, unknown>>
  if (description['sql-rule-action'] !== undefined) {
    return failed(501, 'amqp:not-implemented', 'Rule actions are not emulated.')
  }
  const filter = toFilter(description)
  if (typeof filter === 'string') return failed(400, 'com.microsoft:argument-error', filter)
  rules.set(name, { name, filter })
  return ok()
}

/** `com.microsoft:remove-rule`. */
export function removeRule(call: Call): Response {
  const rules = rulesAt(call)
  if (!rules) return missing(call)
  const name = String(call.body['rule-name'])
  if (rules.delete(name)) return ok()
  const text = `The messaging entity '${call.path}/Rules/${name}' could not be found.`
  return failed(404, 'amqp:not-found', text)
}

const missing = ({ path }: Call): Response =>
  failed(404, 'amqp:not-found', `The messaging entity '${path}' could not be found.`)

function rulesAt({ world, path }: Call): Map<string, RuleOptions> | undefined {
  const [topic = '', subscription = ''] = path.split(/\/subscriptions\//i)
  const branch = world.namespace.destination(topic)?.branches.get(subscription.toLowerCase())
  return branch?.rules
}

/** The filter that a rule description asks for, or what is wrong with it. */
function toFilter(description: Readonly<Record<string, unknown>>): Filter | string {
  const sql = description['sql-filter'] as { readonly expression: unknown } | undefined
  if (sql) return sqlFilter(String(sql.expression))
  const wanted = (description['correlation-filter'] ?? {}) as Readonly<Record<string, unknown>>
  const text = (name: string) => (typeof wanted[name] === 'string' ? wanted[name] : undefined)
  const correlation: Correlation = {
    correlationId: text('correlation-id'),
    messageId: text('message-id'),
    to: text('to'),
    replyTo: text('reply-to'),
    subject: text('label'),
    sessionId: text('session-id'),
    replyToSessionId: text('reply-to-session-id'),
    contentType: text('content-type'),
    properties: (wanted['properties'] ?? {}) as Readonly<Record<string, unknown>>,
  }
  return { type: 'correlation', correlation }
}

function described(writer: AmqpWriter, code: number): AmqpWriter {
  const bytes = Buffer.alloc(9)
  bytes[0] = 0x80
  bytes.writeBigUInt64BE(BigInt(code), 1)
  return writer.byte(0x00).raw(bytes)
}

function writeRule(writer: AmqpWriter, { name, filter }: RuleOptions): void {
  described(writer, descriptors.rule).list([
    (item) => writeFilter(item, filter),
    (item) => described(item, descriptors.emptyAction).list([]),
    (item) => item.text(name),
  ])
}

function writeFilter(writer: AmqpWriter, filter: Filter): void {
  switch (filter.type) {
    case 'true':
      described(writer, descriptors.trueFilter).list([])
      return
    case 'false':
      described(writer, descriptors.falseFilter).list([])
      return
    case 'sql':
      described(writer, descriptors.sqlFilter).list([(item) => item.text(filter.text)])
      return
    case 'correlation': {
      const { properties = {}, ...fields } = filter.correlation
      const order = [
        fields.correlationId,
        fields.messageId,
        fields.to,
        fields.replyTo,
        fields.subject,
        fields.sessionId,
        fields.replyToSessionId,
        fields.contentType,
      ]
      const texts = order.map((field) => (item: AmqpWriter) => void item.value(field))
      const entries = Object.entries(properties).map(
        ([key, value]) => [key, (item: AmqpWriter) => void item.value(value)] as const,
      )
      described(writer, descriptors.correlationFilter).list([
        ...texts,
        (item) => item.map(Object.fromEntries(entries)),
      ])
    }
  }
}
