import { TidemarkError, topic } from '@tidemark/shared'
import { expect, test } from 'vitest'
import * as z from 'zod'
import { refuse } from './policy.ts'
import { testConsumer } from './testing.ts'

const inventory = topic('inventory', {
  Picked: z.object({ quantity: z.int() }),
  Counted: z.object({ quantity: z.int() }),
  Moved: z.object({}),
})
const sku = (name: string) => inventory.stream(name)

/** Adds up what was picked of each stream, and answers with the sum. */
const counting = {
  name: 'counting',
  on: {
    Picked: (event, { tx, emit }) => {
      const sum = Number(tx.get(event.stream) ?? 0) + event.data.quantity
      tx.set(event.stream, sum)
      emit(sku(event.stream).Counted({ quantity: sum }))
    },
  },
} satisfies Parameters<typeof testConsumer<typeof inventory>>[1]

test('[C1] an event has its effect and its results, and once more it has nothing', async () => {
  const consumer = await testConsumer(inventory, counting)
  const results = await consumer.deliver(sku('a').Picked({ quantity: 2 }), {
    id: '0198b4c6-0000-7000-8000-000000000001',
    scope: 'shop-7',
    traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  })
  expect(consumer.read('a')).toBe(2)
  expect(results).toMatchObject([
    {
      topic: 'inventory',
      scope: 'shop-7',
      stream: 'a',
      type: 'Counted',
      data: { quantity: 2 },
      author: 'counting',
      causationId: '0198b4c6-0000-7000-8000-000000000001',
      correlationId: '0198b4c6-0000-7000-8000-000000000001',
    },
  ])
  expect(await consumer.redeliver()).toEqual([])
  expect(consumer.read('a')).toBe(2)
})

test('[C4] results have the same ids wherever and whenever they are made', async () => {
  const make = async () => {
    const consumer = await testConsumer(inventory, {
      name: 'counting',
      on: {
        Picked: (event, { emit }) => {
          emit(sku(event.stream).Counted({ quantity: 1 }))
          emit(sku(event.stream).Counted({ quantity: 2 }))
        },
      },
    })
    await consumer.clock.pass(Math.floor(performance.now()))
    const id = '0198b4c6-0000-7000-8000-000000000001'
    return (await consumer.deliver(sku('a').Picked({ quantity: 1 }), { id })).map(({ id }) => id)
  }
  const [one, two] = [await make(), await make()]
  expect(one).toEqual(two)
  expect(new Set(one).size).toBe(2)
})

test('[C2] a handler sees how often its event was tried', async () => {
  const attempts: number[] = []
  const consumer = await testConsumer(inventory, {
    name: 'counting',
    on: {
      Picked: (_event, { attempt }) => {
        attempts.push(attempt)
        if (attempt < 3) throw new Error('not yet')
      },
    },
  })
  await consumer.deliver(sku('a').Picked({ quantity: 1 }))
  await consumer.pass(60_000)
  expect(attempts).toEqual([1, 2, 3])
  expect(await consumer.held()).toEqual([])
})

test('[C8] what a handler wrote before it threw is undone, and so are its results', async () => {
  const consumer = await testConsumer(inventory, {
    name: 'counting',
    on: {
      Picked: (event, context) => {
        counting.on.Picked(event, context)
        if (context.attempt === 1) throw new Error('after the effect')
      },
    },
  })
  expect(await consumer.deliver(sku('a').Picked({ quantity: 2 }))).toEqual([])
  expect(consumer.read('a')).toBeUndefined()
  expect(await consumer.pass(60_000)).toHaveLength(1)
  expect(consumer.read('a')).toBe(2)
})

test('[C8] a stream whose event fails K times is parked with what is behind it, and others flow', async () => {
  const consumer = await testConsumer(inventory, {
    name: 'counting',
    attemptsMax: 3,
    on: {
      Picked: (event, context) => {
        if (event.data.quantity < 0) throw new RangeError('less\0than nothing')
        counting.on.Picked(event, context)
      },
    },
  })
  const bad = '0198b4c6-0000-7000-8000-000000000001'
  await consumer.deliver(sku('a').Picked({ quantity: -1 }), { id: bad })
  await consumer.deliver(sku('a').Picked({ quantity: 5 }))
  expect(await consumer.deliver(sku('b').Picked({ quantity: 7 }))).toHaveLength(1)
  const told = await consumer.pass(3_600_000)
  expect(told).toMatchObject([
    {
      type: 'tidemark.DeadLettered',
      stream: 'a',
      causationId: bad,
      data: {
        id: bad,
        consumer: 'counting',
        code: 'HANDLER_FAILED',
        reason: 'The consumer failed at it.',
        attempts: 3,
      },
    },
  ])
  expect(await consumer.held()).toMatchObject([
    { key: 'default/a', state: 'parked', reason: 'less than nothing', attempts: 3, events: 2 },
  ])
  expect([consumer.read('a'), consumer.read('b')]).toEqual([undefined, 7])
})

test('[C9] a refusal parks at once, in the words of the app', async () => {
  const consumer = await testConsumer(inventory, {
    name: 'counting',
    on: { Picked: () => refuse('OUT_OF_STOCK', 'There are none left.') },
  })
  const told = await consumer.deliver(sku('a').Picked({ quantity: 1 }))
  expect(told).toMatchObject([{ data: { code: 'OUT_OF_STOCK', reason: 'There are none left.' } }])
  expect(await consumer.held()).toMatchObject([{ state: 'parked', attempts: 1 }])
})

test('[C9] the policy of retries decides by code', async () => {
  const consumer = await testConsumer(inventory, {
    name: 'counting',
    retry: { codes: { ECARD: 'park' } },
    on: {
      Picked: () => {
        throw Object.assign(new Error('no such card'), { code: 'ECARD' })
      },
      Moved: () => {
        throw new TidemarkError('ID_REUSED')
      },
    },
  })
  await consumer.deliver(sku('a').Picked({ quantity: 1 }))
  await consumer.deliver(sku('b').Moved({}))
  expect(await consumer.held()).toMatchObject([
    { key: 'default/a', state: 'parked', code: 'ECARD' },
    { key: 'default/b', state: 'parked', code: 'ID_REUSED' },
  ])
})

test('data that its schema does not take parks its stream without asking the handler', async () => {
  let asked = 0
  const consumer = await testConsumer(inventory, {
    name: 'counting',
    on: { Picked: () => void (asked += 1) },
  })
  const draft = {
    topic: 'inventory',
    stream: 'a',
    type: 'Picked',
    version: 1,
    data: { quantity: '2' },
  }
  await consumer.deliver(draft)
  expect(asked).toBe(0)
  expect(await consumer.held()).toMatchObject([{ state: 'parked', code: 'SCHEMA_INVALID' }])
})

test('[C7] a handler that hangs is given up, and cannot write any more', async () => {
  const gate: { open: () => void } = { open: () => {} }
  const late: unknown[] = []
  const consumer = await testConsumer(inventory, {
    name: 'counting',
    handlerMsMax: 1_000,
    on: {
      Picked: async (event, { tx, signal, attempt }) => {
        if (attempt > 1) return tx.set(event.stream, 'second')
        await new Promise<void>((resolve) => (gate.open = resolve))
        late.push(signal.aborted)
        try {
          tx.set(event.stream, 'zombie')
        } catch (error) {
          late.push(error)
        }
      },
    },
  })
  const delivering = consumer.deliver(sku('a').Picked({ quantity: 1 }))
  await consumer.clock.pass(1_000)
  await delivering
  expect(await consumer.held()).toMatchObject([{ code: 'HANDLER_TIMEOUT', state: 'retrying' }])
  gate.open()
  await consumer.pass(60_000)
  expect(late).toMatchObject([true, { message: expect.stringContaining('transaction') }])
  expect(consumer.read('a')).toBe('second')
})

test('[C10] a conflict over a read model is tried again, and then it is visible', async () => {
  const seen: number[] = []
  const consumer = await testConsumer(inventory, {
    name: 'counting',
    attemptsMax: 2,
    on: {
      Picked: async (event, { revision, advance }) => {
        const now = await revision('item')
        seen.push(now)
        await advance('item', event.data.quantity)
      },
    },
  })
  await consumer.deliver(sku('a').Picked({ quantity: 0 }))
  await consumer.deliver(sku('b').Picked({ quantity: 7 }))
  await consumer.pass(60_000)
  expect(seen).toEqual([0, 1, 1])
  expect(await consumer.held()).toMatchObject([
    { key: 'default/b', state: 'parked', code: 'REVISION_CONFLICT', attempts: 2 },
  ])
})

test('an event from history is marked, and has its effect once', async () => {
  const marks: boolean[] = []
  const consumer = await testConsumer(inventory, {
    name: 'counting',
    on: { Picked: (_event, { replayed }) => void marks.push(replayed) },
  })
  const id = '0198b4c6-0000-7000-8000-000000000001'
  await consumer.deliver(sku('a').Picked({ quantity: 1 }), { id, replayed: true })
  await consumer.deliver(sku('a').Picked({ quantity: 1 }), { id })
  expect(marks).toEqual([true])
})

test('a result that its own topic would not take fails its event', async () => {
  const consumer = await testConsumer(inventory, {
    name: 'counting',
    on: {
      Picked: (event, { emit }) => void emit(sku(event.stream).Counted({ quantity: 0.5 })),
    },
  })
  await consumer.deliver(sku('a').Picked({ quantity: 1 }))
  expect(await consumer.held()).toMatchObject([{ state: 'parked', code: 'SCHEMA_INVALID' }])
})

test('a result that no broker could carry fails its event', async () => {
  const wide = topic('wide', { Said: z.object({ text: z.string() }) })
  const consumer = await testConsumer(wide, {
    name: 'echo',
    on: {
      Said: (_event, { emit }) => void emit(wide.stream('x').Said({ text: 'x'.repeat(300_000) })),
    },
  })
  await consumer.deliver(wide.stream('x').Said({ text: 'hello' }))
  expect(await consumer.held()).toMatchObject([{ state: 'parked', code: 'MESSAGE_TOO_LARGE' }])
})
