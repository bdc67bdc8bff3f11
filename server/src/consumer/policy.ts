/** What a failure means: try again later, or park the stream until a person has looked at it. */
import {
  backoffMs,
  type BackoffOptions,
  isTidemarkError,
  recoveryOf,
  TidemarkError,
} from '@tidemark/shared'
import type { Hold } from './processed/holds.ts'

/** When an event is tried again, and when it is not. */
export interface RetryOptions extends BackoffOptions {
  /** Says for a code whether it is worth another try, where the default does not fit. */
  readonly codes?: Readonly<Record<string, 'retry' | 'park'>>
}

/** A failure in the words that are kept with it. */
export interface Failure {
  readonly code: string
  /** For the people who run the consumer. */
  readonly reason: string
  /** For the author of the event: an exception's own text never leaves the service. */
  readonly told: string
  /** False where the next try will fail as well. */
  readonly retryable: boolean
}

/** Retries between a quarter of a second and a minute, with full jitter. */
export const defaultRetry: RetryOptions = { firstMs: 250, maxMs: 60_000 }

/**
 * Ends an event's attempts (or a saga's step) at once, by throwing, for a reason that the event's author
 * may read. Inside a model's command it is `refuse` of `@tidemark/shared` that says no, by what it returns.
 */
export function refuse(code: string, reason: string): never {
  throw new TidemarkError('HANDLER_REFUSED', { code, reason })
}

/** What an author is told of what is the service's own. */
const untold = 'The consumer failed at it.'

const codePattern = /^[A-Za-z0-9][\w.-]{0,99}$/

/** What an error means. */
export function toFailure(error: unknown, { codes = {} }: RetryOptions): Failure {
  const failure = readFailure(error)
  const decided = Object.hasOwn(codes, failure.code) ? codes[failure.code] : undefined
  return { ...failure, retryable: decided ? decided === 'retry' : failure.retryable }
}

function readFailure(error: unknown): Failure {
  const reason = toPlain(error instanceof Error ? error.message : String(error), 2_000)
  if (isTidemarkError(error, 'HANDLER_REFUSED')) {
    const { code, reason } = error.details
    const known = codePattern.test(code) ? code : error.code
    return {
      code: known,
      reason: toPlain(reason, 2_000),
      told: toPlain(reason, 500),
      retryable: false,
    }
  }
  if (isTidemarkError(error)) {
    // Somebody else was faster: the same decision on fresh state may well pass.
    const retryable = recoveryOf(error) !== 'never' || error.code === 'REVISION_CONFLICT'
    const told = error.code === 'HANDLER_FAILED' ? untold : toPlain(reason, 500)
    return { code: error.code, reason, told, retryable }
  }
  const own = error instanceof Error && 'code' in error ? error.code : undefined
  const code = typeof own === 'string' && codePattern.test(own) ? own : 'HANDLER_FAILED'
  return { code, reason, told: untold, retryable: true }
}

/** Text that an event and any database can carry: bounded, and without control characters. */
const toPlain = (text: string, lengthMax: number): string =>
  text.slice(0, lengthMax).replaceAll(/\p{Cc}|\p{Cs}/gu, ' ') || 'No reason was given.'

/** How a stream is held after its first event failed for the `attempts`th time. */
export function toHold(
  failure: Failure,
  attempts: number,
  before: Hold | undefined,
  { retry, attemptsMax, now, random }: HoldOptions,
): Hold {
  const isParked = !failure.retryable || attempts >= attemptsMax
  return {
    state: isParked ? 'parked' : 'retrying',
    code: failure.code,
    reason: failure.reason,
    attempts,
    firstAt: before?.firstAt ?? now,
    lastAt: now,
    parkedAt: before?.parkedAt ?? (isParked ? now : undefined),
    dueAt: now + backoffMs(retry, attempts - 1, random),
  }
}

/** The bounds of retries, and the moment. */
export interface HoldOptions {
  readonly retry: RetryOptions
  readonly attemptsMax: number
  readonly now: number
  readonly random: () => number
}
