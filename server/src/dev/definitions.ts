/** What an events file defines: the topics that it exports, those of its models, and how its models fold. */
import { inspect } from 'node:util'
import { type AnyModel, TidemarkError, type Topic } from '@tidemark/shared'

/** The definitions of an events file. */
export interface Definitions {
  /** By their names. */
  readonly topics: ReadonlyMap<string, Topic>
  /** What a stored state rests on, by the name of the model's export. */
  readonly folds: ReadonlyMap<string, Readonly<Record<string, string>>>
}

/** Reads what a module exports. Throws `EVENTS_INVALID` where that is no topic, or two of one name. */
export function toDefinitions(
  module: Readonly<Record<string, unknown>>,
  file: string,
): Definitions {
  const topics = new Map<string, Topic>()
  const folds = new Map<string, Readonly<Record<string, string>>>()
  for (const [name, value] of Object.entries(module)) {
    const topic = isTopic(value) ? value : isModel(value) ? value.topic : undefined
    if (!topic) continue
    const known = topics.get(topic.name)
    if (known && known !== topic) {
      const reason = `it exports two topics named ${topic.name}`
      throw new TidemarkError('EVENTS_INVALID', { file, reason })
    }
    topics.set(topic.name, topic)
    if (isModel(value)) folds.set(name, foldsOf(value))
  }
  if (topics.size > 0) return { topics, folds }
  const reason = 'it exports no topic: export const inventory = topic(…)'
  throw new TidemarkError('EVENTS_INVALID', { file, reason })
}

/** What differs between the folds of two loads: for each model what has changed in it. */
export function changedFolds(before: Definitions, after: Definitions): readonly string[] {
  return [...after.folds].flatMap(([name, parts]) => {
    const old = before.folds.get(name)
    if (!old) return []
    const names = new Set([...Object.keys(old), ...Object.keys(parts)])
    const changed = [...names].filter((part) => old[part] !== parts[part])
    return changed.length === 0 ? [] : [`${name} (${changed.join(', ')})`]
  })
}

/** The event types of a topic, in the order in which it names them. */
export const typesOf = (topic: Topic): readonly string[] => Object.keys(topic.schemas)

function foldsOf(model: AnyModel): Record<string, string> {
  const { version, initial, key, isByStream, on, indexes } = model
  const parts: Record<string, string> = {
    version: String(version),
    initial: inspect(initial, { depth: null, sorted: true }),
    key: isByStream ? 'stream' : String(key),
  }
  for (const [type, fold] of Object.entries(on)) parts[type] = String(fold)
  for (const [name, index] of Object.entries(indexes)) parts[`index ${name}`] = String(index)
  return parts
}

/** What has been imported is of no type that a compiler has checked. */
function isTopic(value: unknown): value is Topic {
  const found = value as Partial<Topic> | undefined | null
  return (
    typeof found === 'object' &&
    typeof found?.name === 'string' &&
    typeof found.schemas === 'object' &&
    typeof found.check === 'function'
  )
}

function isModel(value: unknown): value is AnyModel {
  const found = value as Partial<AnyModel> | undefined | null
  return (
    typeof found === 'object' &&
    isTopic(found?.topic) &&
    typeof found?.version === 'number' &&
    typeof found.on === 'object'
  )
}
