/** What is killed and what kills it: the broker, gateways and consumers in processes, and devices that append. */
import type { LogName } from '@tidemark/shared'
import type { Random } from '../random.ts'
import { createLines, fileIn, type Orders } from './child.ts'
import type { DeviceVerdict } from './device.ts'
import { createHunter, type Hunter } from './hunter.ts'
import { type Load, startLoad } from './load.ts'
import type { Targets } from './plan.ts'
import { type BrokerProcess, type End, openSlot, type Slot, startBroker } from './slots.ts'

/** Everything that runs. */
export interface World {
  readonly folder: string
  readonly hunter: Hunter
  readonly orders: Orders
  readonly broker: BrokerProcess
  readonly slots: readonly Slot[]
  readonly load: Load
  /** How each process ended so far. */
  readonly ends: End[]
  readonly verdicts: { log: LogName; id: string; verdict: DeviceVerdict }[]
  close(): Promise<void>
}

/** Starts the broker, two gateways, two consumers and the devices. */
export async function startWorld(options: {
  readonly folder: string
  readonly without: 'dedupe' | undefined
  readonly random: Random
  readonly targets: Targets
}): Promise<World> {
  const { folder, without, random, targets } = options
  const began = { folder, originMs: Date.now(), without }
  const broker = await startBroker({ ...began, connectionString: '' })
  const orders: Orders = { ...began, connectionString: broker.connectionString }
  const ends: End[] = []
  const verdicts: World['verdicts'] = []
  const hunter = createHunter(folder, random.fork('hunter'), targets)
  const open = (kind: Slot['kind']): Slot =>
    openSlot({
      kind,
      orders,
      onBegin: (slot) => hunter.onBegin(slot),
      onEnd: (_kind, end) => ends.push(end),
    })
  const slots = [open('gateway'), open('gateway'), open('consumer'), open('consumer')]
  const note = createLines(fileIn(folder, 'appended'))
  const gateways = slots.filter(({ kind }) => kind === 'gateway')
  const load = startLoad(
    random.fork('load'),
    gateways.map((slot) => () => slot.address),
    {
      onAppended: (device, log, lines) => note({ device, log, lines }),
      onVerdict: (log, id, verdict) => verdicts.push({ log, id, verdict }),
    },
  )
  return {
    folder,
    hunter,
    orders,
    broker,
    slots,
    load,
    ends,
    verdicts,
    async close() {
      load.close()
      await Promise.all(slots.map((slot) => slot.close()))
      await broker.close()
    },
  }
}
