/**
 * Checks for the few shapes that cross the wire, small enough for a browser bundle. A check answers
 * with what is wrong and where, or with nothing; unknown fields are left alone, so that a newer peer
 * can say more. Payloads are checked by the topic's own schema, not here.
 *
 * Making a check has no side effects, and says so: a bundle leaves out the checks that it does not use.
 */

/** Says what is wrong with `value`, naming it by `path`, or nothing. */
export interface Check<T> {
  (value: unknown, path: string): string | undefined
  /** Type only: what a value that passes is. */
  readonly passes?: T
}

/** The type that a check lets pass. */
export type Passed<C> = C extends Check<infer T> ? T : never

/** A string of 1 to `lengthMax` UTF-16 code units without control characters, that fits `pattern`. */
/* @__NO_SIDE_EFFECTS__ */
export const text =
  (lengthMax: number, pattern?: RegExp): Check<string> =>
  (value, path) => {
    if (typeof value !== 'string') return `${path}: not a string`
    if (value.length === 0 || value.length > lengthMax) return `${path}: not 1 to ${lengthMax} long`
    // oxlint-disable-next-line no-control-regex -- keeping control characters out is the point
    if (pattern ? !pattern.test(value) : /[\u0000-\u001f\u007f]|\p{Cs}/u.test(value)) {
      return `${path}: has characters that are not allowed`
    }
    return undefined
  }

/** A whole number from `min` up to 2^53 - 1. */
/* @__NO_SIDE_EFFECTS__ */
export const integer =
  (min: number): Check<number> =>
  (value, path) =>
    Number.isSafeInteger(value) && (value as number) >= min
      ? undefined
      : `${path}: not a whole number from ${min} to 2^53 - 1`

/** True or false. */
export const truth: Check<boolean> = (value, path) =>
  typeof value === 'boolean' ? undefined : `${path}: not true or false`

/** Anything, or nothing. */
export const anything: Check<unknown> = () => undefined

/** What `check` lets pass, or nothing at all. */
/* @__NO_SIDE_EFFECTS__ */
export const optional =
  <T>(check: Check<T>): Check<T | undefined> =>
  (value, path) =>
    value === undefined ? undefined : check(value, path)

/** An array of at most `lengthMax` values that each pass `check`. */
/* @__NO_SIDE_EFFECTS__ */
export const list =
  <T>(check: Check<T>, lengthMax: number): Check<readonly T[]> =>
  (value, path) => {
    if (!Array.isArray(value)) return `${path}: not a list`
    if (value.length > lengthMax) return `${path}: longer than ${lengthMax}`
    for (const [index, item] of value.entries()) {
      const wrong = check(item, `${path}[${index}]`)
      if (wrong) return wrong
    }
    return undefined
  }

type Fields = Readonly<Record<string, Check<unknown>>>
type OptionalKeys<F extends Fields> = {
  [K in keyof F]: undefined extends Passed<F[K]> ? K : never
}[keyof F]
type Recorded<F extends Fields> = {
  readonly [K in Exclude<keyof F, OptionalKeys<F>>]: Passed<F[K]>
} & { readonly [K in OptionalKeys<F>]?: Passed<F[K]> }

/** An object whose named fields pass their checks. */
/* @__NO_SIDE_EFFECTS__ */
export function record<const F extends Fields>(fields: F): Check<Recorded<F>> {
  const checks = Object.entries(fields)
  return (value, path) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      return `${path}: not an object`
    }
    for (const [key, check] of checks) {
      const wrong = check((value as Record<string, unknown>)[key], `${path}.${key}`)
      if (wrong) return wrong
    }
    return undefined
  }
}
