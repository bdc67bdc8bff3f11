import { topic } from '@tidemark/shared'
import { expect, test } from 'vitest'
import * as z from 'zod'
import { planTopology, toBicep, toEmulatorConfig } from './provision.ts'

const inventory = topic('inventory', { StockPicked: z.object({ quantity: z.int() }) })
const orders = topic('shop.orders', { OrderPlaced: z.object({}) })

test('[O5] every topic gets duplicate detection, every reader a subscription, and ordered readers sessions', () => {
  const plan = planTopology({
    topics: [inventory, orders],
    consumers: [
      { name: 'purchasing', topic: inventory },
      { name: 'reporting', topic: inventory, subscription: 'report', ordered: false },
    ],
  })
  expect(plan.map(({ name, duplicateWindow }) => [name, duplicateWindow])).toEqual([
    ['inventory', 'PT1H'],
    ['shop.orders', 'PT1H'],
  ])
  const readers = plan.map(({ subscriptions }) =>
    subscriptions.map(({ name, requiresSession }) => [name, requiresSession]),
  )
  expect(readers).toEqual([
    [
      ['gateway', true],
      ['purchasing', true],
      ['report', false],
    ],
    [['gateway', true]],
  ])
})

test('competing consumers share one subscription; in different ways they cannot', () => {
  const twice = { name: 'purchasing', topic: inventory }
  const [planned] = planTopology({ topics: [inventory], consumers: [twice, twice] })
  expect(planned?.subscriptions.map(({ name }) => name)).toEqual(['gateway', 'purchasing'])
  const odd = { ...twice, ordered: false }
  expect(() => planTopology({ topics: [inventory], consumers: [twice, odd] })).toThrow(
    /inventory\/purchasing want it the same way/,
  )
})

test('a consumer of a topic that is not declared, and a name that Service Bus does not take, are named', () => {
  const consumers = [{ name: 'purchasing', topic: orders }]
  expect(() => planTopology({ topics: [inventory], consumers })).toThrow(/not shop\.orders/)
  const named = [{ name: "o'brien", topic: inventory }]
  expect(() => planTopology({ topics: [inventory], consumers: named })).toThrow(/"o'brien"/)
  expect(() => planTopology({ topics: [inventory], duplicateWindow: '10m' })).toThrow(/"10m"/)
})

test('[O5] the emulators get a Config.json within the bounds of the official one', () => {
  const plan = planTopology({
    topics: [inventory],
    consumers: [{ name: 'purchasing', topic: inventory, maxDeliveryCount: 20 }],
  })
  expect(toEmulatorConfig(plan)).toMatchObject({
    UserConfig: {
      Namespaces: [
        {
          Topics: [
            {
              Name: 'inventory',
              Properties: {
                RequiresDuplicateDetection: true,
                DuplicateDetectionHistoryTimeWindow: 'PT5M',
              },
              Subscriptions: [
                { Name: 'gateway', Properties: { RequiresSession: true } },
                {
                  Name: 'purchasing',
                  Properties: { MaxDeliveryCount: 10, LockDuration: 'PT1M' },
                  Rules: [
                    {
                      Properties: {
                        SqlFilter: {
                          SqlExpression:
                            "NOT EXISTS(user.cloudEvents_onlyfor) OR user.cloudEvents_onlyfor = 'purchasing'",
                        },
                      },
                    },
                  ],
                },
              ],
            },
          ],
        },
      ],
    },
  })
})

test('[O5] Bicep names every entity once, under its parent, with its quotes escaped', () => {
  const bicep = toBicep(
    planTopology({
      topics: [inventory, orders],
      consumers: [{ name: 'purchasing', topic: orders, ordered: false }],
    }),
  )
  const symbols = [...bicep.matchAll(/^resource (\S+) /gm)].map(([, symbol]) => symbol)
  expect(symbols).toEqual([
    'namespace',
    't_inventory',
    't_inventory_t_gateway',
    't_inventory_t_gateway_rule',
    't_shop_46_orders',
    't_shop_46_orders_t_gateway',
    't_shop_46_orders_t_gateway_rule',
    't_shop_46_orders_t_purchasing',
    't_shop_46_orders_t_purchasing_rule',
  ])
  for (const [, parent] of bicep.matchAll(/parent: (\S+)/g)) expect(symbols).toContain(parent)
  expect(bicep).toContain(
    "sqlExpression: 'NOT EXISTS(user.cloudEvents_onlyfor) OR user.cloudEvents_onlyfor = \\'purchasing\\''",
  )
  expect(bicep.match(/requiresSession: (true|false)/g)).toEqual([
    'requiresSession: true',
    'requiresSession: true',
    'requiresSession: false',
  ])
})
