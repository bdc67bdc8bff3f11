/** The dead letters over HTTP, as JSON: what the command line does, behind the gateway's `authenticate` and a permission of its own. */
import { isTidemarkError } from '@tidemark/shared'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Log } from '../log/log.ts'
import type { Principal } from '../permission.ts'
import { type ActResult, type DeadLetters, sayWhy } from './dead-letters.ts'
import { type Denied, deny, type Guard, isDenied } from './guard.ts'

/** What the routes serve. */
export interface OperateRoutesOptions {
  readonly guard: Guard
  readonly deadLetters: DeadLetters
  readonly log: Pick<Log, 'audits'>
}

/** The most that one answer lists of a source. */
const listMax = 1_000
const noteLengthMax = 1_000
const refLengthMax = 2_000

const statusOf: { readonly [Result in ActResult]: number } = {
  done: 200,
  asked: 202,
  gone: 404,
  impossible: 409,
}

/** Mounts `/operate/…`. */
export function serveOperate(app: FastifyInstance, options: OperateRoutesOptions): void {
  const { guard, deadLetters, log } = options

  /** Runs a route for somebody who may operate. */
  const operating =
    (run: (request: FastifyRequest, reply: FastifyReply, by: Principal) => Promise<unknown>) =>
    async (request: FastifyRequest, reply: FastifyReply): Promise<unknown> => {
      try {
        const principal = await guard.principalOf(request)
        if (isDenied(principal)) return deny(reply, principal)
        if (!(await guard.mayOperate(principal))) return deny(reply, notAllowed)
        return await run(request, reply, principal)
      } catch (error) {
        request.log.error({ event: 'operate-failed', err: error }, 'an operator was not served')
        return deny(reply, toDenied(error))
      }
    }

  app.get(
    '/operate/dead-letters',
    operating(async ({ query }, reply) => {
      const { max, source } = query as { max?: string; source?: string }
      const count = readCount(max)
      if (count === undefined) return deny(reply, badMax)
      return await deadLetters.list(count, source)
    }),
  )

  app.get(
    '/operate/dead-letter',
    operating(async ({ query }, reply) => {
      const { ref } = query as { ref?: string }
      const found = await deadLetters.show(ref ?? '')
      return found ?? deny(reply, gone)
    }),
  )

  for (const action of ['redrive', 'discard'] as const) {
    app.post(
      `/operate/dead-letters/${action}`,
      operating(async ({ body, log: logger }, reply, { author: by }) => {
        const act = readAct(body)
        if (isDenied(act)) return deny(reply, act)
        const result = await deadLetters[action](act.ref, { by, note: act.note })
        logger.info(
          { event: 'operated', action, ref: act.ref, by, result },
          'an operator has acted',
        )
        return reply.code(statusOf[result]).send({ result })
      }),
    )
  }

  app.get(
    '/operate/audit',
    operating(async ({ query }, reply) => {
      const count = readCount((query as { max?: string }).max)
      return count === undefined ? deny(reply, badMax) : { records: await log.audits(count) }
    }),
  )
}

function readCount(max = '100'): number | undefined {
  const count = /^\d{1,6}$/.test(max) ? Number(max) : 0
  return count >= 1 && count <= listMax ? count : undefined
}

function readAct(body: unknown): { readonly ref: string; readonly note: string } | Denied {
  const { ref, note } = (typeof body === 'object' && body !== null ? body : {}) as {
    ref?: unknown
    note?: unknown
  }
  if (typeof ref !== 'string' || ref.length > refLengthMax) {
    return bad('`ref` names a dead letter, as the list shows it.')
  }
  if (typeof note !== 'string' || note.trim() === '' || note.length > noteLengthMax) {
    return bad(`\`note\` says why, in 1 to ${noteLengthMax} characters.`)
  }
  return { ref, note }
}

const bad = (message: string): Denied => ({ status: 400, error: 'BAD_REQUEST', message })
const badMax = bad(`\`max\` is a whole number from 1 to ${listMax}.`)
const gone: Denied = { status: 404, error: 'GONE', message: 'There is no such dead letter.' }
const notAllowed: Denied = {
  status: 403,
  error: 'FORBIDDEN',
  message: 'You may not operate this gateway.',
}

/** What the log, a consumer's database or the broker said is for the operator, and it passes. */
const toDenied = (error: unknown): Denied => ({
  status: 503,
  error: isTidemarkError(error) ? error.code : 'UNAVAILABLE',
  message: isTidemarkError(error) ? sayWhy(error) : 'It failed. The gateway’s own log says why.',
})
