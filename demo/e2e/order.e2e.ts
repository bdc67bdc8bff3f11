import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  doubles,
  idsAndHashes,
  readDevice,
  readLog,
  readOutside,
  readPurchase,
  type Trace,
} from './evidence.ts'
import { eventually, type Rig, reaches, startRig, synced } from './rig.ts'

let folder: string
let rig: Rig
let ada: Page
let ben: Page

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidemark-order-'))
  const stockFile = join(folder, 'items.csv')
  await writeFile(stockFile, 'sku,name,location,reorderLevel,onHand\nsku-1,Cleat,A1,5,40')
  rig = await startRig(stockFile)
  ;[ada, ben] = await Promise.all([rig.open('a'), rig.open('b')])
  for (const page of [ada, ben]) await page.getByRole('button', { name: 'sku-1' }).click()
})
afterAll(async () => {
  await rig?.close()
  await rm(folder, { recursive: true, force: true })
})

const network = (page: Page) => page.getByRole('switch', { name: 'Network' })

/** The card of an order, on a device. */
const card = (page: Page, what: string) => page.locator('.order').filter({ hasText: what })
const shows = (page: Page, what: string, mark: string) =>
  card(page, what).locator('.order-mark').getByText(mark).waitFor()

/** Orders with the form, and waits until the order shows. */
async function placeOrder(page: Page, supplier: string, quantity: number): Promise<void> {
  await page.getByRole('button', { name: 'Order from supplier' }).click()
  await page.getByRole('combobox', { name: 'Supplier' }).selectOption({ label: `from ${supplier}` })
  await page.getByRole('spinbutton', { name: 'How many to order' }).fill(String(quantity))
  await page.getByRole('button', { name: `Order ${quantity}` }).click()
  await card(page, `${quantity} from ${supplier}`).waitFor()
}

const streamOf = async (page: Page, what: string): Promise<string> =>
  (await card(page, what).getAttribute('data-order')) ?? ''

/** What the gateway's log has of an order. */
const logOf = (order: string): readonly Trace[] =>
  readLog(rig.dataFolder, 'orders').filter(({ stream }) => stream === order)
/** The same, once it has so many entries. */
const toldOf = (order: string, count: number): Promise<readonly Trace[]> =>
  eventually(() => {
    const traces = logOf(order)
    return traces.length >= count ? traces : undefined
  }, `${count} events of the order`)
const types = (traces: readonly Trace[]): readonly string[] => traces.map(({ type }) => type)

/** Both browsers have what the gateway has, once. */
async function expectSame(): Promise<void> {
  for (const topic of ['orders', 'inventory']) {
    const log = readLog(rig.dataFolder, topic)
    expect(doubles(log)).toEqual([])
    for (const page of [ada, ben]) {
      await reaches(page, log.length, undefined, topic)
      const { entries, outbox } = await readDevice(page, topic)
      expect(idsAndHashes(entries)).toEqual(idsAndHashes(log))
      expect(outbox).toEqual([])
    }
  }
}

const failing = '30 from Closed Yard'
const working = '20 from North Quay'

test('[C15] an order that fails downstream is undone in reverse, and comes back to the browser that placed it after being offline and a kill -9', async () => {
  await placeOrder(ada, 'Closed Yard', 30)
  const order = await streamOf(ada, failing)
  await eventually(() => logOf(order)[0], 'the order is in the log')
  await network(ada).click()
  await ada.locator('.bar[data-link="paused"]').waitFor()

  // In the middle: it has paid, and the supplier is thinking.
  await eventually(
    () => readOutside(rig.dataFolder, order).includes('take payment') || undefined,
    'it has paid',
  )
  await rig.world.purchasing().stop('SIGKILL')
  expect(readPurchase(rig.dataFolder, order)).not.toContain('undo pay')

  await shows(ben, failing, 'Taken back')
  expect(types((await readDevice(ada, 'orders')).entries)).not.toContain('OrderFailed')
  await network(ada).click()
  await shows(ada, failing, 'Taken back')
  await card(ada, failing).getByText('The supplier is closed until spring.').waitFor()
  await synced(ada)

  // Each act once, and the compensations in reverse: in the service's ledger, and in the bank's books.
  expect(readPurchase(rig.dataFolder, order)).toEqual([
    'reserve',
    'pay',
    'undo pay',
    'undo reserve',
  ])
  expect(readOutside(rig.dataFolder, order)).toEqual(['take payment', 'return payment'])
  const told = await toldOf(order, 6)
  expect(types(told)).toEqual([
    'OrderPlaced',
    'BudgetReserved',
    'SupplierPaid',
    'PaymentReturned',
    'BudgetReleased',
    'OrderFailed',
  ])
  expect(told[0]?.author).toBe('ada')
  for (const { causationId, author } of told.slice(1)) {
    expect([causationId, author]).toEqual([told[0]?.id, 'order-desk'])
  }
  await expectSame()
})

test('[C15] an order placed offline is carried out once it is sent, and both browsers show that it is confirmed', async () => {
  await network(ada).click()
  await placeOrder(ada, 'North Quay', 20)
  await shows(ada, working, 'Waiting on this device')
  const order = await streamOf(ada, working)
  expect(logOf(order)).toEqual([])
  await ada.reload()
  await shows(ada, working, 'Waiting on this device')
  await network(ada).click()
  await eventually(() => logOf(order)[0], 'the order is in the log')
  await network(ada).click()

  await shows(ben, working, 'Confirmed')
  await network(ada).click()
  await shows(ada, working, 'Confirmed')
  await synced(ada)
  expect(readPurchase(rig.dataFolder, order)).toEqual(['reserve', 'pay', 'place'])
  expect(readOutside(rig.dataFolder, order)).toEqual(['take payment', 'place order'])
  const told = logOf(order)
  expect(types(told)).toEqual(['OrderPlaced', 'BudgetReserved', 'SupplierPaid', 'OrderConfirmed'])
  for (const { causationId } of told.slice(1)) expect(causationId).toBe(told[0]?.id)

  // The item hears of it too, in another topic, with the same cause.
  const answer = await eventually(
    () => readLog(rig.dataFolder).find(({ type }) => type === 'StockOrdered'),
    'the item has heard of the order',
  )
  expect(answer.causationId).toBe(told[0]?.id)
  for (const page of [ada, ben]) await page.getByText(`In answer to “Order ${working}”`).waitFor()
  await expectSame()
})

test('[C8] an order that the service fails at is set aside after its attempts, and its author hears of it', async () => {
  await placeOrder(ada, 'Ghost Yard', 5)
  for (const page of [ada, ben]) await shows(page, '5 from Ghost Yard', 'Stuck')
  const order = await streamOf(ada, '5 from Ghost Yard')
  const [placed, said] = logOf(order)
  expect(said).toMatchObject({ type: 'tidemark.DeadLettered', causationId: placed?.id })
  expect(readPurchase(rig.dataFolder, order)).toEqual([])
  await expectSame()
  // It is on the list of whoever has to deal with it, and of nobody else.
  expect((await readDevice(ada)).refused).toEqual([placed?.id])
  expect((await readDevice(ben)).refused).toEqual([])

  // Others are not held up by it.
  await placeOrder(ben, 'North Quay', 3)
  await shows(ada, '3 from North Quay', 'Confirmed')
})

test('nobody but a service can say that an order is confirmed', async () => {
  const order = await streamOf(ada, failing)
  const { ids } = await ada.evaluate(
    (stream) =>
      window.tidemark.append({
        topic: 'orders',
        stream,
        type: 'OrderConfirmed',
        version: 1,
        data: { reference: 'forged' },
      }),
    order,
  )
  await eventually(
    async () => (await readDevice(ada)).refused.includes(ids[0] ?? '') || undefined,
    'it is refused',
  )
  expect(types(logOf(order))).not.toContain('OrderConfirmed')
})
