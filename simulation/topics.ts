/** The events that the simulated apps, gateways and services speak of. */
import { model, topic } from '@tidemark/shared'

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

/** What the devices read and write. */
export const inventory = topic('inventory', {
  Received: shape(isAmount),
  Picked: shape(isAmount),
  Reordered: shape(isAmount),
  Ended: shape(isAmount),
})

/** The same topic as the gateway knows it: stricter, so that some events are refused. */
export const strictInventory = topic('inventory', {
  Received: shape(isAmount),
  Picked: shape((value) => isAmount(value) && value.quantity < pickMax),
  Reordered: shape(isAmount),
  Ended: shape(isAmount),
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

/** A state for each stream that shows in which order its events were folded. */
export const stock = model(inventory, {
  version: 1,
  initial: { digest: 0, events: 0 },
  on: {
    Received: (state, { data }) => next(state, data.quantity),
    Picked: (state, { data }) => next(state, -data.quantity),
    Reordered: (state, { data }) => next(state, data.quantity),
  },
})

/** What the service has a handler for, and the model too. What else is in the log says how something ended. */
export const isHandled = (type: string): boolean =>
  type === 'Received' || type === 'Picked' || type === 'Reordered'

const next = (state: { digest: number; events: number }, quantity: number) => ({
  digest: digest(state.digest, quantity),
  events: state.events + 1,
})

/** Does the answering service answer to this? */
export const isAnswered = (type: string, data: Amount): boolean =>
  type === 'Picked' && data.quantity % 3 === 0
