/** What a person does with an example, and what they see. The three pages read the same. */
import type { FrameLocator, Locator, Page } from 'playwright-core'

/** The examples, by their folders. */
export const frameworks = ['react', 'vue', 'svelte'] as const

/** A page, or a frame of one. */
export type Shown = Page | FrameLocator

/** The rows of a list. */
export const rows = (shown: Shown, list: 'Stock' | 'Refused'): Locator =>
  shown.getByRole('list', { name: list }).getByRole('listitem')

/** Waits until a list has one row that reads like this: `tea 2`. */
export const reads = (shown: Shown, list: 'Stock' | 'Refused', row: string): Promise<void> =>
  rows(shown, list)
    .filter({ hasText: new RegExp(`${row}(?!\\d)`) })
    .waitFor()

/** Waits until the page says that it is online or offline, and how much waits: `online, 0 pending`. */
export const says = (shown: Shown, status: string): Promise<void> =>
  shown.getByRole('status').filter({ hasText: status }).waitFor()

/** Receives one of an item that need not be there yet. */
export async function receive(shown: Shown, sku: string): Promise<void> {
  await shown.getByPlaceholder('An item').fill(sku)
  await shown.getByRole('button', { name: 'Receive' }).click()
}

/** Receives or picks one of an item. */
export const press = (shown: Shown, sku: string, name: '+1' | '−1'): Promise<void> =>
  rows(shown, 'Stock').filter({ hasText: sku }).getByRole('button', { name }).click()

/** Takes the network from a page's browser, and waits until the page has missed it. */
export async function cutOff(page: Page): Promise<void> {
  await page.context().setOffline(true)
  // The browser's own event may come just before the cut, and the gateway still answers who asks then.
  const told = () => window.dispatchEvent(new Event('offline'))
  await Promise.all(page.frames().map((frame) => frame.evaluate(told)))
  for (const frame of page.frames()) {
    if (frame.childFrames().length === 0) await frame.getByText('offline, 0 pending').waitFor()
  }
}
