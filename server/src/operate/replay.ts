/**
 * Publishes history again, for one subscription's readers: a service that comes late reads it from the bus as
 * if it had been there. Every message says that it is replayed and whom it is for, and has the id that its event
 * always had; its message id is another one, or the broker's duplicate window would swallow it.
 */
import {
  backoffMs,
  isTidemarkError,
  type LogName,
  parseEntry,
  type Position,
  recoveryOf,
  sleep,
  type System,
} from '@tidemark/shared'
import type { Broker, Message, PublishResult } from '../broker/broker.ts'
import { toMessage } from '../cloudevents.ts'
import type { Log } from '../log/log.ts'

/** What to publish again, and for whom. */
export interface ReplayOptions {
  readonly log: Log
  readonly broker: Broker
  readonly name: LogName
  readonly subscription: string
  /** The first position. */
  readonly from: number
  /** The last position. */
  readonly to: number
  /**
   * A number of this run. Messages of one run have the same message ids when they are sent twice, so a run that
   * was broken off is resumed with its number; another run passes the broker's duplicate window.
   */
  readonly run: number
  readonly system: System
  readonly signal?: AbortSignal | undefined
  /** Hears how far it has come, and why it waits. */
  readonly onProgress?: (progress: ReplayProgress) => void
}

/** How far a replay has come. */
export interface ReplayProgress {
  /** Everything from the first position up to here is published or left out. */
  readonly upTo: Position
  readonly published: number
  /** What the broker cannot carry: it is left out, and counted. */
  readonly leftOut: readonly { readonly position: number; readonly code: string }[]
  /** The code of what it waits out. */
  readonly waitingFor?: string | undefined
}

/** One read of the log, in UTF-16 code units of lines. */
const pageLengthMax = 131_072
const backoff = { firstMs: 500, maxMs: 30_000 }

interface Item {
  readonly position: number
  readonly message: Message
}

/**
 * Publishes the entries `from` to `to` again, in order. Throws `ENTITY_MISSING` where the topic is not there; what
 * passes is waited out. Where the signal aborts it ends early, between two batches.
 */
export async function replay(options: ReplayOptions): Promise<ReplayProgress> {
  const { log, name, from, to, signal, onProgress } = options
  const { epoch } = await log.head(name)
  let progress: ReplayProgress = { upTo: (from - 1) as Position, published: 0, leftOut: [] }
  while (progress.upTo < to) {
    if (signal?.aborted) break
    const page = await log.read(name, progress.upTo, pageLengthMax)
    if (page.upTo === progress.upTo) break
    const lines = page.chunks.flatMap((chunk) => chunk.split('\n'))
    const items = lines
      .map((line) => ({ line, entry: parseEntry(name, line) }))
      .filter(({ entry }) => entry.position <= to)
      .map(({ line, entry }) => ({
        position: entry.position,
        message: mark(toMessage(name, epoch, line, entry), options),
      }))
    const published = await publish(options, items, progress)
    if (!published) break
    progress = { ...published, upTo: Math.min(page.upTo, to) as Position }
    onProgress?.(progress)
  }
  return progress
}

/** Says that a message is sent again from history, and for whom. */
const mark = (message: Message, { subscription, run }: ReplayOptions): Message => ({
  ...message,
  attributes: { ...message.attributes, replayed: 'true', onlyfor: subscription },
  resend: `${subscription}.${run}`,
})

/** Publishes until every item is confirmed or left out. Undefined where it was told to end before. */
async function publish(
  options: ReplayOptions,
  items: readonly Item[],
  before: ReplayProgress,
): Promise<ReplayProgress | undefined> {
  const { broker, name, system, signal, onProgress } = options
  const leftOut = [...before.leftOut]
  let published = before.published
  let rest = items
  for (let attempt = 0; rest.length > 0; attempt += 1) {
    const messages = rest.map(({ message }) => message)
    const results = await broker.publish(name.topic, messages)
    const again: Item[] = []
    let waitFor: PublishResult
    for (const [at, item] of rest.entries()) {
      const error = results[at]
      if (!error) published += 1
      else if (error.code === 'ENTITY_MISSING') throw error
      else if (recoveryOf(error) === 'never')
        leftOut.push({ position: item.position, code: error.code })
      else {
        again.push(item)
        waitFor ??= error
      }
    }
    rest = again
    if (!waitFor) continue
    if (signal?.aborted) return undefined
    onProgress?.({ ...before, published, leftOut, waitingFor: waitFor.code })
    const least = isTidemarkError(waitFor, 'BROKER_BUSY') ? waitFor.details.retryAfterMs : 0
    await sleep(system, backoffMs(backoff, attempt, system.random, least), signal)
  }
  return { upTo: before.upTo, published, leftOut }
}
