import { expect, test } from 'vitest'
import { TestClock } from './clock.ts'
import { type Delivery, openMessage } from './delivery.ts'
import { createLane } from './lane.ts'
import { inventory, toMessage } from './testing/world.ts'

const picked = (n: number): Delivery => {
  const message = toMessage(inventory.stream('a').Picked({ n }), n)
  const rest = { properties: {}, sequence: '1', enqueuedAt: 0, deliveries: 1, lockedUntil: 0 }
  return openMessage(inventory, true, { ...message, ...rest })
}

/** A lane whose batches take `msEach` for each event, and how large they were. */
function createWatched(msEach: number) {
  const clock = new TestClock()
  const sizes: number[] = []
  const troubles: unknown[] = []
  const lane = createLane({
    system: clock,
    batchEventsMax: 8,
    batchMsMax: 100,
    async handle(batch) {
      sizes.push(batch.length)
      if (batch.some(({ event }) => (event.data as { n: number }).n === 666))
        throw new Error('down')
      await new Promise<void>((resolve) => clock.after(msEach * batch.length, resolve))
    },
    onRoom: () => {},
    onTrouble: (error) => troubles.push(error),
  })
  return { clock, lane, sizes, troubles }
}

test('[C14] batches begin with one event and double while they are quick', async () => {
  const { clock, lane, sizes } = createWatched(1)
  for (let n = 0; n < 31; n += 1) lane.add(picked(n))
  await clock.pass(1_000)
  expect(sizes).toEqual([1, 2, 4, 8, 8, 8])
  await clock.run(lane.close())
})

test('[C14] batches that take too long are halved', async () => {
  const { clock, lane, sizes } = createWatched(40)
  for (let n = 0; n < 12; n += 1) lane.add(picked(n))
  await clock.pass(10_000)
  expect(sizes.slice(0, 5)).toEqual([1, 2, 4, 2, 3])
  await clock.run(lane.close())
})

test('the same event twice is one delivery with two messages', async () => {
  const { clock, lane, sizes } = createWatched(1)
  const [one, again] = [picked(1), picked(1)]
  lane.add(one)
  lane.add(again)
  await clock.pass(100)
  expect(sizes).toEqual([1])
  expect(one.received).toHaveLength(2)
  await clock.run(lane.close())
})

test('after trouble a lane does nothing more', async () => {
  const { clock, lane, sizes, troubles } = createWatched(1)
  lane.add(picked(666))
  lane.add(picked(1))
  await clock.pass(100)
  expect(sizes).toEqual([1])
  expect(troubles).toMatchObject([{ message: 'down' }])
  expect(lane.room()).toBe(0)
  await lane.close()
})
