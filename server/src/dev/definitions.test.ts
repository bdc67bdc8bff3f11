import { model, topic } from '@tidemark/shared'
import { expect, test } from 'vitest'
import * as z from 'zod'
import { changedFolds, toDefinitions } from './definitions.ts'

const inventory = topic('inventory', { StockReceived: z.object({ quantity: z.int() }) })

const stock = model(inventory, {
  version: 1,
  initial: { onHand: 0 },
  on: { StockReceived: (state, { data }) => ({ onHand: state.onHand + data.quantity }) },
  indexes: { size: ({ onHand }) => (onHand < 5 ? 'small' : 'large') },
})

test('[Y5] whatever the stored states of a model rest on is said when it changes: folds, and indexes', () => {
  const before = toDefinitions({ stock }, 'events.ts')
  const edited = {
    ...stock,
    indexes: {
      size: ({ onHand }: { readonly onHand: number }) => (onHand < 9 ? 'small' : 'large'),
    },
  }
  expect(changedFolds(before, toDefinitions({ stock: edited }, 'events.ts'))).toEqual([
    'stock (index size)',
  ])
  expect(
    changedFolds(before, toDefinitions({ stock: { ...stock, version: 2 } }, 'events.ts')),
  ).toEqual(['stock (version)'])
  expect(changedFolds(before, toDefinitions({ stock }, 'events.ts'))).toEqual([])
})
