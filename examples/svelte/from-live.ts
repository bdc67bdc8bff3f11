import type { Live } from '@tidemark/client'
import { createSubscriber } from 'svelte/reactivity'

/** A live value of the client whose `current` is reactive; subscribed to while somebody reads it. */
export function fromLive<Value>(live: Live<Value>): { readonly current: Value } {
  const follow = createSubscriber((changed) => live.subscribe(changed))
  return {
    get current() {
      follow()
      return live.getSnapshot()
    },
  }
}
