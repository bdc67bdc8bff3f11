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

const tokenMsMax = 10_000
/** After a token that could not be had while the old one still counts. */
const againMs = 10_000
/** Renewed when this part of its life is over, so that a slow answer is in time. */
const renewAt = 0.8
const renewMsMin = 1_000
/** A timer holds no more; to renew earlier does no harm. */
const timerMsMax = 2 ** 31 - 1

/** The token, or a rejection where the app takes too long to say. Nothing where `signal` aborted before. */
export async function fetchToken(
  { token, system }: TokenPorts,
  signal: AbortSignal,
): Promise<TokenAnswer> {
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
  const cancel = system.after(tokenMsMax, () => bell.ring())
  void ask()
  await bell.wait(signal)
  cancel()
  return signal.aborted ? undefined : answer()
}

/** What the gateway reads of an answer. */
export const tokenText = (answer: TokenAnswer): string | undefined =>
  typeof answer === 'object' ? answer.token : answer

/** Renews the token of an open link, before it ends and whenever the app asks, until the link has ended. */
export async function keepToken(
  ports: TokenPorts,
  { signal, send }: Pick<Session, 'signal' | 'send'>,
  first: TokenAnswer,
): Promise<void> {
  const { system, onReauth, onError } = ports
  const bell = new Doorbell()
  const stop = onReauth(() => bell.ring())
  let waitMs = untilRenewal(first)
  while (!signal.aborted) {
    const cancel = waitMs === undefined ? () => undefined : system.after(waitMs, () => bell.ring())
    await bell.wait(signal)
    cancel()
    if (signal.aborted) break
    try {
      const answer = await fetchToken(ports, signal)
      const token = tokenText(answer)
      if (token !== undefined && !signal.aborted) send({ type: 'reauth', token })
      waitMs = untilRenewal(answer)
    } catch (error) {
      // The old one may still last for a while; if not, the gateway says so.
      onError(error)
      waitMs = againMs
    }
  }
  stop()
}

const untilRenewal = (answer: TokenAnswer): number | undefined =>
  typeof answer === 'object'
    ? Math.min(Math.max(answer.expiresInMs * renewAt, renewMsMin), timerMsMax)
    : undefined
