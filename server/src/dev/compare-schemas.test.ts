import { topic } from '@tidemark/shared'
import { expect, test } from 'vitest'
import * as z from 'zod'
import { type JsonSchema, toJsonSchema } from '../operate/schema.ts'
import { compareSchemas } from './compare-schemas.ts'

const describe = (schema: z.ZodType): JsonSchema => {
  const { $defs } = toJsonSchema([topic('t', { T: schema })])
  return ($defs as Readonly<Record<string, JsonSchema>>)['t.T.1'] ?? {}
}
const compare = (before: z.ZodType, after: z.ZodType): readonly string[] =>
  compareSchemas(describe(before), describe(after)).map(
    ({ sign, path, what, isBreaking }) =>
      `${sign} ${path}: ${what}${isBreaking ? ', breaking' : ''}`,
  )

const base = z.object({ quantity: z.int() })
const cases: readonly [string, z.ZodType, z.ZodType, readonly string[]][] = [
  ['nothing', base, z.object({ quantity: z.int() }).describe('The same.'), []],
  [
    'an optional field that is new',
    base,
    base.extend({ note: z.string().optional() }),
    ['+ note: string, optional'],
  ],
  [
    'a field with a default that is new',
    base,
    base.extend({ currency: z.string().default('EUR') }),
    ['+ currency: string, optional'],
  ],
  [
    'a required field that is new',
    base,
    base.extend({ note: z.string() }),
    ['+ note: string, required, breaking'],
  ],
  ['a field that is gone', base, z.object({}), ['- quantity: integer, breaking']],
  [
    'another type',
    base,
    z.object({ quantity: z.string() }),
    ['~ quantity: integer → string, breaking'],
  ],
  [
    'a field that is required now',
    z.object({ a: z.string().optional() }),
    z.object({ a: z.string() }),
    ['~ a: optional → required, breaking'],
  ],
  [
    'a field that is optional now',
    z.object({ a: z.string() }),
    z.object({ a: z.string().optional() }),
    ['~ a: required → optional'],
  ],
  [
    'a bound that is new',
    base,
    z.object({ quantity: z.int().positive() }),
    ['~ quantity: integer → integer (exclusiveMinimum 0), breaking'],
  ],
  [
    'a bound that is gone',
    z.object({ a: z.string().min(2) }),
    z.object({ a: z.string() }),
    ['~ a: string (minLength 2) → string'],
  ],
  [
    'one more word',
    z.object({ a: z.enum(['x']) }),
    z.object({ a: z.enum(['x', 'y']) }),
    ['~ a: "x" → "x" | "y"'],
  ],
  [
    'one word less',
    z.object({ a: z.enum(['x', 'y']) }),
    z.object({ a: z.enum(['x']) }),
    ['~ a: "x" | "y" → "x", breaking'],
  ],
  [
    'fields inside fields and lists',
    z.object({
      to: z.object({ street: z.string() }),
      lines: z.array(z.object({ sku: z.string() })),
    }),
    z.object({ to: z.object({}), lines: z.array(z.object({ sku: z.int() })) }),
    ['- to.street: string, breaking', '~ lines[].sku: string → integer, breaking'],
  ],
  [
    'fields that are called as annotations are',
    z.object({ title: z.string() }),
    z.object({ title: z.int() }),
    ['~ title: string → integer, breaking'],
  ],
  [
    'data that is no object any more',
    base,
    z.union([base, z.string()]),
    ['~ : object → object | string, breaking'],
  ],
  [
    'a list of something else',
    z.object({ a: z.array(z.string()) }),
    z.object({ a: z.array(z.int()) }),
    ['~ a[]: string → integer, breaking'],
  ],
]

test.each(cases)(
  '[Y3] what has changed in a schema is said field by field: %s',
  (_name, before, after, expected) => {
    expect(compare(before, after)).toEqual(expected)
  },
)

test('a field that is only described in other words has not changed', () => {
  const title = z.object({ a: z.string().meta({ title: 'A', description: 'One' }) })
  expect(compare(title, z.object({ a: z.string() }))).toEqual([])
})
