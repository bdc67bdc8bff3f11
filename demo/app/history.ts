/** What happened to each item, newest last, as far as a screen shows it. */
import {
  type DeadLettered,
  type DomainEvent,
  type EntryOf,
  type EventId,
  model,
  type Source,
} from '@tidemark/shared'
import { inventory } from '../events.ts'

/** The most that is kept of one item. */
export const happeningsMax = 60

type Entries = EntryOf<typeof inventory>

/** What an event says happened. */
export type Booked =
  | {
      [Type in Entries['type']]: {
        readonly type: Type
        readonly data: Extract<Entries, { readonly type: Type }>['data']
      }
    }[Entries['type']]
  | { readonly type: 'tidemark.DeadLettered'; readonly data: DeadLettered }

/** One thing that happened to an item. */
export type Happening = Booked & {
  readonly id: EventId
  readonly author: string
  readonly occurredAt: number
  readonly causationId: EventId | undefined
  /** Where it stands in the log and how it came there; `undefined` while it is pending. */
  readonly place: { readonly position: number; readonly source: Source } | undefined
}

type History = readonly Happening[]

function remember(history: History, event: DomainEvent): History {
  const { type, data, id, author, occurredAt, causationId } = event
  const place = isEntry(event) ? { position: event.position, source: event.source } : undefined
  const happening = { type, data, id, author, occurredAt, causationId, place } as Happening
  return [...history.slice(1 - happeningsMax), happening]
}

const isEntry = (
  event: DomainEvent,
): event is DomainEvent & { readonly position: number; readonly source: Source } =>
  'position' in event

/** The history of each item: the same events as the model `item`, kept instead of added up. */
export const history = model(inventory, {
  version: 1,
  initial: [] as History,
  on: {
    ItemAdded: remember,
    StockReceived: remember,
    StockPicked: remember,
    StockCounted: remember,
    ReorderRequested: remember,
    StockOrdered: remember,
    'tidemark.DeadLettered': remember,
  },
})
