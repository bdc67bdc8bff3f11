/** What the screens say. */
import type { LinkState, Lost, Status } from '@tidemark/client'
import type { Order } from '../events.ts'
import { suppliers } from '../suppliers.ts'
import type { Booked } from './history.ts'
import type { RefusedHere } from './inventory.ts'

/** How the connection is, in a word or two, and what that means. */
export function sayLink({ link, stalled }: Status): {
  readonly word: string
  readonly why: string
} {
  if (stalled) return { word: 'Slow', why: `The ${stalled} makes no progress. Trying again.` }
  return linkWords[link]
}

const linkWords: Readonly<Record<LinkState, { readonly word: string; readonly why: string }>> = {
  inert: { word: 'Starting', why: 'Opening what is stored on this device.' },
  offline: { word: 'No connection', why: 'The gateway does not answer. Trying again by itself.' },
  connecting: { word: 'Connecting', why: 'Knocking at the gateway.' },
  online: { word: 'Online', why: 'What you book is on its way at once.' },
  'needs-auth': { word: 'Sign in again', why: 'The gateway wants a fresh sign-in.' },
  'wrong-user': { word: 'Wrong user', why: 'You are signed in as somebody else.' },
  'client-too-old': {
    word: 'Reload',
    why: 'The gateway speaks a newer version. Reload this page.',
  },
  'gateway-too-old': { word: 'Gateway too old', why: 'The gateway has to be updated first.' },
  paused: { word: 'Offline', why: 'You switched the network off on this device.' },
  closed: { word: 'Closed', why: 'This page no longer syncs. Reload it.' },
}

/** How many events wait on this device, in words. */
export const sayPending = (pending: number): string =>
  pending === 0 ? 'Nothing waiting' : `${count(pending)} waiting`

/** A count with its thousands told apart. */
export const count = (value: number): string => value.toLocaleString('en')

const reasons = { sale: 'sold', damage: 'damaged', transfer: 'moved away' } as const

/** What happened, as a short sentence. */
export function sayHappening({ type, data }: Booked): string {
  switch (type) {
    case 'ItemAdded':
      return `Added, reorder below ${count(data.reorderLevel)}`
    case 'StockReceived':
      return `Received ${count(data.quantity)}`
    case 'StockPicked':
      return `Picked ${count(data.quantity)}, ${reasons[data.reason]}`
    case 'StockCounted':
      return `Counted ${count(data.quantity)}`
    case 'ReorderRequested':
      return `Asked for ${count(data.quantity)} more`
    case 'StockOrdered':
      return `${count(data.quantity)} on their way`
    case 'tidemark.DeadLettered':
      return `Set aside after ${count(data.attempts)} tries`
  }
}

/** What an order is for. */
export function sayOrder({
  quantity,
  supplier,
}: Pick<NonNullable<Order['placed']>, 'quantity' | 'supplier'>): string {
  const name = suppliers.find(({ id }) => id === supplier)?.name ?? supplier
  return `${count(quantity)} from ${name}`
}

const steps: Readonly<
  Record<string, { readonly words: string; readonly kind: 'done' | 'undone' | 'failed' }>
> = {
  BudgetReserved: { words: 'Budget reserved', kind: 'done' },
  SupplierPaid: { words: 'Supplier paid', kind: 'done' },
  OrderConfirmed: { words: 'Supplier has confirmed', kind: 'done' },
  PaymentReturned: { words: 'Payment returned', kind: 'undone' },
  BudgetReleased: { words: 'Budget released', kind: 'undone' },
  OrderFailed: { words: 'Order taken back', kind: 'failed' },
  OrderWithdrawn: { words: 'Withdrawn', kind: 'failed' },
  'tidemark.DeadLettered': { words: 'Set aside', kind: 'failed' },
}

/** What a service did for an order, and of which kind that is. */
export const sayStep = (type: string): (typeof steps)[string] =>
  steps[type] ?? { words: type, kind: 'done' }

/** An amount of money. */
export const euros = (amount: number): string =>
  Number.isFinite(amount) ? `€${count(amount)}` : '€–'

/** The names of the people and services in the demo. */
export const sayAuthor = (author: string): string => names[author] ?? author

const names: Readonly<Record<string, string>> = {
  ada: 'Ada',
  ben: 'Ben',
  purchasing: 'Purchasing service',
  'order-desk': 'Order desk',
  stocktaker: 'First stocktake',
}

/** Why an event was refused, for the person who booked it. */
export function sayRefusal({ refusal }: RefusedHere): string {
  switch (refusal.code) {
    case 'OUT_OF_STOCK':
      return `Somebody was quicker: only ${count(refusal.details.onHand)} on hand.`
    case 'NOT_ALLOWED':
      return refusal.details.reason
    case 'SCHEMA_INVALID':
      return refusal.details.issues.map(({ path, message }) => `${path}: ${message}`).join('; ')
    case 'DEAD_LETTERED':
      return `${sayAuthor(refusal.details.consumer)} has set it aside after ${refusal.details.attempts} tries. Somebody has to look at it.`
    case 'LOST_IN_RESTORE':
      return 'The gateway was restored from a backup, and this no longer fits what it has.'
    default:
      return `The gateway answered ${refusal.code}.`
  }
}

/** What is gone, where the browser has thrown its database away. */
export const sayLoss = ({ events, since }: Lost, now: number): string =>
  `This browser deleted ${count(events)} ${events === 1 ? 'booking' : 'bookings'} that had not been sent, from ${sayTime(since, now)} on.`

/** Why something could not be stored on this device. */
export const sayStorage = (code: string): string =>
  ({
    STORAGE_FULL: 'This device is full. Nothing was booked; free some space and try again.',
    STORAGE_UNAVAILABLE: 'This browser does not let the page store anything. Nothing was booked.',
    STORAGE_BLOCKED: 'Another tab holds an older version of this page. Close it and try again.',
    STORAGE_LOST: 'The browser lost its database. Nothing was booked; reload the page.',
  })[code] ?? `It could not be stored on this device (${code}). Nothing was booked.`

const sameDay = new Intl.DateTimeFormat('en', { hour: '2-digit', minute: '2-digit', hour12: false })
const otherDay = new Intl.DateTimeFormat('en', {
  day: 'numeric',
  month: 'short',
  hour: '2-digit',
  minute: '2-digit',
  hour12: false,
})

/** A time of day, with its date where that is not today's. */
export function sayTime(ms: number, now: number): string {
  const date = new Date(ms)
  const today = date.toDateString() === new Date(now).toDateString()
  return (today ? sameDay : otherDay).format(date)
}
