/** The configuration that the tests of `tidemark rescue` read: Ann's work may be brought in, Ben's not now, Eve's never. */
import { topic } from '@tidemark/shared'
import * as z from 'zod'
import { defineConfig } from '../../index.ts'

/** What the command reads. */
export const config = defineConfig({
  topics: [topic('inventory', { StockReceived: z.object({ quantity: z.int() }) })],
  rescue: ({ author, by, scope }) =>
    author === 'ann' && by === 'root' && scope === 'shop-7'
      ? 'allow'
      : { answer: author === 'eve' ? 'refuse' : 'hold', reason: 'only Ann is known here' },
})
