/**
 * Whether a tab takes part: not while the app has paused it, and not while the browser has put its page away.
 * A page that is frozen, or kept for the way back, has no timers: it would seem to lead, and would not. Nor
 * does it touch the database, because a transaction that it is frozen in holds up every other tab.
 */
import { Doorbell } from '@tidemark/shared'
import type { Hints } from './hints.ts'

/** Why a tab that was put away takes part no more: it must not begin anything that it may be frozen in. */
export const away = Symbol('away')

/** What taking part rests on. */
export interface PresencePorts {
  readonly hints: Hints
  /** The tab takes part no more. */
  readonly onLeave: () => void
}

/** Whether a tab takes part, as it changes. */
export interface Presence {
  /** Aborts when the tab stops taking part, with `away` where the browser put it away; another one each time that it comes back. */
  signal(): AbortSignal
  isAway(): boolean
  /** By the app, and not by the browser. */
  isPaused(): boolean
  pause(): void
  resume(): void
  /** Resolves when the tab takes part again, or `signal` aborts. */
  back(signal: AbortSignal): Promise<void>
}

/** Starts to watch, until `signal` aborts. */
export function openPresence({ hints, onLeave }: PresencePorts, signal: AbortSignal): Presence {
  const returned = new Doorbell()
  let stay = new AbortController()
  let isPaused = false
  let isAway = false
  const weigh = (): void => {
    if (isPaused || isAway) {
      stay.abort(isAway ? away : undefined)
      onLeave()
    } else if (stay.signal.aborted) {
      stay = new AbortController()
      returned.ring()
    }
  }
  const stop = hints.onAway?.((isGone) => {
    isAway = isGone
    weigh()
  })
  signal.addEventListener('abort', () => stop?.(), { once: true })
  return {
    signal: () => stay.signal,
    isAway: () => isAway,
    isPaused: () => isPaused,
    pause() {
      isPaused = true
      weigh()
    },
    resume() {
      isPaused = false
      weigh()
    },
    async back(until) {
      while (stay.signal.aborted && !until.aborted) await returned.wait(until)
    },
  }
}
