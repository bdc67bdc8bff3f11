/**
 * The event types that Tidemark itself publishes. Every topic has them without declaring them: they
 * travel, are stored and are delivered like any other event, so what became of an event reaches its author.
 */
import { type Check, integer, type Passed, record, text } from './shape.ts'

const deadLettered = record({
  /** The event that a consumer could not process. */
  id: text(36),
  /** The consumer's name. */
  consumer: text(100),
  /** Why, as a code: the app's own, or one from the table of errors. */
  code: text(100),
  /** Why, as a sentence that may be shown to people. */
  reason: text(500),
  attempts: integer(0),
})

/** The data of `tidemark.DeadLettered`: a consumer has set an event aside until a person looks at it. */
export type DeadLettered = Passed<typeof deadLettered>

const reserved: Readonly<Record<string, Check<unknown>>> = { 'tidemark.DeadLettered': deadLettered }

/** Types that start like this are Tidemark's own, and no topic may declare one. */
export const isReservedType = (type: string): boolean => type.startsWith('tidemark.')

/** Says what is wrong with the data of a reserved type, or nothing. Only version 1 exists. */
export function findReservedFault(
  type: string,
  version: number,
  data: unknown,
): string | undefined {
  const check = Object.hasOwn(reserved, type) ? reserved[type] : undefined
  return check && version === 1 ? check(data, 'data') : `${type} ${version} is not known`
}
