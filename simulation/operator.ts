/**
 * Somebody who looks after what waits for a person, with the view that the command line and the HTTP API
 * have: streams that the relay has parked, what the service has set aside, and the broker's dead letters.
 * Whatever is asked for is asked for twice at once, for buttons are pressed twice.
 */
import { otherSubscription } from './broker.ts'
import type { ViewOptions } from '../server/src/operate/view.ts'
import { createView } from '../server/src/operate/view.ts'
import type { History } from './history.ts'

/** What an operator is given. */
export interface OperatorOptions extends ViewOptions {
  readonly history: History
}

/** What of everything that waits. */
export type Which = 'relay' | 'all'

const act = { by: 'operator', note: 'mended' }
const itemsMax = 50

/** Lets everything that waits for a person try again. */
export async function redriveAll(options: OperatorOptions, which: Which): Promise<void> {
  const view = createView(options)
  const { items } = await view.list(itemsMax, which === 'all' ? undefined : which)
  for (const { ref, where, event, consumer } of items) {
    // Its tries count anew from here on, and they may begin before this is through.
    const isOurs = where === 'consumer' || (where === 'broker' && consumer !== otherSubscription)
    const isTried = event !== undefined && isOurs
    if (isTried) options.history.state({ type: 'redriven', id: event, times: 0 })
    const done = await Promise.allSettled([view.redrive(ref, act), view.redrive(ref, act)])
    const times = done.filter((each) => each.status === 'fulfilled' && each.value === 'done').length
    options.history.note(`${ref} is redriven ${times} times`)
    if (isTried) options.history.state({ type: 'redriven', id: event, times })
  }
}
