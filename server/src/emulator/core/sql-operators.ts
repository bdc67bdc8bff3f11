/** What the signs and words of an SQL filter do, with SQL's third truth, unknown. */
import type { Envelope } from './message.ts'

/** A value, or `undefined` for what SQL calls NULL and unknown. */
export type Value = string | number | boolean | undefined

/** A parsed expression. */
export type Expression = (envelope: Envelope) => Value

/** Does an order fit: below zero, zero, or above? */
export type Comparison = (order: number) => boolean

/** The signs that compare. */
export const comparisons: { readonly [sign: string]: Comparison | undefined } = {
  '=': (order) => order === 0,
  '<>': (order) => order !== 0,
  '!=': (order) => order !== 0,
  '<': (order) => order < 0,
  '<=': (order) => order <= 0,
  '>': (order) => order > 0,
  '>=': (order) => order >= 0,
}

/** Values of different types are neither equal nor in an order: unknown. */
export function compareValues(one: Value, other: Value, compare: Comparison): Value {
  if (one === undefined || other === undefined || typeof one !== typeof other) return undefined
  return compare(one === other ? 0 : one < other ? -1 : 1)
}

/** True for false, false for true, unknown for unknown. */
export const not =
  (inner: Expression): Expression =>
  (envelope) => {
    const value = inner(envelope)
    return typeof value === 'boolean' ? !value : undefined
  }

/** SQL’s AND of three truths. */
export const and =
  (left: Expression, right: Expression): Expression =>
  (envelope) => {
    const one = left(envelope)
    if (one === false) return false
    const other = right(envelope)
    return other === false ? false : one === true && other === true ? true : undefined
  }

/** SQL’s OR of three truths. */
export const or =
  (left: Expression, right: Expression): Expression =>
  (envelope) => {
    const one = left(envelope)
    if (one === true) return true
    const other = right(envelope)
    return other === true ? true : one === false && other === false ? false : undefined
  }

/** Numbers make numbers; anything else is unknown. */
export const arithmetic =
  (left: Expression, right: Expression, run: (a: number, b: number) => number): Expression =>
  (envelope) => {
    const one = left(envelope)
    const other = right(envelope)
    return typeof one === 'number' && typeof other === 'number' ? run(one, other) : undefined
  }

/** Adds numbers, joins texts. */
export const add =
  (left: Expression, right: Expression): Expression =>
  (envelope) => {
    const one = left(envelope)
    const other = right(envelope)
    if (typeof one === 'string' && typeof other === 'string') return one + other
    return typeof one === 'number' && typeof other === 'number' ? one + other : undefined
  }

/** The pattern of a LIKE: % is any text, _ any character. */
export function likePattern(text: string, escape: string | undefined): RegExp {
  let source = ''
  for (let at = 0; at < text.length; at += 1) {
    const letter = text[at] ?? ''
    if (letter === escape) {
      at += 1
      source += escapeLetter(text[at] ?? '')
    } else if (letter === '%') source += '.*'
    else if (letter === '_') source += '.'
    else source += escapeLetter(letter)
  }
  return new RegExp(`^${source}$`, 's')
}

const escapeLetter = (letter: string): string => letter.replace(/[\\^$.*+?()[\]{}|/-]/, '\\$&')

const toValue = (value: unknown): Value => {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') {
    return value
  }
  if (typeof value === 'bigint') return Number(value)
  return value instanceof Date ? value.toISOString() : undefined
}

/** An application property. */
export const userProperty =
  (name: string): Expression =>
  ({ properties }) =>
    toValue(properties[name])

const systemProperties: { readonly [name: string]: Expression | undefined } = {
  messageid: ({ messageId }) => messageId,
  sessionid: ({ sessionId }) => sessionId,
  correlationid: ({ correlationId }) => correlationId,
  label: ({ subject }) => subject,
  subject: ({ subject }) => subject,
  to: ({ to }) => to,
  replyto: ({ replyTo }) => replyTo,
  replytosessionid: ({ replyToSessionId }) => replyToSessionId,
  contenttype: ({ contentType }) => contentType,
}

/** A property of the broker’s own, by its name after `sys.`. */
export function systemProperty(name: string, fail: () => SyntaxError): Expression {
  const property = systemProperties[name.toLowerCase()]
  if (!property) throw fail()
  return property
}
