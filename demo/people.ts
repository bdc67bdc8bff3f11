/** Who may do what in the demo: the two functions that a gateway is given. */
import type { Authenticate, Authorize } from '@tidemark/server'
import { scope } from './app/devices.ts'
import { inventory } from './events.ts'

/** Who may count: a count overrules the books, so it is not for everybody. */
const people: ReadonlyMap<string, { readonly counts: boolean }> = new Map([
  ['ada', { counts: true }],
  ['ben', { counts: false }],
  ['stocktaker', { counts: true }],
])

/** A demo's sign-in: whoever says "ada" is Ada. Yours asks your identity provider. */
export const authenticate: Authenticate = ({ token }) =>
  token !== undefined && people.has(token) ? { author: token } : undefined

/** Everybody reads and books; Ben's counts are refused, so that you can see what becomes of a refusal. */
export const authorize: Authorize = (access) => {
  if (access.topic !== inventory.name || access.scope !== scope) return 'hold'
  if (access.action === 'read' || people.get(access.principal.author)?.counts) return 'allow'
  const count = access.events.find(({ type }) => type === 'StockCounted' || type === 'ItemAdded')
  if (!count) return 'allow'
  const reason = 'Only Ada may count. Pick or receive instead, or ask her.'
  return { answer: 'refuse', reason, id: count.id }
}
