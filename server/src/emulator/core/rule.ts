/** Which messages a subscription takes: rules of a filter, and what a filter compares. */
import type { Envelope, MessageFields } from './message.ts'
import { isTrue, parseSql } from './sql.ts'
import type { Expression } from './sql-operators.ts'

/** What a correlation filter compares; all that is named must be equal. */
export interface Correlation extends Partial<Record<keyof MessageFields, string | undefined>> {
  readonly properties?: Readonly<Record<string, unknown>>
}

/** A filter. The text of an SQL filter is kept to be shown again. */
export type Filter =
  | { readonly type: 'true' }
  | { readonly type: 'false' }
  | { readonly type: 'correlation'; readonly correlation: Correlation }
  | { readonly type: 'sql'; readonly text: string; readonly expression: Expression }

/** A named filter of a subscription. */
export interface RuleOptions {
  readonly name: string
  readonly filter: Filter
}

/** The rule that a subscription has unless it is given others. */
export const defaultRule: RuleOptions = { name: '$Default', filter: { type: 'true' } }

/** The filter that an SQL text describes, or what is wrong with it. */
export function sqlFilter(text: string): Filter | string {
  const expression = parseSql(text)
  return typeof expression === 'string' ? expression : { type: 'sql', text, expression }
}

/** Does the filter let this message in? */
export function fits(filter: Filter, envelope: Envelope): boolean {
  switch (filter.type) {
    case 'true':
      return true
    case 'false':
      return false
    case 'correlation':
      return correlates(filter.correlation, envelope)
    case 'sql':
      return isTrue(filter.expression, envelope)
  }
}

function correlates({ properties, ...fields }: Correlation, envelope: Envelope): boolean {
  for (const [name, wanted] of Object.entries(fields)) {
    if (wanted !== undefined && envelope[name as keyof MessageFields] !== wanted) return false
  }
  if (!properties) return true
  return Object.entries(properties).every(([name, wanted]) =>
    isSame(envelope.properties[name], wanted),
  )
}

const isSame = (one: unknown, other: unknown): boolean =>
  one instanceof Date && other instanceof Date
    ? one.getTime() === other.getTime()
    : one === other || (typeof one !== typeof other && String(one) === String(other))
