/**
 * Tidemark in React: hooks over the live values of a client. A component renders again when what it
 * selects has changed, and only then; on a server, and while that is hydrated, everything is `loading`.
 */
import type { Denial } from '@tidemark/shared'
import { useCallback, useRef, useSyncExternalStore } from 'react'
import type { Client, RefusedList } from './client.ts'
import type { Live } from './live.ts'
import type { Status } from './status.ts'
import type { Refused } from './store/store.ts'

type Equal<Value> = (a: Value, b: Value) => boolean

/**
 * Any live value. With `select` the component renders again only when what it selects is another value by
 * `isEqual`, which is `Object.is` unless said otherwise.
 */
export function useLive<Value>(live: Live<Value>): Value
export function useLive<Value, Selected>(
  live: Live<Value>,
  select: (value: Value) => Selected,
  isEqual?: Equal<Selected>,
): Selected
export function useLive<Value, Selected>(
  live: Live<Value>,
  select?: (value: Value) => Selected,
  isEqual: Equal<Selected> = Object.is,
): Value | Selected {
  const subscribe = useCallback((changed: () => void) => live.subscribe(changed), [live])
  // React asks for the snapshot often and wants the same object each time: what was selected is kept for
  // as long as the value and the selector are the same, or what they give is equal.
  const kept = useRef<Kept<Value, Selected> | undefined>(undefined)
  const read = (value: Value): Value | Selected => {
    if (!select) return value
    const last = kept.current
    if (last && last.value === value && last.select === select) return last.selected
    const next = select(value)
    const selected = last && isEqual(last.selected, next) ? last.selected : next
    kept.current = { value, select, selected }
    return selected
  }
  return useSyncExternalStore(
    subscribe,
    () => read(live.getSnapshot()),
    () => read(live.getInitialSnapshot()),
  )
}

interface Kept<Value, Selected> {
  readonly value: Value
  readonly select: (value: Value) => Selected
  readonly selected: Selected
}

/**
 * A model's state or list.
 *
 * @example
 * const onHand = useModel(client.model.item('sku-1'), ({ state }) => state?.onHand)
 */
export const useModel: typeof useLive = useLive

/** How the client is doing: the link, what is pending, the logs. */
export function useStatus(client: Pick<Client, 'status'>): Status
export function useStatus<Selected>(
  client: Pick<Client, 'status'>,
  select: (status: Status) => Selected,
): Selected
export function useStatus<Selected>(
  client: Pick<Client, 'status'>,
  select?: (status: Status) => Selected,
): Status | Selected {
  return useLive<Status, Status | Selected>(client.status, select ?? ((status) => status))
}

/** The refused events of this device. */
export function useRefused<Denied extends Denial>(client: {
  readonly refused: RefusedList<Denied>
}): readonly Refused<Denied>[] {
  return useLive<readonly Refused<Denied>[]>(client.refused)
}
