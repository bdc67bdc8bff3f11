/** The states that models must show, folded here from a log's entries and the pending events laid over them. */
import type { ReadEvent } from './lines.ts'
import {
  type Amount,
  type Folded,
  isHandled,
  type modelsOf,
  next,
  totalsKey,
  unfolded,
} from './topics.ts'

/** The states of one model, by key. */
export type States = Map<string, unknown>

/** The states of every model, by its name. */
export type AllStates = Readonly<Record<keyof ReturnType<typeof modelsOf>, States>>

/** What in and out do to an amount; what is neither leaves a model as it is. */
const signs: Readonly<Record<string, number>> = {
  Received: 1,
  Reordered: 1,
  Stocked: 1,
  Picked: -1,
  Taken: -1,
}

/** Folds events in their order, as a release of the app does. */
export function expectStates(events: readonly ReadEvent[], release: number): AllStates {
  const stock: States = new Map()
  const shelf: States = new Map()
  const totals: States = new Map()
  const before = unfolded(release)
  for (const { stream, type, data } of events) {
    const change = (signs[type] ?? 0) * (data as Amount).quantity
    if (isHandled(type)) fold(stock, stream, change, before)
    if (type === 'Stocked' || type === 'Taken') {
      const { level } = (shelf.get(stream) ?? { level: 0 }) as { level: number }
      shelf.set(stream, { level: level + change })
    }
    const isTotalled = signs[type] !== undefined && type !== 'Reordered'
    if (isTotalled) fold(totals, totalsKey((data as Amount).quantity), change, before)
  }
  return { stock, shelf, totals }
}

const fold = (states: States, key: string, change: number, before: Folded): void =>
  void states.set(key, next((states.get(key) ?? before) as Folded, change))
