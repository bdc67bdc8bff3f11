/** Keeps a link: after each end it waits, longer with each failure and never shorter than it was asked to, and tries again. */
import { backoffMs, Doorbell, sleep } from '@tidemark/shared'
import { type LinkEnd, type LinkPorts, runLink } from './link.ts'
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
  const { status, onError } = ports
  // A life before this one may have ended without saying so.
  await unlink(ports)
  for (let attempt = 0; !signal.aborted; attempt++) {
    status.patch({ link: 'connecting' })
    let end: LinkEnd
    try {
      end = await runLink(ports, await fetchToken(ports), signal)
    } catch (error) {
      onError(error)
      end = { retryAfterMs: 0, isWelcomed: false }
    }
    if (signal.reason === away) return
    // A tab that wakes from a freeze may have been robbed: what happened meanwhile is told first.
    await ports.system.breathe()
    // The link that takes from the outbox is the robber's then.
    if (!ports.lost.aborted) await unlink(ports)
    if (signal.aborted) return
    if (end.isWelcomed && !isRepeated(end)) attempt = 0
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
 * Is the next link likely to end as this one? A gateway that welcomes and then talks nonsense is not
 * knocked at any faster for it, and two devices with one database do not throw each other out for ever.
 */
const isRepeated = ({ code }: LinkEnd): boolean =>
  code === 'BAD_FRAME' || code === 'SUPERSEDED' || code === 'UNAUTHENTICATED'

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
  const { code, retryAfterMs } = end
  await sleep(system, retryAfterMs, signal)
  const bell = new Doorbell()
  const stopHints = hints.listen(() => bell.ring())
  const stopReauth = onReauth(() => bell.ring())
  // Superseded by whom? Maybe by our own last hello, that was late: then nobody is there but us.
  const isQuick = stateAfter(end) === 'offline' && code !== 'SUPERSEDED'
  const options = isQuick ? backoff : slowBackoff
  const waitMs = backoffMs(options, attempt, system.random)
  const cancel = system.after(waitMs, () => bell.ring())
  const startedAt = system.mono()
  await bell.wait(signal)
  cancel()
  stopHints()
  stopReauth()
  const isHinted = system.mono() - startedAt < waitMs
  if (isHinted) await sleep(system, system.random() * hintJitterMs, signal)
}
