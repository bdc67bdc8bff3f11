/** Keeps a link: after each end it waits, longer with each failure and never shorter than it was asked to, and tries again. */
import { backoffMs, Doorbell, sleep } from '@tidemark/shared'
import { type LinkEnd, type LinkPorts, runLink } from './link.ts'
import { catchUp } from './persist.ts'
import { away } from './presence.ts'
import type { LinkState } from './status.ts'
import { fetchToken, type TokenPorts } from './token.ts'

/** What keeping a link needs. */
export interface ReconnectPorts extends LinkPorts, TokenPorts {
  /** Aborts when another tab has taken the lead. */
  readonly lost: AbortSignal
}

const backoff = { firstMs: 500, maxMs: 30_000 }
/** For what a mere repetition does not heal. */
const slowBackoff = { firstMs: 10_000, maxMs: 60_000 }
/** Everybody gets the hint that the network is back at the same moment. */
const hintJitterMs = 500

/** Keeps a link until `signal` aborts. */
export async function keepLink(ports: ReconnectPorts, signal: AbortSignal): Promise<void> {
  const { status, system, onError } = ports
  // A life before this one may have ended without saying so.
  await unlink(ports)
  for (let attempt = 0; !signal.aborted; attempt++) {
    status.patch({ link: 'connecting' })
    // A link says where this device stands: what the one before has taken back is read first.
    await catchUp(ports, signal)
    const startedAt = system.mono()
    let end: LinkEnd
    try {
      const token = await fetchToken(ports, signal)
      if (signal.aborted) return
      end = await runLink(ports, token, signal)
    } catch (error) {
      onError(error)
      end = { retryAfterMs: 0, isWelcomed: false, hasBrought: false }
    }
    if (signal.reason === away) return
    // A tab that wakes from a freeze may have been robbed: what happened meanwhile is told first.
    await system.breathe()
    // The link that takes from the outbox is the robber's then.
    if (!ports.lost.aborted) await unlink(ports)
    if (signal.aborted) return
    // A gateway that welcomes and then throws out is not knocked at any faster for it.
    const isGood = end.hasBrought || system.mono() - startedAt >= backoff.maxMs
    if (isGood && isQuick(end)) attempt = 0
    status.patch({ link: stateAfter(end), linkError: end.code })
    await waitForNext(ports, end, attempt, signal)
  }
}

/** What is appended from now on is handed to no link until the next, and may be withdrawn. */
async function unlink({ store, onStorage }: ReconnectPorts): Promise<void> {
  try {
    await store.linked(false)
  } catch (error) {
    // Then less may be withdrawn than could be.
    onStorage(error)
  }
}

/**
 * Is the next link likely to fare better? Superseded by whom? Maybe by our own last hello, that was late; but
 * two devices with one database must not throw each other out all the time.
 */
const isQuick = (end: LinkEnd): boolean =>
  stateAfter(end) === 'offline' && end.code !== 'SUPERSEDED'

function stateAfter({ code, details, isWelcomed }: LinkEnd): LinkState {
  // A token that ended on an open link was good before: the next one is asked for before anybody is bothered.
  if (code === 'UNAUTHENTICATED') return isWelcomed ? 'offline' : 'needs-auth'
  if (code === 'WRONG_USER') return 'wrong-user'
  if (code !== 'WRONG_VERSION') return 'offline'
  const old = (details as { readonly old?: unknown } | undefined)?.old
  return old === 'gateway' ? 'gateway-too-old' : 'client-too-old'
}

async function waitForNext(
  { system, hints, onReauth }: ReconnectPorts,
  end: LinkEnd,
  attempt: number,
  signal: AbortSignal,
): Promise<void> {
  await sleep(system, end.retryAfterMs, signal)
  const bell = new Doorbell()
  const stopHints = hints.listen(() => bell.ring())
  const stopReauth = onReauth(() => bell.ring())
  const options = isQuick(end) ? backoff : slowBackoff
  const waitMs = backoffMs(options, attempt, system.random)
  const startedAt = system.mono()
  await bell.waitAtMost(system, waitMs, signal)
  stopHints()
  stopReauth()
  const isHinted = system.mono() - startedAt < waitMs
  if (isHinted) await sleep(system, system.random() * hintJitterMs, signal)
}
