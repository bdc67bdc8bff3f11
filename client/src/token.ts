/** The token that says who this is: asked for at each connection, and renewed on the open link before it ends. */
import { type Cancel, Doorbell, type System, TidemarkError } from '@tidemark/shared'
import type { Session } from './session.ts'

/** A token, and how long it lasts from when it was asked for: what OAuth calls `expires_in`, in milliseconds. */
export interface Token {
  readonly token: string
  readonly expiresInMs: number
}

/** What asking for tokens needs. */
export interface TokenPorts {
  readonly system: System
  readonly token: (() => TokenAnswer | Promise<TokenAnswer>) | undefined
  /** Tells when the app knows of another token. */
  readonly onReauth: (heard: () => void) => Cancel
  readonly onError: (error: unknown) => void
}

/** What an app answers when it is asked for its token. One that does not say when it ends is renewed by `reauth`. */
export type TokenAnswer = string | Token | undefined

/** What came of asking. */
export interface Asked {
  readonly token?: string | undefined
  /** When to ask for the next, by the monotonic clock, where the app says how long this one lasts. */
  readonly renewAt?: number
}

const tokenMsMax = 10_000
/** After a token that could not be had while the old one still counts. */
const againMs = 10_000
/** Renewed when this part of its life is over, so that a slow answer is in time. */
const renewAfter = 0.8
const renewMsMin = 1_000
/** A timer holds no more; to renew earlier does no harm. */
const timerMsMax = 2 ** 31 - 1

/** The token, or a rejection where the app takes too long to say. Nothing where `signal` aborted before. */
export async function fetchToken(
  { token, system }: TokenPorts,
  signal: AbortSignal,
): Promise<Asked> {
  const askedAt = system.mono()
  const bell = new Doorbell()
  let answer = (): TokenAnswer => {
    throw new TidemarkError('UNAUTHENTICATED', { reason: 'token() took too long' })
  }
  const ask = async (): Promise<void> => {
    try {
      const told = await token?.()
      answer = () => told
    } catch (error) {
      answer = () => {
        throw error
      }
    }
    bell.ring()
  }
  void ask()
  await bell.waitAtMost(system, tokenMsMax, signal)
  return signal.aborted ? {} : toAsked(answer(), askedAt)
}

const toAsked = (answer: TokenAnswer, askedAt: number): Asked =>
  typeof answer === 'object'
    ? { token: answer.token, renewAt: askedAt + answer.expiresInMs * renewAfter }
    : { token: answer }

/** Renews the token of an open link, before it ends and whenever the app asks, until the link has ended. */
export async function keepToken(
  ports: TokenPorts,
  { signal, send }: Pick<Session, 'signal' | 'send'>,
  first: Asked,
): Promise<void> {
  const { system, onReauth, onError } = ports
  const bell = new Doorbell()
  const stop = onReauth(() => bell.ring())
  let { renewAt } = first
  while (!signal.aborted) {
    const leftMs = renewAt && Math.max(renewAt - system.mono(), renewMsMin)
    if (leftMs) await bell.waitAtMost(system, Math.min(leftMs, timerMsMax), signal)
    else await bell.wait(signal)
    if (signal.aborted) break
    try {
      const asked = await fetchToken(ports, signal)
      const { token } = asked
      if (token !== undefined && !signal.aborted) send({ type: 'reauth', token })
      renewAt = asked.renewAt
    } catch (error) {
      // The old one may still last for a while; if not, the gateway says so.
      onError(error)
      renewAt = system.mono() + againMs
    }
  }
  stop()
}
