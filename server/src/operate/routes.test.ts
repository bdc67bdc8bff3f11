import fastify, { type FastifyInstance, type LightMyRequestResponse } from 'fastify'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { gateway, type GatewayPluginOptions } from '../fastify.ts'
import { inventory, openWorld, type OperateWorld, shop } from './testing/world.ts'

let world: OperateWorld
let app: FastifyInstance
beforeEach(() => {
  world = openWorld()
})
afterEach(async () => {
  await app.close()
  await world.close()
})

/** Serves a gateway where only `ann` may operate and nobody may read shop-8. */
async function serve(more: Partial<GatewayPluginOptions> = {}): Promise<void> {
  const { log, broker, system } = world
  app = fastify()
  await app.register(gateway, {
    log,
    broker,
    system,
    topics: [inventory],
    authenticate: ({ token }) => (token === undefined ? undefined : { author: token }),
    authorize: (access) => (access.scope === 'shop-8' ? 'hold' : 'allow'),
    operate: ({ author }) => author === 'ann',
    ...more,
  })
}

const ask = (
  url: string,
  token?: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<LightMyRequestResponse> =>
  app.inject({
    url,
    headers: token === undefined ? headers : { authorization: `Bearer ${token}`, ...headers },
  })

const act = (action: string, payload: object, token = 'ann'): Promise<LightMyRequestResponse> =>
  app.inject({
    method: 'POST',
    url: `/operate/dead-letters/${action}`,
    headers: { authorization: `Bearer ${token}` },
    payload,
  })

/** Parks a stream: one event that no broker takes, and one behind it. */
async function park(): Promise<string> {
  await world.append('sku-1', { quantity: 1, note: 'x'.repeat(300_000) })
  await world.append('sku-1', { quantity: 2 })
  return await vi.waitFor(async () => {
    const { items } = (await ask('/operate/dead-letters', 'ann')).json()
    expect(items).toHaveLength(1)
    return items[0].ref as string
  })
}

test('[O8] dead letters are for those whom `operate` lets, and for nobody without it', async () => {
  await serve()
  expect((await ask('/operate/dead-letters')).statusCode).toBe(401)
  expect((await ask('/operate/dead-letters', 'bob')).statusCode).toBe(403)
  expect((await ask('/operate/dead-letters', 'ann')).json()).toEqual({
    items: [],
    unread: [],
    more: [],
  })
  await app.close()
  await serve({ operate: undefined as never })
  expect((await ask('/operate/dead-letters', 'ann')).statusCode).toBe(403)
})

test('[O8] without authenticate only this machine operates, and no page that was rebound to it', async () => {
  await serve({ authenticate: undefined as never, operate: undefined as never })
  expect((await ask('/operate/audit', undefined, { host: 'localhost:4747' })).statusCode).toBe(200)
  expect((await ask('/operate/audit', undefined, { host: 'evil.example' })).statusCode).toBe(403)
  const crossed = { host: 'localhost:4747', origin: 'https://evil.example' }
  expect((await ask('/operate/audit', undefined, crossed)).statusCode).toBe(403)
})

test('[O8] an operator sees a parked stream, discards its event, and is written down', async () => {
  await serve()
  const ref = await park()
  const shown = await ask(`/operate/dead-letter?ref=${encodeURIComponent(ref)}`, 'ann')
  expect(shown.json()).toMatchObject({ code: 'MESSAGE_TOO_LARGE', key: 'shop-7/sku-1' })
  expect(shown.json().lines).toHaveLength(2)
  const note = 'too large for the bus'
  expect((await act('discard', { ref, note })).statusCode).toBe(202)
  expect((await act('discard', { ref, note })).statusCode).toBe(404)
  expect(await world.drain('reporting', 1)).toHaveLength(1)
  expect((await ask('/operate/audit?max=5', 'ann')).json().records).toMatchObject([
    { by: 'ann', action: 'discard', subject: ref, note },
  ])
})

test('[O8] what is asked for in a wrong way is answered with a sentence, and nothing is done', async () => {
  await serve()
  const ref = await park()
  const wrong = [
    await act('redrive', { ref }),
    await act('redrive', { ref, note: '  ' }),
    await act('redrive', { note: 'why' }),
    await act('redrive', { ref: 7, note: 'why' }),
    await ask('/operate/dead-letters?max=0', 'ann'),
    await ask('/operate/dead-letters?max=all', 'ann'),
    await ask('/operate/audit?max=1001', 'ann'),
  ]
  for (const answer of wrong) {
    expect(answer.statusCode).toBe(400)
    expect(answer.json()).toMatchObject({ error: 'BAD_REQUEST', message: expect.any(String) })
  }
  expect((await act('redrive', { ref: 'relay/x', note: 'why' })).statusCode).toBe(404)
  expect((await ask('/operate/dead-letter', 'ann')).statusCode).toBe(404)
  expect((await act('redrive', { ref, note: 'why' }, 'bob')).statusCode).toBe(403)
  expect(await world.log.audits(5)).toEqual([])
})

test('[O8] while the log takes nothing an operator hears so, with the code', async () => {
  await serve()
  await world.append('sku-1', { quantity: 1 }, shop)
  const { log } = world
  const logs = log.logs.bind(log)
  log.logs = () => Promise.reject(new Error('broken'))
  const list = (await ask('/operate/dead-letters', 'ann')).json()
  expect(list.unread).toMatchObject([{ source: 'relay', reason: 'broken' }])
  log.logs = logs
})
