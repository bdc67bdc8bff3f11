import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type ClientFrame,
  type EventId,
  type FrameOf,
  type GatewayFrame,
  parseEntry,
  parseGatewayFrame,
  system,
  topic,
  writeClaim,
  writeFrame,
} from '@tidemark/shared'
import fastify, { type FastifyInstance } from 'fastify'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import * as z from 'zod'
import { gateway, type GatewayPluginOptions } from './fastify.ts'
import type { Log } from './log/log.ts'
import { sqliteLog } from './log/sqlite.ts'

const inventory = topic('inventory', {
  StockReceived: z.object({ quantity: z.int().positive() }),
})
const name = { topic: 'inventory', scope: 'shop-7' } as const

let folder: string
let log: Log
let app: FastifyInstance
let url: string
const clients: Client[] = []

async function start(options: Partial<GatewayPluginOptions> = {}): Promise<void> {
  app = fastify({ forceCloseConnections: true })
  await app.register(gateway, { log, topics: [inventory], ...options })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const address = app.server.address()
  url = `ws://127.0.0.1:${typeof address === 'object' ? address?.port : 0}/sync`
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

/** A client that speaks frames over a real socket. */
class Client {
  readonly socket: WebSocket
  readonly frames: GatewayFrame[] = []
  closed: { code: number; reason: string } | undefined
  #wake: () => void = () => {}

  constructor(headers: Record<string, string> = {}) {
    clients.push(this)
    this.socket = new WebSocket(url, { headers })
    this.socket.on('message', (data: Buffer) => {
      this.frames.push(parseGatewayFrame(data.toString()))
      this.#wake()
    })
    this.socket.on('close', (code, reason: Buffer) => {
      this.closed = { code, reason: reason.toString() }
      this.#wake()
    })
    this.socket.on('error', () => {})
  }

  async opened(): Promise<this> {
    while (this.socket.readyState === WebSocket.CONNECTING) {
      await new Promise<void>((resolve) => {
        for (const event of ['open', 'close']) this.socket.once(event, () => resolve())
      })
    }
    return this
  }

  send(...frames: readonly ClientFrame[]): void {
    for (const frame of frames) this.socket.send(writeFrame(frame))
  }

  hello(subscriptions: FrameOf<'hello'>['subscriptions'] = [], token = 'ann'): void {
    const [clientId, incarnation] = [system.uuid(), system.uuid()]
    this.send({
      type: 'hello',
      protocolMin: 1,
      protocolMax: 1,
      clientId,
      incarnation,
      token,
      subscriptions,
    })
  }

  async until(met: () => boolean): Promise<void> {
    while (!met()) await new Promise<void>((resolve) => (this.#wake = resolve))
  }

  /** Waits for the first frame of a type that satisfies `met`. */
  async frame<Type extends GatewayFrame['type']>(
    type: Type,
    met: (frame: FrameOf<Type>) => boolean = () => true,
  ): Promise<FrameOf<Type>> {
    const find = () =>
      this.frames.find((frame) => frame.type === type && met(frame as FrameOf<Type>))
    await this.until(() => find() !== undefined || this.closed !== undefined)
    const found = find()
    if (!found) throw new Error(`closed ${JSON.stringify(this.closed)} before ${type}`)
    return found as FrameOf<Type>
  }

  async close(): Promise<{ code: number; reason: string }> {
    await this.until(() => this.closed !== undefined)
    return this.closed ?? { code: 0, reason: '' }
  }

  get entries() {
    return this.frames
      .filter((frame) => frame.type === 'deliver')
      .flatMap(({ entries }) => entries.map((line) => parseEntry(name, line)))
  }
}

const claim = (quantity: unknown = 1, stream = 'sku-1', id = system.uuid() as EventId) => ({
  id,
  stream,
  type: 'StockReceived',
  version: 1,
  occurredAt: 1,
  data: { quantity },
})
const submit = (n: number, ...claims: readonly ReturnType<typeof claim>[]): FrameOf<'submit'> => ({
  type: 'submit',
  n,
  batches: claims.map(() => ({ ...name, size: 1 })),
  events: claims.map(writeClaim),
})

test('[D3] an event that one client submits is delivered to another and to its author, once', async () => {
  await start()
  const ann = await new Client().opened()
  const bob = await new Client().opened()
  ann.hello([name], 'ann')
  bob.hello([name], 'bob')
  expect(await ann.frame('welcome')).toMatchObject({ author: 'ann', protocol: 1 })
  await bob.frame('caughtUp')
  const claims = [claim(5), claim(6, 'sku-2')]
  ann.send(submit(1, ...claims))
  expect(await ann.frame('verdicts')).toEqual({
    type: 'verdicts',
    n: 1,
    verdicts: [
      { position: 1, revisions: [1] },
      { position: 2, revisions: [1] },
    ],
  })
  await bob.frame('deliver', ({ upTo }) => upTo === 2)
  await ann.frame('deliver', ({ upTo }) => upTo === 2)
  for (const { entries } of [ann, bob]) {
    expect(entries.map(({ id, position, author }) => ({ id, position, author }))).toEqual(
      claims.map(({ id }, at) => ({ id, position: at + 1, author: 'ann' })),
    )
  }
})
