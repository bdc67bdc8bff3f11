/** A world where time goes faster, so that a dead holder's lease does not take up a whole run. */
import type { Broker } from '@tidemark/server/broker/broker'
import { system, type System } from '@tidemark/shared'

/** How much faster the clocks of gateways and consumers go. The broker's go as always. */
const haste = 5

/** Every process of a run is handed the same `originMs` (ms since 1970), so that their wall clocks agree. */
export const createHastySystem = (originMs: number): System => ({
  ...system,
  now: () => originMs + Math.floor((system.now() - originMs) * haste),
  mono: () => system.mono() * haste,
  after: (ms, run) => system.after(ms / haste, run),
})

/** How long `ms` of the hasty world are in ours. */
export const toRealMs = (ms: number): number => ms / haste

/** A broker that is waited for by the hasty clock, and otherwise takes the time that it takes. */
export const hastyBroker = (broker: Broker): Broker => ({
  limits: broker.limits,
  publish: (...given) => broker.publish(...given),
  receiver(options) {
    const receiver = broker.receiver(options)
    return {
      receive: (max, waitMs) => receiver.receive(max, toRealMs(waitMs)),
      settle: (...given) => receiver.settle(...given),
      close: () => receiver.close(),
    }
  },
  close: () => broker.close(),
})
