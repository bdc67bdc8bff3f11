/**
 * One class, one table. A code carries the type of its details, what to do next, and the close code
 * of a link that ends with it. Decisions read codes, never message text.
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
  LOST_IN_RESTORE: undefined
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
  BATCH_TOO_LARGE: { readonly events: number; readonly max: number }
  CLOSED: undefined
  UNKNOWN_COMMAND: { readonly model: string; readonly command: string }
  COMMAND_FAILED: { readonly model: string; readonly command: string; readonly reason: string }
  NOT_REFUSED: { readonly id: string }
  NO_COMPENSATION: { readonly reason: string }
  RESCUE_INVALID: { readonly reason: string }
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

interface Rule {
  readonly recovery: Recovery
  /** The WebSocket close code of a link that ends with this error. */
  readonly closeCode?: number
}

/** What each code asks for. */
export const errorRules: { readonly [Code in ErrorCode]: Rule } = {
  BAD_FRAME: { recovery: 'reconnect', closeCode: 4400 },
  UNKNOWN_FRAME: { recovery: 'never' },
  FRAME_TOO_LARGE: { recovery: 'reconnect', closeCode: 1009 },
  WRONG_VERSION: { recovery: 'never', closeCode: 4426 },
  HELLO_TIMEOUT: { recovery: 'reconnect', closeCode: 4408 },
  UNAUTHENTICATED: { recovery: 'reconnect', closeCode: 4401 },
  WRONG_USER: { recovery: 'never', closeCode: 4403 },
  FORBIDDEN: { recovery: 'later' },
  TOO_MANY: { recovery: 'reconnect', closeCode: 4429 },
  SILENT: { recovery: 'reconnect', closeCode: 4410 },
  SUPERSEDED: { recovery: 'reconnect', closeCode: 4409 },
  GOING_AWAY: { recovery: 'reconnect', closeCode: 1001 },
  SCHEMA_INVALID: { recovery: 'never' },
  UNKNOWN_TYPE: { recovery: 'never' },
  BAD_EVENT: { recovery: 'never' },
  EVENT_TOO_LARGE: { recovery: 'never' },
  ID_REUSED: { recovery: 'never' },
  REVISION_CONFLICT: { recovery: 'never' },
  NOT_ALLOWED: { recovery: 'never' },
  BATCH_REFUSED: { recovery: 'never' },
  LOST_IN_RESTORE: { recovery: 'never' },
  DEAD_LETTERED: { recovery: 'never' },
  UNKNOWN_TOPIC: { recovery: 'never' },
  NOT_JSON: { recovery: 'never' },
  KEY_TOO_LONG: { recovery: 'never' },
  BATCH_MIXED: { recovery: 'never' },
  BATCH_TOO_LARGE: { recovery: 'never' },
  CLOSED: { recovery: 'never' },
  UNKNOWN_COMMAND: { recovery: 'never' },
  COMMAND_FAILED: { recovery: 'never' },
  NOT_REFUSED: { recovery: 'never' },
  NO_COMPENSATION: { recovery: 'never' },
  RESCUE_INVALID: { recovery: 'never' },
  STORAGE_UNAVAILABLE: { recovery: 'never' },
  STORAGE_FULL: { recovery: 'later' },
  STORAGE_BLOCKED: { recovery: 'later' },
  STORAGE_LOST: { recovery: 'later' },
  STORE_TOO_NEW: { recovery: 'never' },
  STORE_DELETED: { recovery: 'never' },
  STATE_NOT_STORABLE: { recovery: 'never' },
  LOG_UNAVAILABLE: { recovery: 'later' },
  LOG_CORRUPT: { recovery: 'never' },
  LEASE_LOST: { recovery: 'later' },
  BROKER_UNAVAILABLE: { recovery: 'later' },
  BROKER_BUSY: { recovery: 'later' },
  BROKER_UNAUTHORIZED: { recovery: 'later' },
  ENTITY_MISSING: { recovery: 'never' },
  MESSAGE_TOO_LARGE: { recovery: 'never' },
  MESSAGE_MALFORMED: { recovery: 'never' },
  LOCK_LOST: { recovery: 'later' },
  HANDLER_FAILED: { recovery: 'later' },
  HANDLER_REFUSED: { recovery: 'never' },
  HANDLER_TIMEOUT: { recovery: 'later' },
  HANDLER_CRASHED: { recovery: 'never' },
  PROCESSED_UNAVAILABLE: { recovery: 'later' },
  EVENTS_INVALID: { recovery: 'never' },
}

type Arguments<Code extends ErrorCode> = ErrorDetails[Code] extends undefined
  ? [details?: undefined, options?: ErrorOptions]
  : [details: ErrorDetails[Code], options?: ErrorOptions]

/** The one error that Tidemark throws: `code` says what happened, `details` with what, `recovery` what to do. */
export class TidemarkError<Code extends ErrorCode = ErrorCode> extends Error {
  override readonly name = 'TidemarkError'
  readonly code: Code
  readonly details: ErrorDetails[Code]

  constructor(code: Code, ...[details, options]: Arguments<Code>) {
    super(details === undefined ? code : `${code} ${JSON.stringify(details)}`, options)
    this.code = code
    this.details = details as ErrorDetails[Code]
  }

  /** What to do next. */
  get recovery(): Recovery {
    return errorRules[this.code].recovery
  }
}

/** Is this a `TidemarkError`, and if a code is named, one of that code? Narrows the details too. */
export function isTidemarkError<Code extends ErrorCode = ErrorCode>(
  error: unknown,
  code?: Code,
): error is TidemarkError<Code> {
  return error instanceof TidemarkError && (code === undefined || error.code === code)
}
