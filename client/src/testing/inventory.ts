/** What the tests of the client share: an app, and a client of it whose world is in the test's hands. */
import { type FrameOf, model, refuse, topic } from '@tidemark/shared'
import * as z from 'zod'
import { type Client, type ClientOptions, createClient } from '../client.ts'
import { createDisk, type Disk, memoryStore, type MemoryStoreOptions } from '../store/memory.ts'
import {
  createTestNetwork,
  createTestSystem,
  type TestConnection,
  TestLog,
  type TestSystem,
  welcome,
} from '../testing.ts'
import type { TestGateway } from './gateway.ts'

export const inventory = topic('inventory', {
  StockReceived: z.object({ quantity: z.int().positive() }),
  StockPicked: z.object({ quantity: z.int().positive() }),
})
export const orders = topic('orders', { OrderPlaced: z.object({ text: z.string() }) })
export const item = model(inventory, {
  version: 1,
  initial: { onHand: 0 },
  on: {
    StockReceived: (state, event) => ({ onHand: state.onHand + event.data.quantity }),
    StockPicked: (state, event) => ({ onHand: state.onHand - event.data.quantity }),
  },
})
  .command('pick', z.object({ quantity: z.int().positive() }), (state, { quantity }, emit) =>
    state.onHand < quantity
      ? refuse('OUT_OF_STOCK', { onHand: state.onHand })
      : emit.StockPicked({ quantity }),
  )
  .command('pickInTwo', z.object({ quantity: z.int() }), (state, { quantity }, emit) =>
    state.onHand < 2 * quantity
      ? refuse('TOO_FEW')
      : [emit.StockPicked({ quantity }), emit.StockPicked({ quantity })],
  )
  .compensate('StockPicked', ({ data }, emit) => emit.StockReceived({ quantity: data.quantity }))
export const received = (quantity: number, stream = 'sku-1') =>
  inventory.stream(stream).StockReceived({ quantity })
export const picked = (quantity: number, stream = 'sku-1') =>
  inventory.stream(stream).StockPicked({ quantity })

/** A fresh log of the gateway. */
export const inventoryLog = () => new TestLog({ topic: 'inventory', scope: 'default' })

/** A client of the app, with everything around it. */
export interface Bench {
  readonly client: Client<{ item: typeof item }>
  readonly system: TestSystem
  readonly disk: Disk
  readonly errors: unknown[]
  readonly hint: () => void
  readonly connections: readonly TestConnection[]
  /** The newest connection. */
  connection(): TestConnection
  /** Opens the newest connection and welcomes it. Answers with the hello. */
  greet(log: TestLog, limits?: Parameters<typeof welcome>[1]): Promise<FrameOf<'hello'>>
  /** The next submit that the client has sent. */
  submit(): FrameOf<'submit'>
}

type Options = Partial<Omit<ClientOptions<{ item: typeof item }>, 'store'>> &
  MemoryStoreOptions & { readonly disk?: Disk; readonly system?: TestSystem }

/** Opens a client on a memory disk. */
export function openBench(options: Options = {}): Bench {
  const { disk = createDisk(), system = createTestSystem(), before, after, ...rest } = options
  const network = createTestNetwork()
  const errors: unknown[] = []
  const hinted = new Set<() => void>()
  const listen = (heard: () => void) => {
    hinted.add(heard)
    return () => void hinted.delete(heard)
  }
  const client = createClient({
    url: 'ws://gateway',
    user: 'ann',
    models: { item },
    store: memoryStore(disk, { system, ...(before && { before }), ...(after && { after }) }),
    connect: network.connect,
    hints: { listen, isSeen: () => true },
    onError: (error) => errors.push(error),
    ...rest,
    system,
  })
  const connection = (): TestConnection => {
    const newest = network.connections.at(-1)
    if (!newest) throw new Error('nobody has connected')
    return newest
  }
  const take = <Type extends 'hello' | 'submit'>(type: Type): FrameOf<Type> => {
    const { received } = connection()
    const at = received.findIndex((frame) => frame.type === type)
    if (at < 0) throw new Error(`no ${type} among ${JSON.stringify(received)}`)
    return received.splice(at, 1)[0] as FrameOf<Type>
  }
  return {
    client,
    system,
    disk,
    errors,
    hint: () => hinted.forEach((heard) => heard()),
    connections: network.connections,
    connection,
    async greet(log, limits) {
      await system.settle()
      connection().open()
      await system.settle()
      const hello = take('hello')
      connection().send(welcome('ann', limits))
      for (const { topic: name, scope } of hello.subscriptions) {
        const found = name === log.name.topic ? log : new TestLog({ topic: name, scope })
        connection().send(found.subscribed(), found.caughtUp())
      }
      await system.settle()
      return hello
    },
    submit: () => take('submit'),
  }
}

/** A claim line of somebody else. */
export const foreignLine = (n: number, quantity = 1, stream = 'sku-1'): string =>
  JSON.stringify({
    id: `0198c0de-ffff-7000-8000-${String(n).padStart(12, '0')}`,
    stream,
    type: 'StockReceived',
    version: 1,
    occurredAt: 1,
    data: { quantity },
  })

/** Lets the gateway and the client talk until both have said all. */
export async function talk(gateway: TestGateway, ...benches: readonly Bench[]): Promise<void> {
  for (let round = 0; round < 12; round++) {
    for (const bench of benches) {
      await bench.system.settle()
      if (bench.connections.length > 0) gateway.serve(bench.connection())
    }
  }
  for (const bench of benches) await bench.system.settle()
}
