/** What the development loop says. */
import { relative } from 'node:path'
import type { Topic } from '@tidemark/shared'
import type { FieldChange } from './compare-schemas.ts'
import { changedFolds, type Definitions, typesOf } from './definitions.ts'
import { isBreaking, type SchemaChange } from './published.ts'
import type { DevGateway } from './serve.ts'

/** What it says once it runs. */
export function sayStart(
  { file, folder }: { readonly file: string; readonly folder: string },
  { address, connectionString }: DevGateway,
  { topics }: Definitions,
): string {
  const bus =
    connectionString ?? 'in memory; install @azure/service-bus and rhea, and services can connect'
  return `
  Tidemark for development. FOR DEVELOPMENT ONLY: nobody is asked for a password, whoever says
  "I am ada" (token: () => 'ada') is ada, and who says nothing is anonymous. Only this machine is served.

  WebSocket    ${address}
  Service Bus  ${bus}
  Log          ${relative('', folder) || '.'}, kept until you delete it
  Topics       ${sayTopics([...topics.values()])}, in any scope

  ${relative('', file)} is read again whenever it is saved. Ctrl-C ends it.
`
}

/** What an edit has changed. */
export function sayEdit(file: string, before: Definitions, after: Definitions): string {
  const added = [...after.topics.values()].filter(({ name }) => !before.topics.has(name))
  const gone = [...before.topics.keys()].filter((name) => !after.topics.has(name))
  const types = [...after.topics.values()].flatMap((topic) => {
    const old = before.topics.get(topic.name)
    const known = new Set(old ? typesOf(old) : typesOf(topic))
    return typesOf(topic).flatMap((type) => (known.has(type) ? [] : `${topic.name}/${type}`))
  })
  const lines = [
    ...added.map((topic) => `New topic ${sayTopics([topic])}: it is served.`),
    ...gone.map((name) => `The topic ${name} is gone: what devices still have of it is held.`),
    ...types.map((type) => `New type ${type}: it is served.`),
    ...changedFolds(before, after).map(
      (model) =>
        `The model ${model} has changed: devices fold it anew, nothing is to be done here.`,
    ),
  ]
  return [`Read ${relative('', file)} again.`, ...lines].join('\n')
}

/** What has changed for events that were accepted, field by field. Empty where nothing has. */
export function sayPublished(changes: readonly SchemaChange[]): string {
  if (changes.length === 0) return ''
  const types = changes.map(({ type, events, fields }) => {
    const has = events === 1 ? '1 event' : `${events} events`
    return `${type} has changed, and the log has ${has} of it:\n${sayFields(fields)}`
  })
  const verdict = changes.some(isBreaking)
    ? 'Breaking: events of the log may not fit any more. What devices append now is checked by the new schema.'
    : 'Compatible: every event of the log fits.'
  return [...types, verdict].join('\n')
}

function sayFields(fields: readonly FieldChange[]): string {
  const named = fields.map(({ path, ...field }) => ({ ...field, name: path || '(data)' }))
  const widths = [
    Math.max(...named.map(({ name }) => name.length)),
    Math.max(...named.map(({ what }) => what.length)),
  ] as const
  return named
    .map(({ sign, name, what, isBreaking }) => {
      const kind = isBreaking ? 'breaking' : 'compatible'
      return `  ${sign} ${name.padEnd(widths[0])}  ${what.padEnd(widths[1])}  ${kind}`
    })
    .join('\n')
}

const sayTopics = (topics: readonly Topic[]): string =>
  topics.map((topic) => `${topic.name} (${typesOf(topic).join(', ')})`).join(', ')
