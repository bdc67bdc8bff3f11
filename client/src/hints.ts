/** The port to what the surroundings know of the network and of who is looking. Hints hurry, they never decide. */
import type { Cancel } from '@tidemark/shared'

/** Tells when it is worth to look at the link now: the network came or went, the page is seen again, a machine woke up. */
export interface Hints {
  listen(hinted: () => void): Cancel
  /** Does somebody look at this page? Only such a tab takes over from a leader that has fallen silent. */
  isSeen(): boolean
  /**
   * Tells when the browser puts this page away, frozen or kept for the way back, and when it is used again.
   * Meanwhile the tab leads nothing and has no connection.
   */
  onAway?(told: (isAway: boolean) => void): Cancel
}
