/**
 * Where deliveries wait for their transaction. Batches begin with one event and double while they are
 * quick, so a consumer that comes back after an outage does not begin with a heap, and one event that
 * kills the process is soon alone.
 */
import { Doorbell, type System } from '@tidemark/shared'
import type { Delivery } from './delivery.ts'

/** What a lane does with its batches, and how large they are. */
export interface LaneOptions {
  readonly system: System
  readonly batchEventsMax: number
  /** Batches that take longer are halved, in ms. */
  readonly batchMsMax: number
  handle(batch: readonly Delivery[]): Promise<void>
  onRoom(): void
  /** A batch failed for a reason that is not its events': the lane does nothing more. */
  onTrouble(error: unknown): void
}

/** A loop with its own batches. */
export interface Lane {
  add(delivery: Delivery): void
  /** How many deliveries it would like to have now. */
  room(): number
  /** Ends after the batch at hand. */
  close(): Promise<void>
}

/** Builds a lane, and starts its loop. */
export function createLane(options: LaneOptions): Lane {
  const { system, batchEventsMax, batchMsMax } = options
  const bell = new Doorbell()
  /** By id: the same event twice is one delivery with two messages. */
  const waiting = new Map<string, Delivery>()
  let size = 1
  let isOver = false

  async function run(): Promise<void> {
    while (!isOver) {
      const batch = [...waiting.values()].slice(0, size)
      if (batch.length === 0) {
        await bell.wait()
        continue
      }
      for (const { event } of batch) waiting.delete(event.id)
      const began = system.mono()
      try {
        await options.handle(batch)
      } catch (error) {
        isOver = true
        options.onTrouble(error)
      }
      const isQuick = system.mono() - began <= batchMsMax
      size = isQuick
        ? Math.min(batchEventsMax, size * 2)
        : Math.max(1, Math.floor(batch.length / 2))
      options.onRoom()
      await system.breathe()
    }
  }

  const done = run()
  return {
    add(delivery) {
      const known = waiting.get(delivery.event.id)
      if (known) known.received.push(...delivery.received)
      else waiting.set(delivery.event.id, delivery)
      bell.ring()
    },
    // One batch is being handled, and one waits: then neither the broker nor the database has to.
    room: () => (isOver ? 0 : Math.max(0, 2 * size - waiting.size)),
    async close() {
      isOver = true
      bell.ring()
      await done
    },
  }
}
