/** What a person does on a device, and sees there. */
import type { Page } from 'playwright-core'
import { expect } from 'vitest'
import { synced } from './rig.ts'

/** Cuts the network of a device, and lets it come back once everything has settled. */
export async function goOffline(page: Page): Promise<void> {
  await page.getByRole('switch', { name: 'Network' }).click()
  await page.locator('.bar[data-link="paused"]').waitFor()
}

/** Lets the network of a device come back, and waits until it has everything. */
export async function goOnline(page: Page): Promise<void> {
  await page.getByRole('switch', { name: 'Network' }).click()
  await synced(page)
}

/** Opens the page of an item. */
export async function openItem(page: Page, sku: string): Promise<void> {
  await page.evaluate((place) => void (location.hash = place), `item/${sku}`)
  await page.getByRole('heading', { name: `Item ${sku}` }).waitFor()
}

/** Fills in the form of the item that is open, and presses its button. */
export async function fillIn(
  page: Page,
  kind: 'Pick' | 'Receive' | 'Count',
  quantity: number,
): Promise<void> {
  await page.getByRole('radio', { name: kind }).check({ force: true })
  await page.getByRole('spinbutton', { name: 'Quantity' }).fill(String(quantity))
  await page.getByRole('button', { name: `${kind} ${quantity}`, exact: true }).click()
}

/** Books on an item, and waits until the device has stored it. */
export async function bookOn(
  page: Page,
  sku: string,
  kind: 'Pick' | 'Receive' | 'Count',
  quantity: number,
): Promise<void> {
  await openItem(page, sku)
  await fillIn(page, kind, quantity)
  await page.getByText('Stored on this device.').waitFor()
}

/** What the bar says of the outbox. */
export const outboxSays = (page: Page, what: string) =>
  expect.poll(() => page.getByTestId('outbox').textContent()).toBe(what)

/** What is on the shelf, as the app shows it. */
export const onHand = (page: Page, sku: string): Promise<number | undefined> =>
  page.evaluate((key) => window.tidemark.model.item(key).get()?.onHand, sku)
