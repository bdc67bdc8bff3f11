import { TidemarkError } from '@tidemark/shared'
import { expect, test } from 'vitest'
import type { Broker } from '../broker/broker.ts'
import { refuse } from './policy.ts'
import { discard, listAside, listAudits, listHeld, redrive } from './park.ts'
import {
  audit,
  type ConsumerLife,
  createWorld,
  inventory,
  toMessage,
  type WorldOptions,
} from './testing/world.ts'

const sku = (name: string) => inventory.stream(name)
type On = WorldOptions['on']

/** Keeps the numbers of each stream in the order of their effects, and answers with each. */
const listing: On = {
  Picked: (event, { tx, emit }) => {
    const before = (tx.get(event.stream) ?? []) as readonly number[]
    tx.set(event.stream, [...before, event.data.n])
    emit(sku(event.stream).Counted({ n: event.data.n }))
  },
}
const range = (count: number) => Array.from({ length: count }, (_, index) => index + 1)

test('[C1, C4] every event has one effect, in the order of its stream, and one result', async () => {
  const world = createWorld()
  const { consumer, close } = await world.start({ on: listing })
  for (const n of range(20)) {
    for (const name of ['a', 'b', 'c']) await world.publish(sku(name).Picked({ n }))
  }
  await world.drained('stock')
  for (const name of ['a', 'b', 'c']) expect(world.read(name)).toEqual(range(20))
  await world.clock.until(() => consumer.counts.published === 60)
  const results = (await world.peek('results')).filter(({ type }) => type === 'Counted')
  expect(new Set(results.map(({ id }) => id)).size).toBe(60)
  // Its own answers come back on the same topic; it has no handler for them.
  await world.clock.until(() => consumer.counts.ignored === 60)
  expect(consumer.counts).toMatchObject({ processed: 60, duplicates: 0, failed: 0, malformed: 0 })
  await close()
  expect(consumer.state).toEqual({ state: 'closed' })
})

test('[C3] a lock that is lost while the handler is at it costs nothing', async () => {
  const world = createWorld()
  let inside = 0
  const { consumer, close } = await world.start({
    on: {
      Picked: (event, context) => {
        if ((inside += 1) === 1) world.namespace.faults.expireLocks('inventory/Subscriptions/stock')
        return listing.Picked?.(event, context)
      },
    },
  })
  await world.publish(sku('a').Picked({ n: 1 }))
  await world.drained('stock')
  await world.clock.until(() => consumer.counts.duplicates >= 1)
  expect(world.read('a')).toEqual([1])
  expect(consumer.counts.lockLost).toBe(1)
  await close()
})

test('[C3] a process that dies between its commit and its settlement leaves nothing to do twice', async () => {
  const world = createWorld()
  const inner = world.reopen()
  let isInside = false
  const life: ConsumerLife = await world.start({
    processed: {
      ...inner,
      async transaction(work) {
        const value = await inner.transaction(work)
        if (isInside) life.kill()
        return value
      },
    },
    on: {
      Picked: (event, context) => {
        isInside = true
        return listing.Picked?.(event, context)
      },
    },
  })
  await world.publish(sku('a').Picked({ n: 1 }))
  await world.clock.until(() => isInside)
  expect(await world.peek('stock')).toHaveLength(1)
  const second = await world.start({ on: listing })
  await world.clock.until(() => second.consumer.counts.duplicates === 1)
  await world.clock.until(() => second.consumer.counts.published === 1)
  expect(world.read('a')).toEqual([1])
  await second.close()
})

test('[C6] a handler that kills the process is parked after K restarts, and its neighbours are not blamed', async () => {
  const world = createWorld()
  const attempts: number[] = []
  let lives = 0
  let life = await world.start({ on: {} })
  const on: On = {
    Picked: async (event, context) => {
      if (event.data.n !== 13) return listing.Picked?.(event, context)
      attempts.push(context.attempt)
      life.kill()
      return new Promise(() => {})
    },
  }
  life.kill()
  for (const n of [1, 13, 2]) await world.publish(sku('bad').Picked({ n }))
  for (const n of [1, 2, 3]) await world.publish(sku('good').Picked({ n }))
  const isOver = () => Array.isArray(world.read('good')) && life.consumer.counts.parked === 1
  while (!isOver() && lives < 10) {
    lives += 1
    life = await world.start({ on, attemptsMax: 3 })
    const dying = attempts.length + 1
    await world.clock.until(() => attempts.length === dying || isOver())
  }
  await world.clock.until(() => (world.read('good') as number[] | undefined)?.length === 3)
  expect(attempts).toEqual([1, 2, 3])
  expect(world.read('good')).toEqual([1, 2, 3])
  expect(world.read('bad')).toEqual([1])
  await world.drained('stock')
  const [held] = await life.close().then(() => listHeld(world.reopen()))
  expect(held).toMatchObject({
    key: 'shop-7/bad',
    state: 'parked',
    code: 'HANDLER_CRASHED',
    events: 2,
  })
})

test('[C5] results survive a broker that takes nothing, and the death of who made them', async () => {
  const world = createWorld()
  const first = await world.start({
    on: {
      Picked: (event, context) => {
        world.namespace.faults.refuseSends('inventory', 'com.microsoft:server-busy', 3)
        return listing.Picked?.(event, context)
      },
    },
  })
  await world.publish(sku('a').Picked({ n: 1 }))
  await world.clock.until(() => first.consumer.counts.processed === 1)
  first.kill()
  const results = async () => (await world.peek('results')).filter(({ type }) => type === 'Counted')
  expect(await results()).toEqual([])
  const second = await world.start({ on: listing })
  await world.clock.until(() => second.consumer.counts.published === 1)
  expect(await results()).toMatchObject([{ type: 'Counted', text: '{"n":1}' }])
  await second.close()
})

test('[C5] a topic that cannot be published to holds up no other', async () => {
  const world = createWorld()
  const { consumer, close } = await world.start({
    on: {
      Picked: (event, { emit }) => {
        const draft = { ...audit.stream('x').Noted({ n: 1 }), topic: 'missing' }
        emit(draft)
        emit(sku(event.stream).Counted({ n: event.data.n }))
      },
    },
  })
  await world.publish(sku('a').Picked({ n: 1 }))
  await world.clock.until(() => consumer.counts.published === 1)
  await world.clock.until(() => consumer.backlog.outgoing === 1)
  expect(consumer.backlog.refused).toBe(0)
  await close()
})

test('[C11] a message that is no event is dead-lettered with its reason, and the rest flows', async () => {
  const world = createWorld()
  const { consumer, close } = await world.start({ on: listing })
  await world.publish(sku('a').Picked({ n: 1 }), { body: Buffer.from('not JSON') })
  await world.publish(sku('a').Picked({ n: 2 }))
  await world.drained('stock')
  await world.clock.until(() => world.read('a') !== undefined)
  expect(world.read('a')).toEqual([2])
  expect(consumer.counts.malformed).toBe(1)
  expect(await world.peek('stock', true)).toMatchObject([
    { properties: { DeadLetterReason: 'MESSAGE_MALFORMED' } },
  ])
  await close()
})

test('[C12] what a consumer does not know is skipped, parked or stops it, as it was told', async () => {
  const unknown = { ...sku('a').Picked({ n: 1 }), type: 'Borrowed' }
  const newer = { ...sku('b').Picked({ n: 1 }), version: 2 }
  const run = async (onUnknown: WorldOptions['onUnknown'], until: (seen: string) => boolean) => {
    const world = createWorld()
    const { consumer, close } = await world.start({ on: listing, ...(onUnknown && { onUnknown }) })
    await world.publish(unknown)
    await world.publish(newer)
    const seen = () => JSON.stringify([consumer.state.state, consumer.counts])
    await world.clock.until(() => until(seen()))
    const held = await world.clock.until(() => true).then(() => consumer.counts)
    const left = world.namespace.mailbox('inventory/Subscriptions/stock')?.size
    await close()
    return { left, ...held, streams: (await listHeld(world.reopen())).map(({ key }) => key) }
  }
  const parked = (count: number) => (seen: string) => seen.includes(`"parked":${count}`)
  expect(await run(undefined, parked(1))).toMatchObject({ skipped: 1, streams: ['shop-7/b'] })
  expect(await run('skip', (seen) => seen.includes('"skipped":2'))).toMatchObject({ streams: [] })
  expect(await run('park', parked(2))).toMatchObject({ streams: ['shop-7/a', 'shop-7/b'] })
  const halted = await run('halt', (seen) => seen.includes('halted'))
  expect(halted).toMatchObject({ left: 2, processed: 0 })
})

test('[C8] redrive keeps the order of the stream, and doing it twice is doing it once', async () => {
  const world = createWorld()
  let isMended = false
  const options: WorldOptions = {
    attemptsMax: 2,
    on: {
      Picked: (event, context) => {
        if (event.data.n === 2 && !isMended) throw new Error('broken')
        return listing.Picked?.(event, context)
      },
    },
  }
  const { consumer, close } = await world.start(options)
  for (const n of range(4)) await world.publish(sku('a').Picked({ n }))
  await world.clock.until(() => consumer.counts.parked === 1)
  await world.drained('stock')
  expect(world.read('a')).toEqual([1])
  await close()

  const processed = world.reopen()
  const [held] = await listHeld(processed, { state: 'parked' })
  expect(held).toMatchObject({ events: 3, attempts: 2, code: 'HANDLER_FAILED' })
  expect(held?.lastAt).toBeGreaterThan(held?.firstAt ?? 0)
  const act = { by: 'ann', note: 'mended', now: world.clock.now() }
  isMended = true
  expect(await redrive(processed, 'stock', 'shop-7/a', act)).toBe(true)
  expect(await redrive(processed, 'stock', 'shop-7/a', act)).toBe(false)
  expect(await listAudits(processed, 'stock')).toMatchObject([{ action: 'redrive', by: 'ann' }])

  const again = await world.start(options)
  await world.publish(sku('a').Picked({ n: 5 }))
  await world.clock.until(() => (world.read('a') as number[]).length === 5)
  expect(world.read('a')).toEqual(range(5))
  await again.close()
  expect(await listHeld(world.reopen())).toEqual([])
})

test('[C8] a discarded event is gone for good, and its stream goes on', async () => {
  const world = createWorld()
  const options: WorldOptions = {
    attemptsMax: 1,
    on: {
      Picked: (event, context) => {
        if (event.data.n === 1) throw new Error('broken')
        return listing.Picked?.(event, context)
      },
    },
  }
  const { close } = await world.start(options)
  const id = await world.publish(sku('a').Picked({ n: 1 }))
  await world.publish(sku('a').Picked({ n: 2 }))
  await world.drained('stock')
  await close()
  const processed = world.reopen()
  const act = { by: 'ann', note: 'nonsense', now: world.clock.now() }
  expect((await listAside(processed, 'stock', 'shop-7/a')).map((event) => event.id)).toContain(id)
  expect(await discard(processed, 'stock', id, act)).toBe(true)
  expect(await discard(processed, 'stock', id, act)).toBe(false)
  const again = await world.start(options)
  await world.clock.until(() => world.read('a') !== undefined)
  expect(world.read('a')).toEqual([2])
  // The broker hands the discarded one out again: it is known.
  await world.clock.run(
    world.broker.publish('inventory', [toMessage(sku('a').Picked({ n: 1 }), 1)]),
  )
  await world.clock.until(() => again.consumer.counts.duplicates === 1)
  expect(world.read('a')).toEqual([2])
  await again.close()
})

test('where order does not matter a failure holds its event alone', async () => {
  const world = createWorld()
  const { close } = await world.start({
    subscription: 'loose',
    ordered: false,
    attemptsMax: 1,
    on: {
      Picked: (event, context) => {
        if (event.data.n === 1) throw new Error('broken')
        return listing.Picked?.(event, context)
      },
    },
  })
  for (const n of range(3)) await world.publish(sku('a').Picked({ n }))
  await world.drained('loose')
  expect(world.read('a')).toEqual([2, 3])
  await close()
  expect(await listHeld(world.reopen())).toMatchObject([{ events: 1 }])
})

test('services with a subscription of their own each get every event', async () => {
  const world = createWorld()
  const seen: string[] = []
  const note = (who: string): On => ({
    Picked: (event) => void seen.push(`${who} ${event.data.n}`),
  })
  const stock = await world.start({ on: note('stock') })
  await world.publish(sku('a').Picked({ n: 1 }))
  await world.clock.until(() => seen.length === 1)
  await stock.close()
  const billing = await world.start({ name: 'billing', on: note('billing') })
  await world.clock.until(() => seen.length === 2)
  expect(seen).toEqual(['stock 1', 'billing 1'])
  await billing.close()
})

test('[C13] while the database takes nothing no message is held, and all goes on afterwards', async () => {
  const world = createWorld()
  const trouble = { is: false }
  const inner = world.reopen()
  const processed: typeof inner = {
    ...inner,
    transaction: async (work) => {
      if (trouble.is) throw new TidemarkError('PROCESSED_UNAVAILABLE', { reason: 'a test' })
      return inner.transaction(work)
    },
  }
  const { consumer, close } = await world.start({ on: listing, processed })
  await world.publish(sku('a').Picked({ n: 1 }))
  await world.drained('stock')
  trouble.is = true
  await world.publish(sku('a').Picked({ n: 2 }))
  await world.clock.until(() => consumer.state.state === 'stalled')
  expect(consumer.state.code).toBe('PROCESSED_UNAVAILABLE')
  await world.clock.pass(3_600_000)
  const mailbox = world.namespace.mailbox('inventory/Subscriptions/stock')
  const left = mailbox
    ?.peek(0, 9)
    .filter(({ envelope }) => envelope.properties?.['type'] === 'Picked')
  expect(left).toHaveLength(1)
  expect(left?.[0]?.failures).toBeLessThanOrEqual(2)
  trouble.is = false
  await world.clock.until(() => (world.read('a') as number[]).length === 2)
  expect(consumer.state.state).toBe('running')
  await close()
})

test('[C13] a topic without its subscription is said to be missing, and is waited for', async () => {
  const world = createWorld()
  const { consumer, close } = await world.start({ on: listing, subscription: 'nobody-made-it' })
  await world.clock.until(() => consumer.state.state === 'stalled')
  expect(consumer.state.code).toBe('ENTITY_MISSING')
  await close()
})

test('[C13] a key that is longer than any broker takes is dead-lettered, and costs no other event anything', async () => {
  const world = createWorld()
  const { consumer, close } = await world.start({
    on: listing,
    subscription: 'loose',
    ordered: false,
  })
  await world.publish(sku('a').Picked({ n: 1 }))
  const draft = sku('x'.repeat(127)).Picked({ n: 13 })
  const long = toMessage(draft, 1, { key: 'b' })
  const attributes = { ...long.attributes, scope: 's'.repeat(50) }
  await world.publish(draft, { key: 'b', attributes })
  await world.publish(sku('c').Picked({ n: 2 }))
  await world.clock.until(() => world.read('c') !== undefined)
  expect(consumer.counts).toMatchObject({ processed: 2, malformed: 1 })
  expect(await world.peek('loose', true)).toMatchObject([
    { properties: { DeadLetterReason: 'MESSAGE_MALFORMED' } },
  ])
  await close()
})

test('[C8] an event whose author cannot be told that it failed is parked all the same, and said so', async () => {
  const world = createWorld()
  const { broker } = world
  const narrow: Broker = {
    limits: { ...broker.limits, keyLengthMax: 10 },
    publish: (topic, messages) => broker.publish(topic, messages),
    receiver: (options) => broker.receiver(options),
    close: () => broker.close(),
  }
  const said: unknown[] = []
  const silent = () => {}
  const logger = { info: silent, warn: silent, error: (fields: object) => void said.push(fields) }
  const on: On = { Picked: () => refuse('UNLUCKY', 'no') }
  const { consumer, close } = await world.start({ on, broker: narrow, logger })
  await world.publish(sku('long-name').Picked({ n: 13 }))
  await world.clock.until(() => consumer.counts.parked === 1)
  expect(said).toContainEqual(expect.objectContaining({ event: 'consumer-not-told' }))
  expect(consumer.state.state).toBe('running')
  await close()
})

test('[C18] what the database refuses to commit is parked, and its neighbours and the consumer go on', async () => {
  const world = createWorld()
  const inner = world.reopen()
  let isWrong = false
  const processed: typeof inner = {
    ...inner,
    transaction: (work) =>
      inner.transaction(async (unit) => {
        isWrong = false
        const result = await work(unit)
        if (isWrong) throw new TidemarkError('HANDLER_FAILED', { reason: 'no such customer' })
        return result
      }),
  }
  const on: On = {
    Picked: (event, context) => {
      if (event.data.n === 13) isWrong = true
      return listing.Picked?.(event, context)
    },
  }
  const numbers = [...range(9), 13, ...range(9)]
  for (const [at, n] of numbers.entries()) await world.publish(sku(`s-${at}`).Picked({ n }))
  const { consumer, close } = await world.start({ on, processed, attemptsMax: 3 })
  await world.clock.until(() => consumer.counts.parked === 1)
  await world.clock.until(() => consumer.counts.processed === numbers.length - 1)
  expect(consumer.state).toEqual({ state: 'running' })
  expect(consumer.counts).toMatchObject({ failed: 3, parked: 1 })
  await close()
  expect(await listHeld(world.reopen())).toMatchObject([
    { key: 'shop-7/s-9', state: 'parked', code: 'HANDLER_FAILED', attempts: 3, events: 1 },
  ])
  const [told] = (await world.peek('results')).filter(({ text }) => text.includes('HANDLER_FAILED'))
  expect(told?.text).not.toContain('customer')
})

test('[C14] what waits for another try is bounded: then nothing new is received', async () => {
  const world = createWorld()
  let isDown = true
  const { consumer, close } = await world.start({
    retryingEventsMax: 10,
    retry: { firstMs: 600_000, maxMs: 600_000 },
    on: {
      Picked: (event, context) => {
        if (isDown) throw new Error('down')
        return listing.Picked?.(event, context)
      },
    },
  })
  await world.clock.pass(10)
  for (const n of range(3)) await world.publish(sku(`first-${n}`).Picked({ n }))
  await world.clock.pass(2_000)
  for (const n of range(30)) await world.publish(sku(`a-${n}`).Picked({ n }))
  await world.clock.pass(2_000)
  for (const n of range(30)) await world.publish(sku(`b-${n}`).Picked({ n }))
  await world.clock.pass(10_000)
  expect(world.namespace.mailbox('inventory/Subscriptions/stock')?.size).toBeGreaterThan(20)
  isDown = false
  await world.drained('stock')
  await world.clock.until(() => consumer.counts.processed === 63)
  await close()
})

test('closing ends the batch at hand, settles it, and leaves the rest to others', async () => {
  const world = createWorld()
  const gate: { open?: () => void } = {}
  const { close } = await world.start({
    on: {
      Picked: async (event, context) => {
        await new Promise<void>((resolve) => (gate.open = resolve))
        return listing.Picked?.(event, context)
      },
    },
  })
  for (const n of range(3)) await world.publish(sku('a').Picked({ n }))
  await world.clock.until(() => gate.open !== undefined)
  const closed = close()
  gate.open?.()
  await closed
  expect(world.read('a')).toEqual([1])
  const left = (await world.peek('stock')).filter(({ type }) => type === 'Picked')
  expect(left.map(({ text }) => JSON.parse(text).n)).toEqual([2, 3])
})
