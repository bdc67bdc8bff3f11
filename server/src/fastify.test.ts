import { mkdtempSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { system, writeFrame } from '@tidemark/shared'
import fastify, { type FastifyInstance } from 'fastify'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { ClientOptions } from 'ws'
import { gateway, type GatewayPluginOptions } from './fastify.ts'
import type { Log } from './log/log.ts'
import { sqliteLog } from './log/sqlite.ts'
import { hello, inventory, name, someClaim, submit } from './testing/client.ts'
import { rawUpgrade, statusLineOf } from './testing/raw-upgrade.ts'
import { SocketClient } from './testing/socket-client.ts'

let folder: string
let log: Log
let app: FastifyInstance
let address: string
let lines: string[]
const clients: SocketClient[] = []

async function start(options: Partial<GatewayPluginOptions> = {}): Promise<void> {
  lines = []
  const stream = { write: (line: string) => void lines.push(line) }
  app = fastify({ logger: { level: 'info', stream }, forceCloseConnections: true })
  await app.register(gateway, { log, topics: [inventory], ...options })
  address = await app.listen({ port: 0, host: '127.0.0.1' })
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tidemark-'))
  log = sqliteLog(join(folder, 'log.db'))
})
afterEach(async () => {
  for (const client of clients.splice(0)) client.socket.terminate()
  await app.close()
  await log.close()
  rmSync(folder, { recursive: true, force: true })
})

function connect(options: ClientOptions = {}, path = '/sync'): SocketClient {
  const client = new SocketClient(`${address.replace('http', 'ws')}${path}`, options)
  clients.push(client)
  return client
}

const claims = (count: number) =>
  Array.from({ length: count }, (_, at) => someClaim(system, { stream: `sku-${at % 3}` }))

test('[D3] an event that one client submits is delivered to another and to its author, once', async () => {
  await start()
  const ann = await connect().welcomed({ token: 'ann', subscriptions: [name] })
  const bob = await connect().welcomed({ token: 'bob', subscriptions: [name] })
  await bob.frame('caughtUp')
  const sent = claims(2)
  ann.send(submit(1, sent))
  expect(await ann.frame('verdicts')).toEqual({
    type: 'verdicts',
    n: 1,
    verdicts: [
      { position: 1, revisions: [1] },
      { position: 2, revisions: [1] },
    ],
  })
  for (const client of [ann, bob]) {
    await client.frame('deliver', ({ upTo }) => upTo === 2)
    expect(client.entries.map(({ id, position, author }) => ({ id, position, author }))).toEqual(
      sent.map(({ id }, at) => ({ id, position: at + 1, author: 'ann' })),
    )
  }
})

test('[N9] what the socket library refuses is closed with the code that the protocol names', async () => {
  await start({ limits: { frameBytesMax: 20_000 } })
  const good = await connect().welcomed()
  const [utf8, large, binary] = [
    await connect().welcomed(),
    await connect().welcomed(),
    await connect().welcomed(),
  ]
  utf8.socket.send(Buffer.from([0x22, 0xc3, 0x28, 0x22]), { binary: false })
  large.socket.send(`{"type":"ping","x":"${'x'.repeat(30_000)}"}`)
  binary.socket.send(Buffer.from(writeFrame({ type: 'ping' })), { binary: true })
  expect((await utf8.ended()).code).toBe(1007)
  expect((await large.ended()).code).toBe(1009)
  expect(await binary.ended()).toEqual({ code: 4400, reason: 'BAD_FRAME' })
  good.send({ type: 'ping' })
  await good.frame('pong')
})

test('[N9] random bytes and floods of frames end nothing but their own link', async () => {
  await start()
  const good = await connect().welcomed()
  for (let round = 0; round < 30; round += 1) {
    const bad = await connect().welcomed()
    const valid = writeFrame(submit(1, claims(1)))
    const at = Math.floor(system.random() * valid.length)
    const noise = String.fromCharCode(32 + Math.floor(system.random() * 90))
    bad.socket.send(`${valid.slice(0, at)}${noise.repeat(3)}${valid.slice(at + 1)}`)
    for (let count = 0; count < 50; count += 1) bad.socket.send('{"type":"ping"}')
    bad.socket.close()
  }
  good.send(submit(1, claims(1)))
  await good.frame('verdicts')
})

test('[N11] without `authenticate` only this machine is served, and that is said at the start', async () => {
  await start()
  expect(lines.join('')).toContain('"event":"loopback-only"')
  await app.close()
  const authenticate = () => ({ author: 'ann' })
  await start({ authenticate, authorize: () => 'allow' })
  expect(lines.join('')).not.toContain('loopback-only')
})

test('[N11] a page of another origin may not connect, unless it is on the list', async () => {
  await start()
  const own = address.slice('http://'.length)
  const origins = [undefined, `http://${own}`, 'https://evil.example', 'null']
  const codes = []
  for (const origin of origins) {
    const client = connect(origin === undefined ? {} : { origin })
    await client.opened()
    codes.push(client.closed?.code ?? 'open')
  }
  expect(codes).toEqual(['open', 'open', 1006, 1006])
  for (const client of clients) client.socket.terminate()
  await app.close()
  await start({ origins: ['https://app.example'] })
  const listed = await connect({ origin: 'https://app.example' }).opened()
  const unlisted = await connect({ origin: `http://${own}` }).opened()
  expect([listed.closed, unlisted.closed?.code]).toEqual([undefined, 1006])
})

test('[N11] without `authenticate` a page whose own name leads to this machine gets no socket, and no answer over HTTP', async () => {
  await start()
  const { port } = new URL(address)
  for (const name of ['evil.example', '127.evil.example', 'localhost.evil.example']) {
    const headers = { Host: `${name}:${port}`, Origin: `http://${name}:${port}` }
    expect(await statusLineOf(address, '/sync', headers), name).toContain(' 403 ')
    const asked = await app.inject({ url: '/feed/inventory/shop-7', headers })
    expect(asked.statusCode, name).toBe(403)
  }
  for (const name of ['localhost', '127.0.0.1', '[::1]']) {
    const headers = { Host: `${name}:${port}`, Origin: `http://${name}:${port}` }
    expect(await statusLineOf(address, '/sync', headers), name).toContain(' 101 ')
    const asked = await app.inject({ url: '/feed/inventory/shop-7', headers })
    expect(asked.statusCode, name).toBe(200)
  }
})

test('[N9] `origins` that throws costs the connection that it was asked for, and no other', async () => {
  let works = true
  const origins = (): boolean => {
    if (works) return true
    throw new Error('the list of origins is not there')
  }
  await start({ origins })
  const before = await connect({ origin: 'https://app.example' }).welcomed()
  works = false
  const refused = await connect({ origin: 'https://app.example' }).opened()
  expect(refused.closed?.code).toBe(1006)
  expect(lines.join('')).toContain('"event":"upgrade-failed"')
  before.send({ type: 'ping' })
  await before.frame('pong')
})

test('[N9] whoever keeps a refused upgrade open is not kept', async () => {
  await start()
  const socket = await rawUpgrade(address, '/nope')
  socket.resume()
  await vi.waitFor(async () => {
    const count = await new Promise((resolve) => {
      app.server.getConnections((_error, count) => resolve(count))
    })
    expect(count).toBe(0)
  })
  socket.destroy()
})

test('[N11] another path and too many connections are refused before there is a socket', async () => {
  await start({ connectionsMax: 1 })
  expect(await statusOf('/elsewhere')).toBe(404)
  await connect().welcomed()
  expect(await statusOf('/sync')).toBe(503)
})

test('[N12] health says whether the gateway is ready, and what it is waiting for', async () => {
  await start()
  const health = await fetch(`${address}/healthz`)
  expect([health.status, await health.json()]).toEqual([200, { status: 'ok' }])
  await connect().welcomed()
  const ready = await fetch(`${address}/readyz`)
  expect(ready.status).toBe(200)
  expect(await ready.json()).toMatchObject({ ready: true, log: 'ok', sessions: 1 })
  await app.tidemark.drain()
  expect((await fetch(`${address}/readyz`)).status).toBe(503)
})

test('[N12] no token and no data of an event is written to the log', async () => {
  await start({
    authenticate: ({ token }) => {
      if (token === 'canary-bad') throw new Error('no')
      return { author: 'ann' }
    },
    authorize: () => 'allow',
  })
  const bad = await connect().opened()
  bad.send(hello(system, { token: 'canary-bad' }))
  await bad.ended()
  const client = await connect().welcomed({ token: 'canary-token' })
  client.send(submit(1, [someClaim(system, { data: { quantity: 'canary-data' } })]))
  await client.frame('verdicts')
  client.socket.send('{"type":"submit","canary-frame":true}')
  await client.ended()
  expect(lines.length).toBeGreaterThan(2)
  expect(lines.join('')).not.toContain('canary')
})

test('[N8] closing the app sends its clients away with 1001, and does not wait for them for ever', async () => {
  await start()
  const polite = await connect().welcomed()
  const deaf = await connect().welcomed()
  deaf.socket.pause()
  await app.close()
  expect(polite.frames.at(-1)).toMatchObject({ type: 'goaway' })
  expect((await polite.ended()).code).toBe(1001)
})

/** The status of an upgrade that is refused. */
function statusOf(path: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const headers = {
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Version': '13',
      'Sec-WebSocket-Key': Buffer.from('0123456789abcdef').toString('base64'),
    }
    const asked = request(`${address}${path}`, { headers })
    asked.on('response', ({ statusCode }) => resolve(statusCode))
    asked.on('upgrade', (_response, socket) => {
      socket.destroy()
      resolve(101)
    })
    asked.on('error', reject)
    asked.end()
  })
}
