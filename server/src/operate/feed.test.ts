import { request, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { once } from 'node:events'
import { type Entry, parseEntry, type Position, system as realSystem } from '@tidemark/shared'
import fastify, { type FastifyInstance } from 'fastify'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { gateway } from '../fastify.ts'
import { inventory, openWorld, type OperateWorld, shop } from './testing/world.ts'

let world: OperateWorld
let app: FastifyInstance
let mayRead = true
let authorityFails = false
let tokenMs: number | undefined

beforeEach(async () => {
  mayRead = true
  authorityFails = false
  tokenMs = undefined
  world = openWorld()
  const { log, system } = world
  app = fastify()
  await app.register(gateway, {
    log,
    system,
    topics: [inventory],
    authenticate: ({ token }) => {
      if (token === undefined) return undefined
      return {
        author: token,
        ...(tokenMs !== undefined && { expiresAt: system.now() + tokenMs }),
      }
    },
    authorize: () => {
      if (authorityFails) throw new Error('no route to directory.internal')
      return mayRead ? 'allow' : 'hold'
    },
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
})
afterEach(async () => {
  await app.close()
  await world.close()
})

/** Asks for the feed, and hands over the response with its body still to come. */
async function ask(query = '', path = '/feed/inventory/shop-7'): Promise<IncomingMessage> {
  const { port } = app.server.address() as AddressInfo
  const asked = request({ port, path: `${path}${query}`, headers: { authorization: 'Bearer ann' } })
  asked.end()
  const [response] = (await once(asked, 'response')) as [IncomingMessage]
  return response.setEncoding('utf8')
}

async function readAll(response: IncomingMessage): Promise<readonly Entry[]> {
  let text = ''
  for await (const chunk of response) text += chunk
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => parseEntry(shop, line))
}

const positions = (entries: readonly Entry[]): readonly number[] =>
  entries.map(({ position }) => position)
const range = (first: number, last: number): readonly number[] =>
  Array.from({ length: last - first + 1 }, (_, at) => first + at)

test('[O9] the feed gives every entry of a log once and in order, ends at the head, and goes on after any position', async () => {
  for (const quantity of range(1, 500)) {
    await world.append(`sku-${quantity % 5}`, { quantity, note: 'x'.repeat(1_000) })
  }
  const response = await ask()
  expect(response.headers['content-type']).toBe('application/x-ndjson')
  expect(response.headers['tidemark-head']).toBe('500')
  const all = await readAll(response)
  expect(positions(all)).toEqual(range(1, 500))
  expect(all[41]).toMatchObject({ stream: 'sku-2', author: 'ann', data: { quantity: 42 } })
  expect(positions(await readAll(await ask('?after=321')))).toEqual(range(322, 500))
  expect(positions(await readAll(await ask('?after=500')))).toEqual([])
})

test('[O9] a feed that follows goes on with what is appended, and ends with the gateway', async () => {
  await world.append('sku-1', { quantity: 1 })
  const response = await ask('?follow=true')
  let text = ''
  response.on('data', (chunk: string) => (text += chunk))
  const ended = once(response, 'close')
  await vi.waitFor(() => expect(text).toContain('"position":1'))
  await world.append('sku-1', { quantity: 2 })
  await vi.waitFor(() => expect(text).toContain('"position":2'))
  // Where nothing happens an empty line says that the feed is alive.
  await vi.waitFor(() => expect(text).toMatch(/\n\n$/))
  await app.close()
  await ended
})

test('[O9] a feed that follows ends when its reader may not read any more', async () => {
  const response = await ask('?follow=true')
  const ended = once(response, 'end')
  response.resume()
  mayRead = false
  await ended
})

/** More than the sockets' own buffers take. */
async function appendMuch(): Promise<void> {
  for (const quantity of range(1, 150)) {
    await world.append('sku-1', { quantity, note: 'x'.repeat(100_000) })
  }
}

const connections = (): Promise<number> =>
  new Promise((resolve) => app.server.getConnections((_error, count) => resolve(count)))

test.each(['?follow=true', ''])(
  '[O9] a feed ends with its token, or with the permission, also where its reader stands still: %j',
  async (query) => {
    await appendMuch()
    for (const end of ['token', 'permission'] as const) {
      tokenMs = end === 'token' ? 40_000 : undefined
      const response = await ask(query)
      response.on('error', () => {}).pause()
      expect(await connections()).toBe(1)
      if (end === 'permission') mayRead = false
      await vi.waitFor(async () => expect(await connections()).toBe(0), { timeout: 5_000 })
      response.destroy()
      mayRead = true
    }
  },
)

test('[O9] a gateway that closes waits for no reader that stands still', async () => {
  await appendMuch()
  const readers = [await ask(), await ask('?follow=true')]
  for (const response of readers) response.on('error', () => {}).pause()
  await app.close()
  for (const response of readers) response.destroy()
})

test('[O9] where the permission or the log cannot be asked the answer is 503, and the reason stays in the gateway', async () => {
  await world.append('sku-1', { quantity: 1 })
  const headers = { authorization: 'Bearer ann' }
  const asked = async () => {
    const { statusCode, body } = await app.inject({ url: '/feed/inventory/shop-7', headers })
    expect(body).not.toContain('internal')
    return [statusCode, JSON.parse(body).error]
  }
  authorityFails = true
  expect(await asked()).toEqual([503, 'UNAVAILABLE'])
  authorityFails = false
  vi.spyOn(world.log, 'head').mockRejectedValueOnce(new Error('/internal/log.db: I/O error'))
  expect(await asked()).toEqual([503, 'UNAVAILABLE'])
  expect(await asked()).toEqual([200, undefined])
})

test('[O9] a reader that does not read holds two pages in the gateway, however long the log is', async () => {
  for (const quantity of range(1, 300)) {
    await world.append('sku-1', { quantity, note: 'x'.repeat(100_000) })
  }
  const read = vi.spyOn(world.log, 'read')
  const response = await ask()
  response.pause()
  let before = -1
  // The sockets' own buffers take some megabytes; then nothing is read any more.
  await vi.waitFor(
    () => {
      const now = read.mock.calls.length
      const hasStopped = now === before
      before = now
      expect(hasStopped).toBe(true)
    },
    { timeout: 5_000, interval: 300 },
  )
  expect(before).toBeLessThan(200)
  expect(positions(await readAll(response))).toEqual(range(1, 300))
})

test('[O9] a position that the log never had, or an entry that is not there, is answered with where to go back to', async () => {
  const id = await world.append('sku-1', { quantity: 1 })
  await world.append('sku-1', { quantity: 2 })
  const beyond = await ask('?after=9')
  expect(beyond.statusCode).toBe(409)
  beyond.resume()
  const other = await ask(`?after=1&id=${realSystem.uuid()}`)
  expect(other.statusCode).toBe(409)
  other.resume()
  expect(positions(await readAll(await ask(`?after=1&id=${id}`)))).toEqual([2])
})

test('[O9] the feed asks for the same permission as the WebSocket, and a log that does not exist looks like one that is forbidden', async () => {
  await world.append('sku-1', { quantity: 1 })
  const bodies: string[] = []
  for (const path of ['/feed/nothing/shop-7', '/feed/inventory/shop-7']) {
    mayRead = path.includes('nothing')
    const response = await ask('', path)
    expect(response.statusCode).toBe(403)
    let text = ''
    for await (const chunk of response) text += chunk
    bodies.push(text.replace('nothing', 'inventory'))
  }
  expect(bodies[0]).toBe(bodies[1])
  const without = await app.inject('/feed/inventory/shop-7')
  expect(without.statusCode).toBe(401)
})

test('what is asked for in a wrong way is answered with a sentence', async () => {
  const paths = [
    '/feed/inventory/shop%2F7',
    '/feed/inventory/shop-7?after=-1',
    '/feed/inventory/shop-7?after=x',
    '/feed/inventory/shop-7?after=1&id=x',
    '/feed/inventory/shop-7?follow=perhaps',
  ]
  for (const path of paths) {
    const response = await ask('', path)
    expect(response.statusCode, path).toBe(400)
    response.resume()
  }
  expect((await world.log.head(shop)).position).toBe(0 as Position)
})
