/** The entries that both sides of `apply` are given: the same frames, as a gateway would write them. */
import {
  type Claim,
  type Epoch,
  type Position,
  writeClaim,
  writeEntry,
  writeFrame,
} from '@tidemark/shared'
import { v7 } from 'uuid'

/** The log that the frames deliver. */
export const log = { topic: 'inventory', scope: 'bench' }
/** Its epoch. */
export const epoch = v7() as Epoch

/** Entries in a frame: about 250 KiB, which is what a gateway sends. */
export const frameEntries = 500

/** The claim of event number `n`, of about 300 bytes. */
export const makeClaim = (n: number): Claim => ({
  id: v7() as Claim['id'],
  stream: `sku-${n % 1_000}`,
  type: 'StockPicked',
  version: 1,
  occurredAt: 1_790_000_000_000 + n,
  data: makeData(n),
})

/** Its data. */
export const makeData = (n: number) => ({
  quantity: 1 + (n % 9),
  reason: 'sale',
  order: `order-${n}`,
  location: 'aisle 14, rack 3, shelf 2',
  note: 'picked by hand, counted twice, packed with the others of its order',
})

/** The deliver frames of a log with `count` entries, as texts. */
export function writeFrames(count: number): readonly string[] {
  const frames: string[] = []
  for (let after = 0; after < count; after += frameEntries) {
    const upTo = Math.min(after + frameEntries, count)
    const entries = Array.from({ length: upTo - after }, (_, index) => {
      const position = after + index + 1
      const revision = Math.ceil(position / 1_000)
      const receivedAt = 1_790_000_000_500 + position
      const placement = {
        position,
        revision,
        receivedAt,
        source: 'client',
        author: 'u-42',
      } as const
      return writeEntry(placement, writeClaim(makeClaim(position)))
    })
    frames.push(
      writeFrame({
        type: 'deliver',
        ...log,
        epoch,
        after: after as Position,
        upTo: upTo as Position,
        entries,
      }),
    )
  }
  return frames
}
