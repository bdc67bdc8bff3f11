/** The events that the simulated apps, gateways and services speak of. */
import { model, refuse, topic } from '@tidemark/shared'

/** What every event carries: a number, and a tag that no other event has. */
export interface Amount {
  readonly tag: number
  readonly quantity: number
  /** Makes some events bigger than others. */
  readonly note: string
}

/** A Standard Schema without a library. */
const shape = (fits: (value: Amount) => boolean) => ({
  '~standard': {
    version: 1 as const,
    vendor: 'simulation',
    types: undefined as { readonly input: Amount; readonly output: Amount } | undefined,
    validate: (value: unknown) =>
      fits(value as Amount)
        ? { value: value as Amount }
        : { issues: [{ message: 'is not an amount' }] },
  },
})

const isAmount = (value: Amount): boolean => Number.isSafeInteger(value?.quantity)

/** The scope that everything happens in. */
export const scope = 'shop-7'

/** A pick of this quantity or more passes on a device, and not at the gateway: its schema is newer. */
export const pickMax = 90
const isTaken = (value: Amount): boolean => isAmount(value) && value.quantity < pickMax

/** What the devices read and write. */
export const inventory = topic('inventory', {
  Received: shape(isAmount),
  Picked: shape(isAmount),
  Reordered: shape(isAmount),
  Ended: shape(isAmount),
  Stocked: shape(isAmount),
  Taken: shape(isAmount),
})

/** The same topic as the gateway knows it: stricter, so that some events are refused. */
export const strictInventory = topic('inventory', {
  Received: shape(isAmount),
  Picked: shape(isTaken),
  Reordered: shape(isAmount),
  Ended: shape(isAmount),
  Stocked: shape(isTaken),
  Taken: shape(isAmount),
})

/** What the devices write and never read. */
export const audit = topic('audit', { Noted: shape(isAmount) })

/** The log that the devices read. */
export const inventoryLog = { topic: inventory.name, scope }
/** The log that they only write to. */
export const auditLog = { topic: audit.name, scope }

/** The next state of a stream. It minds the order, unlike a sum. */
export const digest = (state: number, quantity: number): number =>
  (Math.imul(state, 31) + quantity + 7) | 0

/** A state that shows which events were folded, and in which order. */
export interface Folded {
  readonly digest: number
  readonly events: number
}

/** The state before any event, as a release of the app has it. */
export const unfolded = (release: number): Folded => ({ digest: release, events: 0 })

/** The state after an amount came in, or, below zero, went out. */
export const next = (state: Folded, quantity: number): Folded => ({
  digest: digest(state.digest, quantity),
  events: state.events + 1,
})

/** A state for each stream. Everybody appends to these streams, facts and what a command counts. */
const stockOf = (release: number) =>
  model(inventory, {
    version: release,
    initial: unfolded(release),
    on: {
      Received: (state, { data }) => next(state, data.quantity),
      Picked: (state, { data }) => next(state, -data.quantity),
      Reordered: (state, { data }) => next(state, data.quantity),
    },
  })
    .command('count', shape(isAmount), (state, input, emit) =>
      state.digest % 7 === 0
        ? refuse('MISCOUNTED', { digest: state.digest })
        : emit.Received({ ...input, quantity: Math.abs(state.digest % 50) }),
    )
    .compensate('Picked', ({ data }, emit) => emit.Received({ ...data, tag: data.tag + 100_000 }))

/** Streams that only the commands of `shelf` write to begin with this. */
export const shelfPrefix = 'shelf-'

/** What lies on a shelf: its commands see to it that this is never less than nothing. */
const shelfOf = (release: number) =>
  model(inventory, {
    version: release,
    initial: { level: 0 },
    on: {
      Stocked: (state, { data }) => ({ level: state.level + data.quantity }),
      Taken: (state, { data }) => ({ level: state.level - data.quantity }),
    },
  })
    .command('fill', shape(isAmount), (_state, input, emit) => emit.Stocked(input))
    .command('take', shape(isAmount), ({ level }, input, emit) =>
      level < input.quantity ? refuse('OUT_OF_STOCK', { level }) : emit.Taken(input),
    )
    .command('takeInTwo', shape(isAmount), ({ level }, input, emit) =>
      level < input.quantity * 2
        ? refuse('OUT_OF_STOCK', { level })
        : [emit.Taken(input), emit.Taken({ ...input, tag: input.tag + 200_000 })],
    )

/** States across streams: by the last digit of a quantity, whichever stream it went to. */
const totalsOf = (release: number) =>
  model(inventory, {
    version: release,
    initial: unfolded(release),
    key: ({ data }) => totalsKey((data as Amount).quantity),
    on: {
      Received: (state, { data }) => next(state, data.quantity),
      Picked: (state, { data }) => next(state, -data.quantity),
      Stocked: (state, { data }) => next(state, data.quantity),
      Taken: (state, { data }) => next(state, -data.quantity),
    },
  })

/** Which of the totals a quantity belongs to. */
export const totalsKey = (quantity: number): string => `ends-in-${quantity % 10}`

/** What a release of the app shows. Each folds anew, for its initial states are others. */
export const modelsOf = (release: number) => ({
  stock: stockOf(release),
  shelf: shelfOf(release),
  totals: totalsOf(release),
})

/** What the service has a handler for, and the stock too. What else is in the log says how something ended, or is a shelf’s. */
export const isHandled = (type: string): boolean =>
  type === 'Received' || type === 'Picked' || type === 'Reordered'

/** Does the answering service answer to this? */
export const isAnswered = (type: string, data: Amount): boolean =>
  type === 'Picked' && data.quantity % 3 === 0
