import { expect, test } from 'vitest'
import type { Broker } from '../broker/broker.ts'
import { TestClock } from './clock.ts'
import { type ConsumeOptions, toSettings } from './consume.ts'
import { type Delivery, openMessage } from './delivery.ts'
import { handleBatch } from './handle.ts'
import { memoryProcessed, type MemoryTx } from './processed/memory.ts'
import { claimHeld } from './retry.ts'
import { claimSaga } from './run-saga.ts'
import { saga, step } from './saga.ts'
import { inventory, toMessage } from './testing/world.ts'

const broker: Broker = {
  limits: { messageBytesMax: 262_144, keyLengthMax: 128 },
  publish: async (_topic, messages) => messages.map(() => undefined),
  receiver: () => {
    throw new Error('nothing is received here')
  },
  close: async () => {},
}

const picked = (n: number): Delivery => {
  const message = toMessage(inventory.stream('a').Picked({ n }), n)
  const rest = { properties: {}, sequence: '1', enqueuedAt: 0, deliveries: 1, lockedUntil: 0 }
  return openMessage(inventory, true, { ...message, ...rest })
}

/** Two processes of one consumer on one database, under one clock. */
function createPair(on: ConsumeOptions<typeof inventory, MemoryTx>['on']) {
  const clock = new TestClock()
  const processed = memoryProcessed()
  const options = { name: 'stock', broker, processed, system: clock, on, handlerMsMax: 1_000 }
  const [one, two] = [toSettings(inventory, options), toSettings(inventory, options)]
  return { clock, processed, one, two }
}

test('[C3] two processes that were handed the same event make one effect', async () => {
  const effects: number[] = []
  const { one, two } = createPair({ Picked: ({ data }) => void effects.push(data.n) })
  const settled: string[] = []
  const hand = (settings: typeof one, who: string) =>
    handleBatch(settings, [picked(1), picked(2)], ({ event }) => settled.push(`${who} ${event.id}`))
  await Promise.all([hand(one, 'one'), hand(two, 'two')])
  expect(effects).toEqual([1, 2])
  expect(settled).toHaveLength(4)
  expect([one.counts.processed + two.counts.processed, two.counts.duplicates]).toEqual([2, 2])
})

test('[C17] whoever was away for longer than its claim of a stream makes no effect', async () => {
  const gates: (() => void)[] = []
  const effects: string[] = []
  let isDown = true
  const on = (who: string): ConsumeOptions<typeof inventory, MemoryTx>['on'] => ({
    Picked: () => {
      if (isDown) throw new Error('down')
      effects.push(who)
    },
  })
  const { clock, processed, one, two } = createPair(on('one'))
  await handleBatch(one, [picked(1)], () => {})
  isDown = false
  await clock.pass(60_000)
  /** A process that freezes between its claim and its attempt. */
  let transactions = 0
  const frozen: typeof one = {
    ...one,
    processed: {
      ...processed,
      async transaction(work) {
        if ((transactions += 1) === 2) await new Promise<void>((resolve) => gates.push(resolve))
        return processed.transaction(work)
      },
    },
  }
  const late = (await claimHeld(frozen)).advance?.()
  await clock.pass(10_000)
  expect(gates).toHaveLength(1)
  await (await claimHeld({ ...two, on: on('two') as typeof two.on })).advance?.()
  expect(effects).toEqual(['two'])
  gates[0]?.()
  await late
  expect(effects).toEqual(['two'])
})

test('[C17] whoever was away for longer than its claim of a saga commits nothing', async () => {
  const { clock, processed, one, two } = createPair({})
  const acts: string[] = []
  const once = saga<number, MemoryTx>({
    name: 'once',
    stepMsMax: 1_000,
    steps: [
      step('only', {
        run: {
          perform: (_n, { key }) => void acts.push(`perform ${key}`),
          commit: () => void acts.push('commit'),
        },
      }),
    ],
  })
  await processed.transaction(({ sagas }) =>
    sagas.start({
      id: 's-1',
      name: 'once',
      input: 1,
      cause: { id: 'e', topic: 'inventory', scope: 's', stream: 'x', correlationId: 'e' },
      state: 'running',
      step: 0,
      attempts: 0,
      term: 0,
      dueAt: 0,
      startedAt: 0,
      changedAt: 0,
    }),
  )
  const run = { sagas: [once], onResults: () => {} }
  const late = await claimSaga({ ...one, ...run })
  await clock.pass(10_000)
  const quick = await claimSaga({ ...two, ...run })
  await quick.advance?.()
  await late.advance?.()
  expect(acts.filter((act) => act === 'commit')).toHaveLength(1)
  expect(new Set(acts).size).toBe(2)
})
