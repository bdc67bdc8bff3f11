/**
 * The schemas under which the events of the development log were accepted, remembered beside it. A type that
 * has no events may change as it likes; one that has keeps its schema here until its events fit the new one,
 * or the log has been emptied.
 */
import { writeFileSync } from 'node:fs'
import { parseEntry, type Position, type Topic } from '@tidemark/shared'
import type { Log } from '../log/log.ts'
import {
  type Describers,
  type JsonSchema,
  toJsonSchema,
  UndescribedSchema,
} from '../operate/schema.ts'
import { compareSchemas, type FieldChange } from './compare-schemas.ts'
import { typesOf } from './definitions.ts'
import { readText } from './load.ts'

/** What has become of the schema of a type that has events. */
export interface SchemaChange {
  /** `inventory/StockReceived`. */
  readonly type: string
  /** How many of its events are in the log. */
  readonly events: number
  readonly fields: readonly FieldChange[]
}

/** The schemas that the log's events were accepted under. */
export interface Published {
  /**
   * What has changed for the events of the log, against what is remembered; a type whose events all fit is
   * remembered as it is now. A schema that cannot be described is left out.
   */
  compare(topics: readonly Topic[], log: Log): Promise<readonly SchemaChange[]>
}

/** May the events of the log not fit any more? */
export const isBreaking = ({ fields }: SchemaChange): boolean =>
  fields.some((field) => field.isBreaking)

/** By `inventory/StockReceived`. Absent: it cannot be described. */
type Schemas = Readonly<Record<string, JsonSchema | undefined>>

/** The bytes of the log that are read at a time. */
const pageBytesMax = 1_048_576

const removedType: FieldChange = { sign: '-', path: '', what: 'the whole type', isBreaking: true }

/** Opens what is remembered in a file, which need not exist yet. `describers`: what `toJsonSchema` asks for. */
export function openPublished(
  path: string,
  describers: (topics: readonly Topic[]) => Promise<Describers>,
): Published {
  let remembered = readSchemas(path)
  return {
    async compare(topics, log) {
      const now = describeTypes(topics, await describers(topics))
      const changed = Object.entries(remembered).flatMap(([type, before]) => {
        const fields = findChanges(type, before, now)
        return fields.length === 0 ? [] : [{ type, fields }]
      })
      const counts = changed.length === 0 ? new Map() : await countEvents(log)
      const changes = changed
        .map((change): SchemaChange => ({ ...change, events: counts.get(change.type) ?? 0 }))
        .filter(({ events }) => events > 0)
      const kept = changes.filter(isBreaking).map(({ type }) => [type, remembered[type]])
      remembered = { ...now, ...(Object.fromEntries(kept) as Schemas) }
      writeFileSync(path, `${JSON.stringify(remembered, undefined, 2)}\n`)
      return changes
    },
  }
}

function findChanges(
  type: string,
  before: JsonSchema | undefined,
  now: Schemas,
): readonly FieldChange[] {
  if (!Object.hasOwn(now, type)) return [removedType]
  const after = now[type]
  return before && after ? compareSchemas(before, after) : []
}

/** A file that is damaged remembers nothing: it is only there to compare with. */
function readSchemas(path: string): Schemas {
  try {
    return JSON.parse(readText(path) ?? '{}') as Schemas
  } catch {
    return {}
  }
}

function describeTypes(topics: readonly Topic[], describers: Describers): Schemas {
  const described = topics.flatMap((topic) =>
    typesOf(topic).map((type) => [`${topic.name}/${type}`, describe(topic, type, describers)]),
  )
  return Object.fromEntries(described) as Schemas
}

function describe(topic: Topic, type: string, describers: Describers): JsonSchema | undefined {
  const schemas = { [type]: topic.schemas[type] }
  try {
    const { $defs } = toJsonSchema([{ ...topic, schemas }], describers)
    return Object.values($defs as Readonly<Record<string, JsonSchema>>)[0]
  } catch (error) {
    if (error instanceof UndescribedSchema) return undefined
    throw error
  }
}

/** How many events of each type the log has, in all scopes. */
async function countEvents(log: Log): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>()
  for (const name of await log.logs()) {
    let position = 0 as Position
    for (let more = true; more;) {
      const page = await log.read(name, position, pageBytesMax)
      for (const line of page.chunks.flatMap((chunk) => chunk.split('\n'))) {
        const type = `${name.topic}/${parseEntry(name, line).type}`
        counts.set(type, (counts.get(type) ?? 0) + 1)
      }
      position = page.upTo
      more = page.more
    }
  }
  return counts
}
