import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { idsAndHashes, readDevice, readLog } from './evidence.ts'
import { bookOn, fillIn, goOffline, goOnline, onHand, openItem, outboxSays } from './hands.ts'
import { reaches, type Rig, startSmallRig } from './rig.ts'

let rig: Rig
let ada: Page
let ben: Page

beforeAll(async () => {
  rig = await startSmallRig({ 'sku-1': 5, 'sku-2': 1 })
  ;[ada, ben] = await Promise.all([rig.open('a'), rig.open('b')])
})
afterAll(() => rig?.close())

const picksOf = (sku: string) =>
  readLog(rig.dataFolder).filter(({ stream, type }) => stream === sku && type === 'StockPicked')
const verdict = (page: Page, id: string) =>
  page.evaluate((asked) => window.tidemark.verdict(asked as never), id)

test('[X1, X3] a pick is decided offline and survives a reload; where the stream has moved on it is decided again, and nobody is asked', async () => {
  for (const page of [ada, ben]) await goOffline(page)
  await bookOn(ada, 'sku-1', 'Pick', 3)
  // Denied at once, by what waits on this device, in the words of the domain. Nothing is appended.
  await fillIn(ada, 'Pick', 3)
  await ada.getByText('Only 2 on hand.').waitFor()
  await outboxSays(ada, '1 waiting')
  const [first = ''] = (await readDevice(ada)).outbox
  await ada.reload()
  await outboxSays(ada, '1 waiting')
  expect([await onHand(ada, 'sku-1'), (await readDevice(ada)).outbox]).toEqual([2, [first]])

  await bookOn(ben, 'sku-1', 'Pick', 2)
  await goOnline(ben)
  await goOnline(ada)
  const picks = picksOf('sku-1')
  expect(picks.map(({ author }) => author)).toEqual(['ben', 'ada'])
  const second = picks[1]?.id
  expect(second).not.toBe(first)
  expect(await verdict(ada, first)).toEqual({ type: 'superseded', by: [second] })
  expect(await verdict(ada, second ?? '')).toMatchObject({ type: 'accepted' })
  for (const page of [ada, ben]) {
    await reaches(page, readLog(rig.dataFolder).length)
    expect(await onHand(page, 'sku-1')).toBe(0)
    expect(idsAndHashes((await readDevice(page)).entries)).toEqual(
      idsAndHashes(readLog(rig.dataFolder)),
    )
    expect(await page.evaluate(() => window.tidemark.refused.getSnapshot())).toEqual([])
  }
})

test('[X4] of two who pick the last one offline the second is told so in the domain’s own words, with both sides, over a reload', async () => {
  for (const page of [ada, ben]) await goOffline(page)
  await bookOn(ada, 'sku-2', 'Pick', 1)
  await bookOn(ben, 'sku-2', 'Pick', 1)
  const [lost = ''] = (await readDevice(ben)).outbox
  await goOnline(ada)
  await goOnline(ben)

  expect(picksOf('sku-2').map(({ author }) => author)).toEqual(['ada'])
  expect(await verdict(ben, lost)).toMatchObject({
    type: 'refused',
    refusal: { code: 'OUT_OF_STOCK', details: { onHand: 0 } },
  })
  await ben.reload()
  await ben.getByRole('link', { name: '1 refused' }).click()
  await ben.getByText('Somebody was quicker: only 0 on hand.').waitFor()
  const [refused, ...others] = await ben.evaluate(() => window.tidemark.refused.getSnapshot())
  expect(others).toEqual([])
  expect(refused).toMatchObject({
    id: lost,
    decision: { model: 'item', command: 'pick', input: { quantity: 1, reason: 'sale' } },
    sides: { expectedRevision: 2, revision: 3, state: { onHand: 0 } },
  })
  for (const page of [ada, ben]) expect(await onHand(page, 'sku-2')).toBe(0)
  // And at once, where the device knows already.
  await openItem(ben, 'sku-2')
  await fillIn(ben, 'Pick', 1)
  await ben.getByText('Only 0 on hand.').waitFor()
  await outboxSays(ben, 'Nothing waiting')
})
