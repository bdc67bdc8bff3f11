/** The entries that a device is given: the same frames, as a gateway would write them. */
import {
  type Claim,
  type Epoch,
  type Position,
  writeClaim,
  writeEntry,
  writeFrame,
} from '@tidemark/shared'
import { v7 } from 'uuid'
import { log, makeData, makeStream } from '../inventory.ts'

/** The epoch of the log that the frames deliver. */
export const epoch = v7() as Epoch

/** Entries in a frame: about 200 KiB. */
const frameEntries = 500

/** The deliver frames of a log with `count` entries on so many streams, as texts. */
export function writeFrames(count: number, streams?: number): readonly string[] {
  const frames: string[] = []
  for (let after = 0; after < count; after += frameEntries) {
    const upTo = Math.min(after + frameEntries, count)
    const entries = Array.from({ length: upTo - after }, (_, index) =>
      writeLine(after + index + 1, streams),
    )
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

const writeLine = (position: number, streams = 1_000): string =>
  writeEntry(
    {
      position,
      revision: Math.ceil(position / streams),
      receivedAt: 1_790_000_000_500 + position,
      source: 'client',
      author: 'u-42',
    },
    writeClaim({
      id: v7() as Claim['id'],
      stream: makeStream(position, streams),
      type: 'StockPicked',
      version: 1,
      data: makeData(position),
      occurredAt: 1_790_000_000_000 + position,
    }),
  )
