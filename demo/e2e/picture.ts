/** Takes the README's picture, docs/demo.png: one device is offline with work that waits, the other shows an order that came back. `node demo/e2e/picture.ts`. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { FrameLocator } from 'playwright-core'
import { startRig } from './rig.ts'

const folder = join(import.meta.dirname, '../../docs')

async function pick(device: FrameLocator, name: string, quantity: number): Promise<void> {
  await device.getByRole('button', { name }).click()
  await device.getByRole('spinbutton', { name: 'Quantity' }).fill(String(quantity))
  await device.getByRole('button', { name: `Pick ${quantity}` }).click()
  await device.getByText('Stored on this device.').waitFor()
}

async function order(device: FrameLocator, supplier: string, quantity: number): Promise<void> {
  await device.getByRole('button', { name: 'Order from supplier' }).click()
  const choice = device.getByRole('combobox', { name: 'Supplier' })
  await choice.selectOption({ label: `from ${supplier}` })
  await device.getByRole('spinbutton', { name: 'How many to order' }).fill(String(quantity))
  await device.getByRole('button', { name: `Order ${quantity}` }).click()
}

const rig = await startRig(join(import.meta.dirname, '../items.csv'))
try {
  const page = await rig.openPanes()
  await page.setViewportSize({ width: 1400, height: 900 })
  const [ada, ben] = [page.frameLocator('#device-a'), page.frameLocator('#device-b')]
  await ada.getByText('1,157 items').waitFor()
  await pick(ada, 'Bow shackle, 5 mm, galvanised', 2)
  await ben.getByRole('button', { name: 'Bow shackle, 5 mm, galvanised' }).click()
  await ben.getByText('In answer to').waitFor()
  await order(ada, 'Closed Yard', 30)
  await ben.getByText('Taken back', { exact: true }).waitFor()
  await ada.getByRole('button', { name: 'Items' }).click()
  await ada.getByRole('switch', { name: 'Network' }).click()
  for (const [name, quantity] of [
    ['Bow shackle, 5 mm, stainless', 4],
    ['Bow shackle, 6 mm, stainless', 20],
    ['Bow shackle, 8 mm, stainless', 1],
  ] as const) {
    await pick(ada, name, quantity)
    await ada.getByRole('button', { name: 'Items' }).click()
  }
  await page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur())
  await page.mouse.move(0, 0)
  await mkdir(folder, { recursive: true })
  await page.screenshot({ path: join(folder, 'demo.png') })
} finally {
  await rig.close()
}
