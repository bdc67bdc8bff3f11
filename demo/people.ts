/** Who may do what in the demo: the two functions that a gateway is given. */
import type { Authenticate, Authorize } from '@tidemark/server'
import { scope } from './app/devices.ts'
import { inventory, orders } from './events.ts'

/** Who may count: a count overrules the books, so it is not for everybody. */
const people: ReadonlyMap<string, { readonly counts: boolean }> = new Map([
  ['ada', { counts: true }],
  ['ben', { counts: false }],
  ['stocktaker', { counts: true }],
])

/** A demo's sign-in: whoever says "ada" is Ada. Yours asks your identity provider. */
export const authenticate: Authenticate = ({ token }) =>
  token !== undefined && people.has(token) ? { author: token } : undefined

const topics: ReadonlySet<string> = new Set([inventory.name, orders.name])
/** What people may say; the rest are answers of services. */
const forEverybody: ReadonlySet<string> = new Set([
  'StockReceived',
  'StockPicked',
  'OrderPlaced',
  'OrderWithdrawn',
])
const forCounters: ReadonlySet<string> = new Set(['StockCounted', 'ItemAdded'])

/** Everybody reads and books; Ben's counts are refused, so that you can see what becomes of a refusal. */
export const authorize: Authorize = (access) => {
  if (!topics.has(access.topic) || access.scope !== scope) return 'hold'
  if (access.action === 'read') return 'allow'
  const mayCount = people.get(access.principal.author)?.counts ?? false
  const culprit = access.events.find(
    ({ type }) => !forEverybody.has(type) && !(mayCount && forCounters.has(type)),
  )
  if (!culprit) return 'allow'
  const reason = forCounters.has(culprit.type)
    ? 'Only Ada may count. Pick or receive instead, or ask her.'
    : 'Only a service may say that.'
  return { answer: 'refuse', reason, id: culprit.id }
}
