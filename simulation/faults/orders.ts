/** What the killed processes are busy with: orders that are booked, and those that take a saga to carry out. */
import { topic } from '@tidemark/shared'

/** What every event carries. */
export interface Order {
  readonly n: number
  /** How the saga that an `Ordered` starts shall end. */
  readonly fate?: 'completed' | 'compensated' | 'needs-human'
  readonly note?: string
}

/** A Standard Schema without a library. */
const anything = {
  '~standard': {
    version: 1 as const,
    vendor: 'faults',
    types: undefined as { readonly input: Order; readonly output: Order } | undefined,
    validate: (value: unknown) => ({ value: value as Order }),
  },
}

/** What devices append, and what the service answers. */
export const orders = topic('orders', {
  /** Has one effect, and every third an answer. */
  Placed: anything,
  /** Starts a saga. */
  Ordered: anything,
  /** Parks its stream until somebody has mended the service. */
  Poison: anything,
  /** The answer to a `Placed`. */
  Booked: anything,
  /** How a saga ended. */
  Closed: anything,
})

/** The logs that are written to. */
export const scopes = ['north', 'south'] as const

/** The consumer's name and its subscription. */
export const service = 'books'

/** The types that have an effect in the service. */
export const handledTypes: readonly string[] = ['Placed', 'Ordered', 'Poison']

/** Is this event answered? */
export const isAnswered = (n: number): boolean => n % 3 === 0

/** The broker's entities. There is no duplicate detection: every repeat reaches those who must bear it. */
export const brokerConfig = JSON.stringify({
  UserConfig: {
    Namespaces: [
      {
        Name: 'faults',
        Topics: [
          {
            Name: orders.name,
            Properties: { RequiresDuplicateDetection: false },
            Subscriptions: [
              {
                Name: 'gateway',
                Properties: { RequiresSession: true, LockDuration: 'PT10S', MaxDeliveryCount: 10 },
                Rules: [
                  {
                    Name: 'from-services',
                    Properties: {
                      FilterType: 'Sql',
                      SqlFilter: { SqlExpression: 'cloudEvents_epoch IS NULL' },
                    },
                  },
                ],
              },
              {
                Name: service,
                Properties: { RequiresSession: true, LockDuration: 'PT10S', MaxDeliveryCount: 10 },
              },
              {
                Name: 'witness',
                Properties: { LockDuration: 'PT5S', MaxDeliveryCount: 1000 },
              },
            ],
          },
        ],
      },
    ],
    Logging: { Type: 'Console' },
  },
})
