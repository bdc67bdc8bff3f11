/**
 * Log to subscribers. Each log has one loop that reads after its readers' cursors; readers who stand at
 * the same place share one frame, made once. How far a reader is sent ahead is bounded by what it says
 * it has applied, because a socket's own buffer says nothing about a slow device.
 */
import {
  backoffMs,
  Doorbell,
  type Epoch,
  logKey,
  type LogName,
  type Position,
  sleep,
  type System,
  writeFrame,
} from '@tidemark/shared'
import type { Log } from './log/log.ts'
import type { Logger } from './logger.ts'

/** About how much one frame carries, in UTF-16 code units. */
const pageLengthMax = 262_144
/** Frames that one log's loop keeps while it is busy. */
const framesMax = 16
/** Readers look again after this long, should a doorbell have been lost, in milliseconds. */
const pollMs = 1_000
const backoff = { firstMs: 200, maxMs: 10_000 }

/** Somebody who reads logs over one link. */
export interface Reader {
  /** May more be sent, by what was sent and not applied? */
  hasRoom(): boolean
  /** Sends a frame with entries, whose bytes others may be sent as well. */
  deliver(bytes: Uint8Array): void
  /** Sends a frame without entries. */
  tell(message: string): void
}

/** One reader's reading of one log. */
export interface Subscription {
  /** The reader has stored everything up to here. Returns the bytes that this frees. */
  applied(upTo: Position): number
  /** The reader has room again. */
  wake(): void
  /** Ends it. Returns the bytes that were sent and not applied. */
  close(): number
}

/** The loops that deliver. */
export interface Deliver {
  /** Starts to read after `position`. `head` is what `caughtUp` waits for. */
  subscribe(
    log: LogName,
    epoch: Epoch,
    position: Position,
    head: Position,
    reader: Reader,
  ): Subscription
  /** Tells all readers of a log something that is not an entry. */
  tell(log: LogName, message: string): void
  close(): Promise<void>
}

/** Builds deliver. */
export function createDeliver(options: {
  readonly log: Log
  readonly system: System
  readonly logger: Logger
}): Deliver {
  const { log, system } = options
  const feeds = new Map<string, Feed>()
  const stopHearing = log.onAppend((logs) => {
    for (const name of logs) feeds.get(logKey(name))?.refresh()
  })
  let stopPolling = (): void => {}
  const poll = (): void => {
    for (const feed of feeds.values()) feed.refresh()
    stopPolling = feeds.size > 0 ? system.after(pollMs, poll) : () => {}
  }

  return {
    subscribe(name, epoch, position, head, reader) {
      const key = logKey(name)
      let feed = feeds.get(key)
      if (!feed) {
        const onEmpty = (): void => {
          feeds.delete(key)
          if (feeds.size === 0) stopPolling()
        }
        feed = new Feed({ ...options, name, epoch, onEmpty })
        feeds.set(key, feed)
        if (feeds.size === 1) stopPolling = system.after(pollMs, poll)
      }
      return feed.join(position, head, reader)
    },
    tell(name, message) {
      feeds.get(logKey(name))?.tell(message)
    },
    async close() {
      stopHearing()
      stopPolling()
      await Promise.all([...feeds.values()].map((feed) => feed.close()))
    },
  }
}

/** Entries as they are sent. */
interface Frame {
  readonly bytes: Uint8Array
  readonly upTo: Position
  /** Was there more behind it when it was read? */
  readonly more: boolean
  /** The feed's `#news` when it was read. */
  readonly news: number
}

/** A subscription, as the feed keeps it. */
interface Place {
  readonly reader: Reader
  readonly head: Position
  sent: Position
  told: boolean
  /** The feed's `#news` at which the end of the log was seen from `sent`. */
  seen: number
  /** What was sent and not applied. */
  unapplied: { readonly upTo: Position; readonly bytes: number }[]
}

/** One log's loop. It lives as long as it has readers. */
class Feed {
  readonly #log: Log
  readonly #system: System
  readonly #logger: Logger
  readonly #name: LogName
  readonly #epoch: Epoch
  readonly #onEmpty: () => void
  readonly #places = new Set<Place>()
  readonly #frames = new Map<number, Frame>()
  readonly #bell = new Doorbell()
  readonly #stop = new AbortController()
  readonly #done: Promise<void>
  /** Rises whenever there may be new entries. */
  #news = 1

  constructor(options: {
    readonly log: Log
    readonly system: System
    readonly logger: Logger
    readonly name: LogName
    readonly epoch: Epoch
    readonly onEmpty: () => void
  }) {
    this.#log = options.log
    this.#system = options.system
    this.#logger = options.logger
    this.#name = options.name
    this.#epoch = options.epoch
    this.#onEmpty = options.onEmpty
    this.#done = this.#run()
  }

  join(position: Position, head: Position, reader: Reader): Subscription {
    const place: Place = { reader, head, sent: position, told: false, seen: 0, unapplied: [] }
    this.#places.add(place)
    this.#bell.ring()
    return {
      applied: (upTo) => {
        let freed = 0
        while (place.unapplied[0] && place.unapplied[0].upTo <= upTo) {
          freed += place.unapplied.shift()?.bytes ?? 0
        }
        return freed
      },
      wake: () => this.#bell.ring(),
      close: () => {
        if (this.#places.delete(place) && this.#places.size === 0) {
          this.#onEmpty()
          this.#stop.abort()
        }
        return place.unapplied.splice(0).reduce((sum, { bytes }) => sum + bytes, 0)
      },
    }
  }

  /** There may be new entries. */
  refresh(): void {
    this.#news += 1
    this.#bell.ring()
  }

  tell(message: string): void {
    for (const { reader } of this.#places) reader.tell(message)
  }

  async close(): Promise<void> {
    this.#stop.abort()
    await this.#done
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop
    let failures = 0
    while (!signal.aborted) {
      try {
        const sent = await this.#round()
        failures = 0
        // Between two rounds the sockets get their turn: what was applied is heard, and others are served.
        if (sent) await this.#system.breathe()
        else await this.#rest()
      } catch (error) {
        failures += 1
        const fields = { event: 'deliver-failed', log: logKey(this.#name), err: error }
        this.#logger.warn(fields, 'the log could not be read')
        const { random } = this.#system
        await sleep(this.#system, backoffMs(backoff, failures, random), signal)
      }
    }
  }

  #rest(): Promise<void> {
    this.#frames.clear()
    return this.#bell.wait(this.#stop.signal)
  }

  /** Sends each reader that may have more one frame. Answers whether any was sent. */
  async #round(): Promise<boolean> {
    let sent = false
    for (const place of this.#places) {
      if (this.#stop.signal.aborted) return false
      if (place.seen === this.#news || !place.reader.hasRoom()) continue
      const frame = await this.#frameAfter(place.sent)
      if (!this.#places.has(place)) continue
      if (frame.upTo > place.sent) {
        place.sent = frame.upTo
        place.unapplied.push({ upTo: frame.upTo, bytes: frame.bytes.length })
        place.reader.deliver(frame.bytes)
        sent = true
      }
      if (!frame.more) place.seen = frame.news
      if (!place.told && place.sent >= place.head) {
        place.told = true
        const { topic, scope } = this.#name
        place.reader.tell(writeFrame({ type: 'caughtUp', topic, scope, upTo: place.sent }))
      }
    }
    return sent
  }

  async #frameAfter(after: Position): Promise<Frame> {
    const known = this.#frames.get(after)
    if (known && (known.upTo > after || known.news === this.#news)) return known
    const news = this.#news
    const { upTo, chunks, more } = await this.#log.read(this.#name, after, pageLengthMax)
    const head = writeFrame({
      type: 'deliver',
      ...this.#name,
      epoch: this.#epoch,
      after,
      upTo,
      entries: [],
    })
    const frame = { bytes: Buffer.from([head, ...chunks].join('\n')), upTo, more, news }
    this.#frames.set(after, frame)
    const oldest = this.#frames.keys().next()
    if (this.#frames.size > framesMax && !oldest.done) this.#frames.delete(oldest.value)
    return frame
  }
}
