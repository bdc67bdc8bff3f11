/** Devices that append for as long as the run lasts, and what they wrote down. */
import type { LogName } from '@tidemark/shared'
import type { Random } from '../random.ts'
import { Device, type DeviceOptions } from './device.ts'
import { orders, scopes } from './orders.ts'

/** What devices do. */
export interface Load {
  /** Batches without a verdict, on all devices. */
  readonly pending: number
  /** Appends nothing more. */
  stop(): void
  close(): void
}

const devicesCount = 6
const streamsCount = 12
/** A device appends again after about so long, unless so many batches wait. */
const pauseMs = 60
const pendingMax = 40

/** Starts the devices. `addresses` are those of the gateways, one for each place. */
export function startLoad(
  random: Random,
  addresses: readonly (() => string | undefined)[],
  told: Pick<DeviceOptions, 'onAppended' | 'onVerdict'>,
): Load {
  let isStopped = false
  let n = 0
  const devices = Array.from({ length: devicesCount }, (_, at) => {
    const address = addresses[at % addresses.length] ?? (() => undefined)
    const device = new Device({ name: `device-${at}`, address, ...told })
    const log: LogName = { topic: orders.name, scope: scopes[at % scopes.length] ?? 'north' }
    const next = (): void => {
      if (isStopped) return
      if (device.pending < pendingMax) {
        device.append(
          log,
          draftBatch(random, () => (n += 1)),
        )
      }
      setTimeout(next, pauseMs * (0.5 + random.float()))
    }
    next()
    return device
  })
  return {
    get pending() {
      return devices.reduce((sum, { pending }) => sum + pending, 0)
    },
    stop() {
      isStopped = true
    },
    close() {
      for (const device of devices) device.close()
    },
  }
}

/** One to three events, most of them plain. */
function draftBatch(random: Random, count: () => number) {
  const size = 1 + random.below(3)
  return Array.from({ length: size }, () => {
    const stream = `order-${random.below(streamsCount)}`
    const n = count()
    const dice = random.float()
    if (dice < 0.004) {
      return { stream: `poisoned-${random.below(3)}`, type: 'Poison', data: { n } }
    }
    if (dice < 0.02) {
      return { stream: `poisoned-${random.below(3)}`, type: 'Placed', data: { n } }
    }
    if (dice < 0.1) return { stream, type: 'Ordered', data: { n, fate: fateOf(random.float()) } }
    return { stream, type: 'Placed', data: { n } }
  })
}

function fateOf(dice: number): 'completed' | 'compensated' | 'needs-human' {
  if (dice < 0.45) return 'completed'
  return dice < 0.92 ? 'compensated' : 'needs-human'
}
