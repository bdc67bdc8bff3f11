/** What can happen to stock. The browser and the gateway import this one file. */
import { model, refuse, topic } from '@tidemark/shared'
import * as z from 'zod'

const quantity = z.int().positive()

/** A stream is an item. */
export const inventory = topic('inventory', {
  StockReceived: z.object({ quantity }),
  StockPicked: z.object({ quantity }),
})

/** How many of an item there are, and the rule that there are never fewer than none. */
export const item = model(inventory, {
  version: 1,
  initial: { onHand: 0 },
  on: {
    StockReceived: ({ onHand }, { data }) => ({ onHand: onHand + data.quantity }),
    StockPicked: ({ onHand }, { data }) => ({ onHand: onHand - data.quantity }),
  },
}).command('pick', z.object({ quantity }), ({ onHand }, { quantity }, emit) =>
  onHand < quantity ? refuse('OUT_OF_STOCK', { onHand }) : emit.StockPicked({ quantity }),
)
