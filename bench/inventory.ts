/** The events of every measurement, about 300 bytes of JSON each, with a schema as an app would have it. */
import { topic } from '@tidemark/shared'
import * as z from 'zod'

/** The topic that is measured. */
export const inventory = topic('inventory', {
  StockPicked: z.object({
    quantity: z.int().positive(),
    reason: z.enum(['sale', 'damage']),
    order: z.string(),
    location: z.string(),
    note: z.string(),
  }),
})

/** The log of it that is measured. */
export const log = { topic: inventory.name, scope: 'bench' }

/** The data of event number `n`. */
export const makeData = (n: number) => ({
  quantity: 1 + (n % 9),
  reason: 'sale' as const,
  order: `order-${n}`,
  location: 'aisle 14, rack 3, shelf 2',
  note: 'picked by hand, counted twice, packed with the others of its order',
})

/** The stream of event number `n`: there are a thousand, unless said otherwise. */
export const makeStream = (n: number, streams = 1_000): string => `sku-${n % streams}`
