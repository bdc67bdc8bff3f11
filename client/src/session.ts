/** One link, as the hops that use it see it. */
import type { ClientFrame } from '@tidemark/shared'

/** What a link gives to the hops that use it, from its welcome to its end. */
export interface Session {
  send(frame: ClientFrame): void
  /** Something has come forward. */
  onProgress(direction: 'upload' | 'download'): void
  /** Ends the link, for this reason. */
  fail(error: unknown): void
  /** Aborts when the link has ended. */
  readonly signal: AbortSignal
}
