/** Who a client is and what it may do: two functions that the embedder passes, what they answer with, and how they are asked. */
import type { Claim, EventId, LogName, System } from '@tidemark/shared'
import { withDeadline } from './deadline.ts'

/** How long either may take, in ms. */
const askMsMax = 10_000

/** Whom a gateway takes a client for. */
export interface Principal {
  /** Becomes the author of everything the client appends. 1 to 256 characters, none of them a control character. */
  readonly author: string
  /** When its token ends, in ms since 1970: the link is closed then, unless it was renewed. */
  readonly expiresAt?: number
  /** Anything that `authorize` wants to know: roles, tenants. */
  readonly claims?: unknown
}

/** What a client says of itself, before it is believed. */
export interface Credentials {
  readonly token?: string | undefined
  readonly clientId: string
  /** Where the connection comes from, if the transport knows. */
  readonly address?: string | undefined
}

/**
 * Says who a client is. `undefined` is `UNAUTHENTICATED`; a throw means that it cannot be found out now,
 * and the client is asked to come back.
 */
export type Authenticate = (
  credentials: Credentials,
) => Principal | undefined | Promise<Principal | undefined>

/** What a client wants to do with a log. */
export type Access =
  | {
      readonly action: 'read'
      readonly principal: Principal
      readonly topic: string
      readonly scope: string
    }
  | {
      readonly action: 'append'
      readonly principal: Principal
      readonly topic: string
      readonly scope: string
      /**
       * A batch, accepted or refused as a whole: of its events those that can be read, which may be none. Their
       * data has not been checked yet.
       */
      readonly events: readonly Claim[]
    }

/**
 * `hold`: not now, and the client keeps what it has; nothing is stored. `refuse`: never, and the refusal is
 * stored as the verdict on these ids, so it is for those who may write to the log, and not this. For a
 * read both mean no.
 */
export type Permission =
  | 'allow'
  | 'hold'
  | 'refuse'
  | {
      readonly answer: 'hold' | 'refuse'
      readonly reason: string
      /** The event of the batch that was the reason. The first, unless it says otherwise. */
      readonly id?: EventId
    }

/** Says what a client may do. A throw means that it cannot be found out now: the client is answered `later`. */
export type Authorize = (access: Access) => Permission | Promise<Permission>

/** What a function of the embedder answers. Rejects with what it throws, or where it does not answer in time. */
export function ask<T>(system: System, run: () => T | Promise<T>): Promise<T> {
  const late = (): Error => new Error(`no answer within ${askMsMax} ms`)
  return withDeadline(system, askMsMax, (async () => await run())(), late)
}

/** Asks whether somebody may read a log. Rejects where that cannot be found out now. */
export async function mayRead(
  { system, authorize }: { readonly system: System; readonly authorize: Authorize },
  principal: Principal,
  { topic, scope }: LogName,
): Promise<boolean> {
  const answer = await ask(system, () => authorize({ action: 'read', principal, topic, scope }))
  return answer === 'allow'
}
