/** A gateway whose log is restored from a copy, as docs/operations.md says to, or lost, with devices that have seen more. */
import { copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createClient, memoryStore } from '@tidemark/client'
import { gateway } from '@tidemark/server'
import { sqliteLog } from '@tidemark/server/log/sqlite'
import { model, topic } from '@tidemark/shared'
import fastify from 'fastify'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import * as z from 'zod'
import { findPort } from './rig.ts'

const inventory = topic('inventory', { StockReceived: z.object({ quantity: z.int() }) })
const item = model(inventory, {
  version: 1,
  initial: { onHand: 0 },
  on: { StockReceived: (state, { data }) => ({ onHand: state.onHand + data.quantity }) },
})

let folder: string
let port: number
const closing: (() => Promise<unknown>)[] = []

beforeEach(async () => {
  const root = join(import.meta.dirname, '../../.cache')
  await mkdir(root, { recursive: true })
  folder = await mkdtemp(join(root, 'restore-'))
  port = await findPort()
})
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
  await rm(folder, { recursive: true, force: true })
})

const file = (name: string) => join(folder, name)

/** Runs a gateway on the log in the folder. Answers with what ends it. */
async function serve(): Promise<() => Promise<void>> {
  const log = sqliteLog(file('tidemark.db'))
  const app = fastify()
  await app.register(gateway, {
    log,
    topics: [inventory],
    authenticate: ({ token }) => (token ? { author: token } : undefined),
    authorize: () => 'allow',
    awayMsMax: 0,
  })
  await app.listen({ port })
  let isOver = false
  const stop = async (): Promise<void> => {
    if (isOver) return
    isOver = true
    await app.close()
    await log.close()
  }
  closing.push(stop)
  return stop
}

async function dropLog(): Promise<void> {
  for (const suffix of ['', '-wal', '-shm']) {
    await rm(file(`tidemark.db${suffix}`), { force: true })
  }
}

function openDevice(user: string) {
  const url = `ws://127.0.0.1:${port}/sync`
  const store = memoryStore()
  const client = createClient({ url, user, token: () => user, models: { item }, store })
  closing.push(() => client.close())
  const receive = async (...quantities: readonly number[]) => {
    const drafts = quantities.map((quantity) =>
      inventory.stream('sku-1').StockReceived({ quantity }),
    )
    return (await client.append(drafts)).settled
  }
  const onHand = () => client.model.item('sku-1').get()?.onHand
  const entries = () => client.entries(inventory)
  const isSynced = () => {
    const { link, pending, logs } = client.status.getSnapshot()
    return link === 'online' && pending === 0 && logs['inventory']?.caughtUp === true
  }
  return { client, receive, onHand, entries, isSynced }
}

test('[P13] what a restored or lost log lacks is given back by the devices of those who wrote it', async () => {
  const stop = await serve()
  const [ada, adasPhone, ben] = [openDevice('ada'), openDevice('ada'), openDevice('ben')]
  await ada.receive(1)
  await stop()
  await copyFile(file('tidemark.db'), file('copy.db'))
  const stopLived = await serve()
  await ben.receive(10)
  await ada.receive(100, 200)
  await adasPhone.receive(1_000)
  const devices = [ada, adasPhone, ben]
  const all = (onHand: number) => async () => {
    expect(devices.map((device) => [device.isSynced(), device.onHand()])).toEqual(
      devices.map(() => [true, onHand]),
    )
  }
  await vi.waitFor(all(1_311), 15_000)
  const ids = async () => (await ben.entries()).map(({ id }) => id).toSorted()
  const before = await ids()
  await stopLived()

  await dropLog()
  await copyFile(file('copy.db'), file('tidemark.db'))
  await ada.client.append(inventory.stream('sku-1').StockReceived({ quantity: 10_000 }))
  const stopRestored = await serve()
  await vi.waitFor(all(11_311), 15_000)
  expect((await ids()).filter((id) => before.includes(id))).toEqual(before)
  const batches = (await ben.entries()).flatMap(({ batch }) => batch ?? [])
  expect([batches.length, new Set(batches).size]).toEqual([2, 1])
  await stopRestored()

  await dropLog()
  await serve()
  await vi.waitFor(all(11_311), 15_000)
  expect(await ids()).toHaveLength(before.length + 1)
  expect(devices.map(({ client }) => client.refused.getSnapshot())).toEqual([[], [], []])
})
