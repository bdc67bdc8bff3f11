import type { Live } from '@tidemark/client'
import { onScopeDispose, type ShallowRef, shallowRef } from 'vue'

/** A live value of the client as a ref, for as long as the component is there. */
export function useLive<Value>(live: Live<Value>): Readonly<ShallowRef<Value>> {
  const value: ShallowRef<Value> = shallowRef(live.getSnapshot())
  onScopeDispose(live.subscribe(() => (value.value = live.getSnapshot())))
  return value
}
