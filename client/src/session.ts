/** One link, as the hops that use it see it. */
import type { ClientFrame, LogName } from '@tidemark/shared'

/** What a link gives to the hops that use it, from its welcome to its end. */
export interface Session {
  send(frame: ClientFrame): void
  /** A verdict or entries have come. */
  onProgress(direction: 'upload' | 'download'): void
  /** A log has been read as far as it has to be before anything is submitted to it; or it has to be read again. */
  onRead(log: LogName, isBehind?: boolean): void
  /** Ends the link, for this reason. */
  fail(error: unknown): void
  /** Aborts when the link has ended. */
  readonly signal: AbortSignal
}
