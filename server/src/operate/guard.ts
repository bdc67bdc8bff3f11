/**
 * Who asks over plain HTTP: the same two functions that guard the WebSocket, with the token in the
 * `Authorization` header. A page of another origin gets nothing, whoever's browser it runs in.
 */
import { isAuthor, type LogName, system as realSystem, type System } from '@tidemark/shared'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { isLocalRequest } from '../loopback.ts'
import { isExpectedOrigin, type Origins } from '../origins.ts'
import { ask, type Authenticate, type Authorize, mayRead, type Principal } from '../permission.ts'

/** Says who may look at dead letters and act on them. */
export type Operate = (principal: Principal) => boolean | Promise<boolean>

/** What guards the HTTP routes. */
export interface GuardOptions {
  readonly authenticate: Authenticate
  readonly authorize: Authorize
  /** Left out, nobody may operate; only where everything is open to this machine, everybody on it. */
  readonly operate?: Operate | undefined
  /** True where `authenticate` or `authorize` is missing: then only this machine is served. */
  readonly loopbackOnly: boolean
  readonly origins?: Origins | undefined
  readonly system?: System | undefined
}

/** An answer that is no success. */
export interface Denied {
  readonly status: 400 | 401 | 403 | 404 | 409 | 503
  readonly error: string
  readonly message: string
}

/** Guards the HTTP routes. */
export interface Guard {
  /** Whom a request comes from, or the answer that it gets instead. */
  principalOf(request: FastifyRequest): Promise<Principal | Denied>
  mayOperate(principal: Principal): Promise<boolean>
  mayRead(principal: Principal, log: LogName): Promise<boolean>
}

/** Is this an answer instead of what was asked for? */
export const isDenied = (found: object): found is Denied => 'status' in found && 'error' in found

/** Builds a guard. */
export function createGuard(options: GuardOptions): Guard {
  const { authenticate, authorize, operate, loopbackOnly, origins, system = realSystem } = options
  return {
    async principalOf(request) {
      const address = request.socket.remoteAddress
      const { origin, host, authorization } = request.headers
      if (!isExpectedOrigin(origin, host, origins)) return forbidden('a page of another origin')
      if (loopbackOnly && !isLocalRequest(address, host)) {
        return forbidden('without authenticate and authorize only this machine is served')
      }
      const [, token] = /^Bearer +(\S+)$/i.exec(authorization ?? '') ?? []
      try {
        const found = await ask(system, () => authenticate({ token, clientId: 'http', address }))
        const isOver = (found?.expiresAt ?? Infinity) <= system.now()
        return found && isAuthor(found.author) && !isOver ? found : unauthenticated
      } catch (error) {
        request.log.warn({ event: 'authenticate-failed', err: error }, 'nobody can be known now')
        return unknowable
      }
    },
    async mayOperate(principal) {
      if (operate) return await ask(system, () => operate(principal))
      return loopbackOnly
    },
    mayRead: (principal, log) => mayRead({ system, authorize }, principal, log),
  }
}

/** Answers with an error, as JSON. */
export function deny(reply: FastifyReply, { status, error, message }: Denied): FastifyReply {
  if (status === 401) void reply.header('www-authenticate', 'Bearer')
  return reply.code(status).send({ error, message })
}

const unauthenticated: Denied = {
  status: 401,
  error: 'UNAUTHENTICATED',
  message: 'The token is missing, wrong or expired.',
}

const unknowable: Denied = {
  status: 503,
  error: 'UNAVAILABLE',
  message: 'It cannot be found out now who you are.',
}

const forbidden = (why: string): Denied => ({ status: 403, error: 'FORBIDDEN', message: why })
