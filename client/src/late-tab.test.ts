/** A tab that has slept while another one led: it hears late what became of what it had written. */
import { expect, test } from 'vitest'
import { createDisk } from './store/memory.ts'
import { createTestSystem, createTestTabs } from './testing.ts'
import { TestGateway } from './testing/gateway.ts'
import {
  foreignLine,
  inventoryLog,
  openBench,
  picked,
  received,
  talk,
} from './testing/inventory.ts'

const sku = 'sku-1'

function openSleeper() {
  const [disk, system] = [createDisk(), createTestSystem()]
  const { locks, broadcast } = createTestTabs()
  const leader = openBench({ disk, system, locks, broadcast: broadcast() })
  const voice = broadcast()
  const sleeper = openBench({ disk, system, locks, broadcast: voice })
  const gateway = new TestGateway(inventoryLog())
  gateway.log.append([foreignLine(1, 5)])
  return { leader, sleeper, voice, gateway, system }
}

test('[X9] a tab that slept through a new decision and its acceptance is told what became of its command', async () => {
  const { leader, sleeper, voice, gateway, system } = openSleeper()
  await talk(gateway, leader)
  await sleeper.client.verdict(gateway.log.idAt(1))
  leader.connection().drop()
  await system.settle()
  voice.isFrozen = true
  const pick = await sleeper.client.model.item(sku).pick({ quantity: 2 })
  if (!pick.ok) throw new Error('denied')
  gateway.log.append([foreignLine(2, 1)])
  await system.advance(1_000)
  await talk(gateway, leader)
  expect(await leader.client.verdict(pick.ids[0]!)).toMatchObject({ type: 'superseded' })
  voice.isFrozen = false
  expect(await sleeper.client.verdict(pick.ids[0]!)).toMatchObject({ type: 'superseded' })
  expect(await pick.settled).toMatchObject({ type: 'accepted', revision: 3 })
  for (const tab of [leader, sleeper]) await tab.client.close()
})

test('[S5] a tab that slept while another dealt with its refusal does not show the event for ever', async () => {
  const { leader, sleeper, voice, gateway, system } = openSleeper()
  await talk(gateway, leader)
  await sleeper.client.verdict(gateway.log.idAt(1))
  leader.connection().drop()
  await system.settle()
  voice.isFrozen = true
  const appended = await sleeper.client.append(picked(1))
  const resting = await sleeper.client.append(received(1), { after: appended.ids[0]! })
  gateway.forbidden.add(appended.ids[0]!)
  await system.advance(1_000)
  await talk(gateway, leader)
  expect(leader.client.refused.getSnapshot()).toHaveLength(2)
  await leader.client.refused.discard(...appended.ids, ...resting.ids)
  voice.isFrozen = false
  await sleeper.client.verdict(gateway.log.idAt(1))
  expect(sleeper.client.model.item(sku).get()).toEqual({ onHand: 5 })
  expect(sleeper.client.status.getSnapshot()).toMatchObject({ pending: 0, refused: 0 })
  expect(await appended.settled).toMatchObject({ type: 'refused' })
  for (const tab of [leader, sleeper]) await tab.client.close()
})
