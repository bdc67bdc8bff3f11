/** What the errors of the Service Bus SDK mean to us. This is the only place that knows its codes. */
import { isTidemarkError, TidemarkError } from '@tidemark/shared'

/** How long Service Bus asks throttled senders to wait, in ms. */
const throttledMs = 2_000

/** After several tries the SDK throws all their errors together: the last one says how it stands. */
function lastError(error: unknown): unknown {
  return error instanceof AggregateError && error.errors.length > 0
    ? lastError(error.errors.at(-1))
    : error
}

/** The SDK's code for what was thrown, if it has one. */
export const lastCode = (error: unknown): unknown =>
  (lastError(error) as { readonly code?: unknown }).code

/** Did the broker answer that this is not allowed? Another connection would be told the same. */
export function isNotAllowed(thrown: unknown): boolean {
  const error = lastError(thrown)
  // The SDK has no code of its own for it, and writes that of AMQP in front of the message.
  return error instanceof Error && error.message.startsWith('InvalidOperationError')
}

/** Our error for what the SDK threw; `entity` is what it was about. */
export function toTidemarkError(thrown: unknown, entity: string): TidemarkError {
  const error = lastError(thrown)
  if (isTidemarkError(error)) return error
  const options = { cause: thrown }
  const { message = String(error) } = error as Partial<Error>
  switch (lastCode(error)) {
    case 'MessagingEntityNotFound':
      return new TidemarkError('ENTITY_MISSING', { entity }, options)
    case 'MessageSizeExceeded':
      return new TidemarkError('MESSAGE_TOO_LARGE', { bytes: 0, max: 0 }, options)
    case 'MessageLockLost':
    case 'SessionLockLost':
    case 'MessageNotFound':
      return new TidemarkError('LOCK_LOST', undefined, options)
    case 'ServiceBusy':
      return new TidemarkError('BROKER_BUSY', { retryAfterMs: throttledMs }, options)
    case 'UnauthorizedAccess':
      return new TidemarkError('BROKER_UNAUTHORIZED', { reason: message }, options)
    default:
      return new TidemarkError('BROKER_UNAVAILABLE', { reason: message }, options)
  }
}
