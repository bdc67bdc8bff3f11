/** Who sells what, and for how much, as the app shows it. */

/** Somebody to order from. */
export interface Supplier {
  readonly id: string
  readonly name: string
  /** What is to be expected of them: this is a demo, so they say it before. */
  readonly says: string
}

/** The most of one item that any supplier sends at once. */
export const suppliedMax = 500

/** All suppliers that the app knows. The service has its own idea of the last one. */
export const suppliers: readonly [Supplier, ...Supplier[]] = [
  { id: 'north-quay', name: 'North Quay', says: `Sends up to ${suppliedMax} of an item.` },
  { id: 'closed-yard', name: 'Closed Yard', says: 'Refuses every order: closed until spring.' },
  {
    id: 'ghost-yard',
    name: 'Ghost Yard',
    says: 'Unknown to the purchasing service, which fails at it each time.',
  },
]

/** What one piece of an item costs, in whole euros: made up, and the same everywhere. */
export const priceOf = (sku: string): number =>
  3 + ([...sku].reduce((sum, letter) => sum + letter.charCodeAt(0), 0) % 37)
