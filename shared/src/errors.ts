/**
 * One class, and what each code carries: the type of its details, what to do next, and the close code of a
 * link that ends with it. Decisions read codes, never message text.
 */

/** What to do next: `never` pass the same thing again, `reconnect` and resume, or try again `later` on the same link. */
export type Recovery = 'never' | 'reconnect' | 'later'

/** The details of each code. `undefined` where the code says it all. */
export interface ErrorDetails {
  // The link.
  BAD_FRAME: { readonly reason: string }
  UNKNOWN_FRAME: { readonly type: string }
  FRAME_TOO_LARGE: { readonly bytes: number; readonly max: number }
  WRONG_VERSION: { readonly old: 'client' | 'gateway'; readonly min: number; readonly max: number }
  HELLO_TIMEOUT: undefined
  UNAUTHENTICATED: { readonly reason: string }
  WRONG_USER: { readonly expected: string; readonly actual: string }
  FORBIDDEN: { readonly topic: string; readonly scope: string }
  TOO_MANY: { readonly what: string; readonly max: number }
  SILENT: { readonly ms: number }
  SUPERSEDED: undefined
  GOING_AWAY: { readonly retryAfterMs: number }
  // The verdict on an event.
  SCHEMA_INVALID: {
    readonly issues: readonly { readonly path: string; readonly message: string }[]
  }
  UNKNOWN_TYPE: { readonly topic: string; readonly type: string; readonly version: number }
  BAD_EVENT: { readonly reason: string }
  EVENT_TOO_LARGE: { readonly bytes: number; readonly max: number }
  ID_REUSED: undefined
  REVISION_CONFLICT: { readonly expected: number; readonly actual: number }
  NOT_ALLOWED: { readonly reason: string }
  BATCH_REFUSED: { readonly by: string }
  LOST_IN_RESTORE: { readonly code: string }
  DEAD_LETTERED: {
    readonly consumer: string
    readonly code: string
    readonly reason: string
    readonly attempts: number
  }
  // The call.
  UNKNOWN_TOPIC: { readonly topic: string }
  NOT_JSON: { readonly reason: string }
  KEY_TOO_LONG: { readonly key: string; readonly max: number }
  BATCH_MIXED: { readonly logs: readonly string[] }
  BATCH_TOO_LARGE: { readonly events?: number; readonly bytes?: number; readonly max: number }
  CLOSED: undefined
  UNKNOWN_COMMAND: { readonly model: string; readonly command: string }
  COMMAND_FAILED: { readonly model: string; readonly command: string; readonly reason: string }
  NOT_REFUSED: { readonly id: string }
  NO_COMPENSATION: { readonly reason: string }
  RESCUE_INVALID: { readonly reason: string }
  QUERY_INVALID: { readonly query: string }
  // Storage on the device.
  STORAGE_UNAVAILABLE: { readonly reason: string }
  STORAGE_FULL: undefined
  STORAGE_BLOCKED: undefined
  STORAGE_LOST: { readonly reason: string }
  STORE_TOO_NEW: undefined
  STORE_DELETED: undefined
  STATE_NOT_STORABLE: { readonly model: string }
  // The gateway's log.
  LOG_UNAVAILABLE: { readonly reason: string }
  LOG_CORRUPT: { readonly reason: string }
  LEASE_LOST: { readonly name: string }
  // The broker.
  BROKER_UNAVAILABLE: { readonly reason: string }
  BROKER_BUSY: { readonly retryAfterMs: number }
  BROKER_UNAUTHORIZED: { readonly reason: string }
  ENTITY_MISSING: { readonly entity: string }
  MESSAGE_TOO_LARGE: { readonly bytes: number; readonly max: number }
  MESSAGE_MALFORMED: { readonly reason: string }
  LOCK_LOST: undefined
  // The consumer.
  HANDLER_FAILED: { readonly reason: string }
  HANDLER_REFUSED: { readonly code: string; readonly reason: string }
  HANDLER_TIMEOUT: { readonly ms: number }
  HANDLER_CRASHED: { readonly attempts: number }
  PROCESSED_UNAVAILABLE: { readonly reason: string }
  // The development loop.
  EVENTS_INVALID: { readonly file: string; readonly reason: string }
}

/** A code from the table of errors; docs/errors.md explains each. */
export type ErrorCode = keyof ErrorDetails

/** What to do next where that is not `never`, which goes for most codes: the same thing would fail again. */
const recoveries: { readonly [Code in ErrorCode]?: Recovery } = {
  BAD_FRAME: 'reconnect',
  FRAME_TOO_LARGE: 'reconnect',
  HELLO_TIMEOUT: 'reconnect',
  UNAUTHENTICATED: 'reconnect',
  FORBIDDEN: 'later',
  TOO_MANY: 'reconnect',
  SILENT: 'reconnect',
  SUPERSEDED: 'reconnect',
  GOING_AWAY: 'reconnect',
  STORAGE_FULL: 'later',
  STORAGE_BLOCKED: 'later',
  STORAGE_LOST: 'later',
  LOG_UNAVAILABLE: 'later',
  LEASE_LOST: 'later',
  BROKER_UNAVAILABLE: 'later',
  BROKER_BUSY: 'later',
  BROKER_UNAUTHORIZED: 'later',
  LOCK_LOST: 'later',
  HANDLER_FAILED: 'later',
  HANDLER_TIMEOUT: 'later',
  PROCESSED_UNAVAILABLE: 'later',
}

/** The WebSocket close codes of links that end with an error. */
export const closeCodes: { readonly [Code in ErrorCode]?: number } = {
  BAD_FRAME: 4400,
  FRAME_TOO_LARGE: 1009,
  WRONG_VERSION: 4426,
  HELLO_TIMEOUT: 4408,
  UNAUTHENTICATED: 4401,
  WRONG_USER: 4403,
  TOO_MANY: 4429,
  SILENT: 4410,
  SUPERSEDED: 4409,
  GOING_AWAY: 1001,
}

type Arguments<Code extends ErrorCode> = ErrorDetails[Code] extends undefined
  ? [details?: undefined, options?: ErrorOptions]
  : [details: ErrorDetails[Code], options?: ErrorOptions]

/** The one error that Tidemark throws: `code` says what happened, `details` with what, `recoveryOf` what to do. */
export class TidemarkError<Code extends ErrorCode = ErrorCode> extends Error {
  override readonly name = 'TidemarkError'
  readonly code: Code
  readonly details: ErrorDetails[Code]

  constructor(code: Code, ...[details, options]: Arguments<Code>) {
    super(details === undefined ? code : `${code} ${JSON.stringify(details)}`, options)
    this.code = code
    this.details = details as ErrorDetails[Code]
  }
}

/** What to do next. A function, so that an app that never asks does not carry the table. */
export const recoveryOf = ({ code }: TidemarkError): Recovery => recoveries[code] ?? 'never'

/** Is this a `TidemarkError`, and if a code is named, one of that code? Narrows the details too. */
export function isTidemarkError<Code extends ErrorCode = ErrorCode>(
  error: unknown,
  code?: Code,
): error is TidemarkError<Code> {
  return error instanceof TidemarkError && (code === undefined || error.code === code)
}
