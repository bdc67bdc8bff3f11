/** Tidemark's side of the rows about apply, and the filled databases that other rows begin with. */
import type { Client } from '@tidemark/client'
import type { Connect } from '@tidemark/shared'
import { v7 } from 'uuid'
import { inventory } from '../inventory.ts'
import { deleteDatabases, keysCount, openPlain, openStock } from './device.ts'
import { writeFrames } from './entries.ts'
import { scriptedGateway } from './gateway.ts'
import { checkpointsOf, onTransaction } from './requests.ts'

/** What applying a log came to, in entries a second. */
export interface Applied {
  readonly perSecond: number
  /** Until the states were on the disk as well, without the time in which the client only waits for more changes. */
  readonly perSecondKept: number
}

/** Receives a log of `count` entries without a model, and says how many a second are stored. */
export async function tidemarkApply(count: number): Promise<number> {
  const { client, ms } = await receive(count, writeFrames(count), (connect) =>
    openPlain(v7(), connect),
  )
  await checkEntries(client, count)
  await client.close()
  await deleteDatabases()
  return (count / ms) * 1_000
}

/** Receives a log of `count` entries and folds it to a model. */
export async function tidemarkFold(count: number): Promise<Applied> {
  const user = v7()
  let appliedMs = Infinity
  let keptMs = 0
  const stop = onTransaction('states', 'readwrite', (startMs, endMs) => {
    // What was written before the last entry was applied is in that time.
    keptMs += Math.max(0, endMs - Math.max(startMs, appliedMs))
  })
  const { client, ms } = await fill(user, count, () => (appliedMs = performance.now()))
  stop()
  await checkEntries(client, count)
  const { items } = client.model.stock.list().getSnapshot()
  if (items.length !== keysCount) throw new Error(`folded ${items.length} keys`)
  await client.close()
  await deleteDatabases()
  return { perSecond: (count / ms) * 1_000, perSecondKept: (count / (ms + keptMs)) * 1_000 }
}

/** Puts a log of `count` entries into a user's database, and the states of its model, and leaves it there. */
export async function fillDevice(user: string, count: number): Promise<void> {
  const { client } = await fill(user, count)
  await client.close()
}

async function fill(user: string, count: number, onApplied?: () => void) {
  const received = await receive(
    count,
    writeFrames(count, keysCount),
    (connect) => openStock(user, connect),
    onApplied,
  )
  const isKept = async (): Promise<boolean> =>
    (await checkpointsOf(user)).some(({ position }) => position === count)
  while (!(await isKept())) await new Promise((resolve) => setTimeout(resolve, 100))
  return received
}

async function receive<Device>(
  count: number,
  frames: readonly string[],
  open: (connect: Connect) => Device,
  onApplied: () => void = () => undefined,
): Promise<{ readonly client: Device; readonly ms: number }> {
  let startMs = 0
  let onDone: (ms: number) => void = () => undefined
  const done = new Promise<number>((resolve) => (onDone = resolve))
  const client = open(
    scriptedGateway(frames, {
      onHello: () => void (startMs = performance.now()),
      onApplied(upTo) {
        if (upTo !== count) return
        onDone(performance.now() - startMs)
        onApplied()
      },
    }),
  )
  return { client, ms: await done }
}

/** Throws unless the device holds the entries 1 to `count`, in order. */
async function checkEntries(client: Pick<Client, 'entries'>, count: number): Promise<void> {
  let last = 0
  for (;;) {
    const entries = await client.entries(inventory, last)
    if (entries.length === 0) break
    for (const { position } of entries) {
      if (position !== last + 1) throw new Error(`entry ${position} comes after ${last}`)
      last = position
    }
  }
  if (last !== count) throw new Error(`applied ${count} entries, ${last} are stored`)
}
