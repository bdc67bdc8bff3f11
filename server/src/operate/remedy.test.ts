import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Remedy } from '../log/log.ts'
import { openWorld, type OperateWorld, quantitiesOf, shop } from './testing/world.ts'

let world: OperateWorld
beforeEach(() => {
  world = openWorld()
})
afterEach(() => world.close())

const parked = async () => (await world.log.relayed(shop)).parked
const decide = (action: Remedy['action'], fromRevision = 1) =>
  world.log.remedy(
    shop,
    { stream: 'sku-1', fromRevision, action },
    { at: 1, by: 'ann', action, subject: 'sku-1', note: '' },
  )

/** Parks sku-1 at its first event, with two more behind it, while another stream goes on. */
async function parkFirst(): Promise<void> {
  const note = 'x'.repeat(300_000)
  await world.append('sku-1', { quantity: 1, note })
  await world.append('sku-2', { quantity: 10 })
  await world.append('sku-1', { quantity: 2 })
  await world.append('sku-1', { quantity: 3 })
  world.relay()
  await vi.waitFor(async () => expect((await world.log.relayed(shop)).cursor).toBe(4))
}

test('[O3] a redrive that fails parks the stream again, where it stopped, and the attempts add up', async () => {
  await parkFirst()
  expect(await decide('redrive')).toBe(true)
  await vi.waitFor(async () =>
    expect(await parked()).toMatchObject([{ fromRevision: 1, attempts: 2 }]),
  )
  expect((await parked())[0]).not.toHaveProperty('remedy')
})

test('[O3] discarding a parked event publishes what stood behind it, in its order, and never the event itself', async () => {
  await parkFirst()
  expect(quantitiesOf(await world.drain('purchasing', 1))).toEqual([10])
  expect(await decide('discard')).toBe(true)
  expect(quantitiesOf(await world.drain('purchasing', 2))).toEqual([2, 3])
  await vi.waitFor(async () => expect(await parked()).toEqual([]))
  await world.append('sku-1', { quantity: 4 })
  expect(quantitiesOf(await world.drain('purchasing', 1))).toEqual([4])
})

test('[O3] a redrive that was asked for while no relay ran is done by the next one', async () => {
  world.namespace.faults.refuseSends('inventory', 'amqp:not-found', 1_000)
  await world.append('sku-1', { quantity: 1 })
  const relay = world.relay()
  await vi.waitFor(async () => expect(await parked()).toHaveLength(1), 5_000)
  await relay.close()
  world.namespace.faults.clear()
  await world.append('sku-1', { quantity: 2 })
  expect(await decide('redrive')).toBe(true)
  world.relay()
  expect(quantitiesOf(await world.drain('purchasing', 2))).toEqual([1, 2])
  await vi.waitFor(async () => expect(await parked()).toEqual([]))
})
