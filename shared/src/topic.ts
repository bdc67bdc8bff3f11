/**
 * Topics: families of event types, each with the schema of its data. The browser, the gateway and the
 * services import the same definition. Any synchronous Standard Schema will do (zod, Valibot, ArkType).
 */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { assert } from './assert.ts'
import { type ErrorDetails, TidemarkError } from './errors.ts'
import { type Draft, type Entry, namePattern } from './event.ts'
import { fixedLimits } from './limits.ts'
import { isReservedType } from './reserved.ts'

/** The schemas of a topic's event types, by the type's name. */
export type Schemas = Readonly<Record<string, StandardSchemaV1>>

/** The builders of one stream's events: `topic.stream('sku-1').StockReceived({ quantity: 5 })`. */
export type StreamDrafts<Name extends string, S extends Schemas> = {
  readonly [Type in keyof S & string]: (
    data: StandardSchemaV1.InferInput<S[Type]>,
  ) => Draft<Name, Type, StandardSchemaV1.InferInput<S[Type]>>
}

/** The builders of a stream of any topic. */
// oxlint-disable-next-line typescript/no-explicit-any -- builders are contravariant in their data; only any holds them all
export type AnyDrafts = StreamDrafts<string, any>

/** A family of event types. Without arguments: any topic. */
// oxlint-disable-next-line typescript/no-explicit-any -- builders are contravariant in their data; only any holds them all
export interface Topic<Name extends string = string, S extends Schemas = any> {
  readonly name: Name
  readonly schemas: S
  /** The version of each event type's schema. */
  readonly versions: { readonly [Type in keyof S & string]: number }
  /** Builds events of one stream. */
  stream(stream: string): StreamDrafts<Name, S>
  /** The data as its schema returns it. Throws `UNKNOWN_TYPE` or `SCHEMA_INVALID`. */
  check(type: string, version: number, data: unknown): unknown
}

/** The data of one event type, as its schema returns it. */
export type DataOf<T extends Topic, Type extends string> = StandardSchemaV1.InferOutput<
  T['schemas'][Type]
>

/** The entries of a topic, told apart by `type`, with the data that each schema returns. */
export type EntryOf<T extends Topic> = {
  [Type in keyof T['schemas'] & string]: Entry<Type, DataOf<T, Type>>
}[keyof T['schemas'] & string]

const issuesMax = 10

type SchemaIssues = ErrorDetails['SCHEMA_INVALID']['issues']

const readIssues = (issues: readonly StandardSchemaV1.Issue[]): SchemaIssues =>
  issues.slice(0, issuesMax).map(({ path = [], message }) => ({
    path: path.map((step) => String(typeof step === 'object' ? step.key : step)).join('.'),
    message: message.slice(0, 200),
  }))

/** What a schema returns for `data`. Throws `SCHEMA_INVALID`, also where the schema itself throws. */
export function checkSchema(schema: StandardSchemaV1, data: unknown): unknown {
  let issues: SchemaIssues = [{ path: '', message: 'its schema threw, or is asynchronous' }]
  try {
    const result = schema['~standard'].validate(data)
    // Zod answers with a promise that rejects where a check has thrown, and nobody else would hear that.
    if (result instanceof Promise) result.catch(() => {})
    else if (result.issues) issues = readIssues(result.issues)
    else return result.value
  } catch {
    // Data comes from anybody: where a check throws on it, the data does not fit.
  }
  throw new TidemarkError('SCHEMA_INVALID', { issues })
}

/**
 * Defines a topic.
 *
 * @example
 * const inventory = topic('inventory', { StockReceived: z.object({ quantity: z.int().positive() }) })
 */
export function topic<const Name extends string, const S extends Schemas>(
  name: Name,
  schemas: S,
): Topic<Name, S> {
  for (const each of [name, ...Object.keys(schemas)]) {
    assert(
      namePattern.test(each) && each.length <= fixedLimits.nameLengthMax,
      `"${each}" is a name of letters, digits, dots, dashes and underscores`,
    )
  }
  for (const type of Object.keys(schemas)) {
    assert(!isReservedType(type), `"${type}" is not one of Tidemark's own types`)
  }
  const versions = Object.fromEntries(Object.keys(schemas).map((type) => [type, 1]))
  const schemaOf = (type: string) => (Object.hasOwn(schemas, type) ? schemas[type] : undefined)
  return {
    name,
    schemas,
    versions: versions as Topic<Name, S>['versions'],
    stream: (stream) =>
      Object.fromEntries(
        Object.keys(schemas).map((type) => [
          type,
          (data: unknown) => ({ topic: name, stream, type, version: 1, data }),
        ]),
      ) as unknown as StreamDrafts<Name, S>,
    check(type, version, data) {
      const schema = schemaOf(type)
      if (!schema || versions[type] !== version) {
        throw new TidemarkError('UNKNOWN_TYPE', { topic: name, type, version })
      }
      return checkSchema(schema, data)
    },
  }
}
