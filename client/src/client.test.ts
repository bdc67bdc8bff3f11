import { model, topic } from '@tidemark/shared'
import * as z from 'zod'
import { expect, test } from 'vitest'
import { createClient } from './client.ts'
import { createDisk, type MemoryStoreOptions, memoryStore } from './store/memory.ts'
import { createTestNetwork, createTestSystem, TestLog, welcome } from './testing.ts'

const inventory = topic('inventory', {
  StockReceived: z.object({ quantity: z.int().positive() }),
  StockPicked: z.object({ quantity: z.int().positive() }),
})
const item = model(inventory, {
  version: 1,
  initial: { onHand: 0 },
  on: {
    StockReceived: (state, event) => ({ onHand: state.onHand + event.data.quantity }),
    StockPicked: (state, event) => ({ onHand: state.onHand - event.data.quantity }),
  },
})
const sku = inventory.stream('sku-1')

function openClient({
  disk = createDisk(),
  ...storeOptions
}: { disk?: ReturnType<typeof createDisk> } & MemoryStoreOptions = {}) {
  const system = createTestSystem()
  const network = createTestNetwork()
  const errors: unknown[] = []
  const client = createClient({
    url: 'ws://gateway',
    user: 'ann',
    models: { item },
    store: memoryStore(disk, { system, ...storeOptions }),
    connect: network.connect,
    hints: { listen: () => () => undefined, isSeen: () => true },
    system,
    onError: (error) => errors.push(error),
  })
  return {
    client,
    disk,
    system,
    network,
    errors,
    connection: (at: number) => {
      const connection = network.connections[at]
      if (!connection) throw new Error(`no connection ${at}`)
      return connection
    },
  }
}

const log = () => new TestLog({ topic: 'inventory', scope: 'default' })

test('an event goes from append to its entry, and what is shown never flickers', async () => {
  const { client, system, connection, disk, errors } = openClient()
  expect(client.model.item('sku-1').getSnapshot().status).toBe('loading')
  await system.settle()
  expect(client.model.item('sku-1').getSnapshot().status).toBe('absent')
  const seen: unknown[] = []
  client.model.item('sku-1').subscribe(() => {
    const { state, pending } = client.model.item('sku-1').getSnapshot()
    seen.push([state?.onHand, pending])
  })
  const { settled } = await client.append(sku.StockReceived({ quantity: 5 }))
  expect(seen).toEqual([[5, 1]])
  const server = log()
  connection(0).open()
  await system.settle()
  expect(connection(0).received.shift()).toMatchObject({
    type: 'hello',
    subscriptions: [server.name],
  })
  connection(0).send(welcome(), server.subscribed(), server.caughtUp())
  await system.settle()
  const submit = connection(0).received.shift()
  if (submit?.type !== 'submit') throw new Error('no submit')
  expect(submit).toMatchObject({ n: 1, batches: [{ ...server.name, size: 1 }] })
  connection(0).send({ type: 'verdicts', n: 1, verdicts: [server.append(submit.events)] })
  expect(await settled).toEqual({ type: 'accepted', position: 1, revision: 1 })
  expect(disk.outbox.size).toBe(1)
  connection(0).send(server.deliver())
  await system.settle()
  expect(connection(0).received).toEqual([{ type: 'applied', ...server.name, upTo: 1 }])
  expect(disk.outbox.size).toBe(0)
  expect(seen).toEqual([
    [5, 1],
    [5, 0],
  ])
  expect(client.status.getSnapshot()).toMatchObject({ link: 'online', pending: 0, leader: true })
  await client.close()
  expect(client.status.getSnapshot().link).toBe('closed')
  expect(system.timers()).toBe(0)
  expect(errors).toEqual([])
})
