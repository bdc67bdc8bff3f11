/**
 * Two JSON Schemas of one event type, field by field: what was added, removed or changed, and whether what
 * was written by the old one still fits the new one.
 */
import type { JsonSchema } from '../operate/schema.ts'

/** One difference. */
export interface FieldChange {
  readonly sign: '+' | '-' | '~'
  /** `address.street`, `lines[].sku`; empty for the data as a whole. */
  readonly path: string
  /** What was added or removed, or from what to what it has changed. */
  readonly what: string
  /** May data of the old schema not fit the new one? */
  readonly isBreaking: boolean
}

/** What people read, and no data is judged by. */
const annotations = new Set([
  'title',
  'description',
  'default',
  'examples',
  'deprecated',
  'readOnly',
  'writeOnly',
  '$comment',
])

/** What is compared by itself. */
const structure = new Set(['type', 'properties', 'required', 'items', 'enum', 'const', 'anyOf'])

/** The differences between two schemas of a type. */
export function compareSchemas(
  before: JsonSchema,
  after: JsonSchema,
  path = '',
): readonly FieldChange[] {
  if (canonical(before) === canonical(after)) return []
  const rest = canonical(without(before)) === canonical(without(after))
  if (isObject(before) && isObject(after) && rest) return compareFields(before, after, path)
  if (isSchema(before['items']) && isSchema(after['items']) && rest) {
    return compareSchemas(before['items'], after['items'], `${path}[]`)
  }
  const what = `${sayType(before)} → ${sayType(after)}`
  return [{ sign: '~', path, what, isBreaking: !isWider(before, after) }]
}

function compareFields(
  before: JsonSchema,
  after: JsonSchema,
  path: string,
): readonly FieldChange[] {
  const [old, now] = [fieldsOf(before), fieldsOf(after)]
  const names = [...new Set([...Object.keys(old), ...Object.keys(now)])]
  return names.flatMap((name): readonly FieldChange[] => {
    const at = path === '' ? name : `${path}.${name}`
    const [was, is] = [old[name], now[name]]
    if (!was && is) {
      const isBreaking = is.isRequired
      return [{ sign: '+', path: at, what: `${sayType(is.schema)}, ${sayNeed(is)}`, isBreaking }]
    }
    if (was && !is) return [{ sign: '-', path: at, what: sayType(was.schema), isBreaking: true }]
    if (!was || !is) return []
    const need: FieldChange = {
      sign: '~',
      path: at,
      what: `${sayNeed(was)} → ${sayNeed(is)}`,
      isBreaking: is.isRequired,
    }
    const inside = compareSchemas(was.schema, is.schema, at)
    return was.isRequired === is.isRequired ? inside : [need, ...inside]
  })
}

interface Field {
  readonly schema: JsonSchema
  readonly isRequired: boolean
}

function fieldsOf(schema: JsonSchema): Readonly<Record<string, Field | undefined>> {
  const required = new Set((schema['required'] ?? []) as readonly string[])
  const properties = (schema['properties'] ?? {}) as Readonly<Record<string, JsonSchema>>
  return Object.fromEntries(
    Object.entries(properties).map(([name, each]) => [
      name,
      { schema: each, isRequired: required.has(name) },
    ]),
  )
}

const sayNeed = ({ isRequired }: Field): string => (isRequired ? 'required' : 'optional')

/** Does everything that fitted `before` fit `after`: fewer bounds on the same type, or more words to choose from? */
function isWider(before: JsonSchema, after: JsonSchema): boolean {
  const [words, more] = [before['enum'], after['enum']]
  if (Array.isArray(words) && Array.isArray(more)) return words.every((word) => more.includes(word))
  const judged = Object.entries(after).filter(([key]) => !annotations.has(key))
  return judged.every(([key, value]) => canonical(before[key]) === canonical(value))
}

/** A schema in a few words: `integer (exclusiveMinimum 0)`, `"sale" | "damage"`, `string[]`. */
function sayType(schema: JsonSchema): string {
  const { enum: words, const: word, anyOf, items, type } = schema
  if (Array.isArray(words)) return words.map((each) => JSON.stringify(each)).join(' | ')
  if (word !== undefined) return JSON.stringify(word)
  if (Array.isArray(anyOf)) return anyOf.map((each) => sayType(each as JsonSchema)).join(' | ')
  const bounds = Object.entries(without(schema)).filter(
    ([, value]) => Math.abs(Number(value)) !== Number.MAX_SAFE_INTEGER,
  )
  const said = bounds.map(([key, value]) => `${key} ${sayValue(value)}`).join(', ')
  const name = isSchema(items) ? `${sayType(items)}[]` : String(type ?? 'anything')
  return said === '' ? name : `${name} (${said})`
}

const sayValue = (value: unknown): string =>
  typeof value === 'string' ? value : JSON.stringify(value)

const isSchema = (value: unknown): value is JsonSchema =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isObject = (schema: JsonSchema): boolean => schema['type'] === 'object'

/** A schema's bounds: what is left of it without its structure and what people read. */
const without = (schema: JsonSchema): JsonSchema =>
  Object.fromEntries(
    Object.entries(schema).filter(([key]) => !structure.has(key) && !annotations.has(key)),
  )

/** The same text for the same schema, in whatever order its keys stand. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((each) => canonical(each)).join(',')}]`
  if (!isSchema(value)) return JSON.stringify(value) ?? 'undefined'
  return writeSorted(
    value,
    (key) => !annotations.has(key),
    (key) => {
      const inner = value[key]
      // Fields may be called what annotations are called, and the order of the required ones says nothing.
      if (key === 'properties' && isSchema(inner))
        return writeSorted(
          inner,
          () => true,
          (name) => canonical(inner[name]),
        )
      return canonical(key === 'required' && Array.isArray(inner) ? inner.toSorted() : inner)
    },
  )
}

const writeSorted = (
  record: JsonSchema,
  counts: (key: string) => boolean,
  write: (key: string) => string,
): string =>
  `{${Object.keys(record)
    .filter(counts)
    .toSorted()
    .map((key) => `${JSON.stringify(key)}:${write(key)}`)
    .join(',')}}`
