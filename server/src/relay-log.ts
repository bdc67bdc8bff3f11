/** One log's relay: takes the lease, reads on from the cursor, publishes, parks, saves. */
import {
  assert,
  backoffMs,
  Doorbell,
  type ErrorCode,
  isTidemarkError,
  logKey,
  type LogName,
  type Position,
  recoveryOf,
  sleep,
  type System,
  TidemarkError,
} from '@tidemark/shared'
import type { Broker, PublishResult } from './broker/broker.ts'
import { runWithin } from './deadline.ts'
import type { Lease, Log, Parked, Remedy } from './log/log.ts'
import type { Logger } from './logger.ts'
import { type Item, RelayPages } from './relay-pages.ts'

/** How far a log has been brought to the broker. */
export interface Published {
  readonly log: LogName
  readonly upTo: Position
  readonly parked: readonly Parked[]
}

/**
 * A lease is held this long without being renewed, and renewed after a third of it, in milliseconds. So
 * long nothing is published after a gateway was killed. A publish that takes longer may be repeated by
 * another gateway, from the same cursor and in the same order: a repeat, which guarantee R3 allows, and no loss.
 */
const leaseMs = 10_000
/** How far the saved cursor may lag behind the broker's confirmations, in milliseconds. */
const saveMs = 100
/** The log is looked at again after this long, should a doorbell have been lost, in milliseconds. */
const pollMs = 1_000
/** A publish that has not been answered by then is taken for lost, in milliseconds. */
const publishMsMax = 60_000
const backoff = { firstMs: 200, maxMs: 30_000 }
/** How long a missing topic is looked for before streams are parked, in milliseconds: it may be on its way. */
const missingMsMax = 120_000

/** The relay of one log. */
export class LogRelay {
  readonly #log: Log
  readonly #broker: Broker
  readonly #system: System
  readonly #logger: Logger
  readonly #name: LogName
  readonly #holder: string
  readonly #onPublished: (published: Published) => void
  readonly #bell = new Doorbell()
  readonly #stop = new AbortController()
  readonly #done: Promise<void>
  #lease: Lease | undefined
  #leasedAt = 0
  /** Made anew with each lease. */
  #pages: RelayPages | undefined
  #cursor = 0 as Position
  #parked = new Map<string, Parked>()
  /** What has changed since the last save, and when that was. */
  #unsaved: { readonly parked: Set<string>; readonly unparked: Set<string> } | undefined
  #savedAt = 0
  /** What is to be done about parked streams. */
  #remedies = new Map<string, Remedy>()
  #lookedAt = 0
  /** When the broker first said that the topic is missing, by the monotonic clock; not since it last took something. */
  #missingSince: number | undefined
  #trouble: ErrorCode | undefined
  #published: Published | undefined

  constructor(options: {
    readonly log: Log
    readonly broker: Broker
    readonly system: System
    readonly logger: Logger
    readonly name: LogName
    readonly holder: string
    readonly onPublished: (published: Published) => void
  }) {
    this.#log = options.log
    this.#broker = options.broker
    this.#system = options.system
    this.#logger = options.logger
    this.#name = options.name
    this.#holder = options.holder
    this.#onPublished = options.onPublished
    this.#done = this.#run()
  }

  /** There may be new entries. */
  refresh(): void {
    this.#bell.ring()
  }

  /** The error that it waits out, if any. */
  get trouble(): ErrorCode | undefined {
    return this.#trouble
  }

  get parkedCount(): number {
    return this.#parked.size
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
        if (!(await this.#hasWork())) await this.#pause(pollMs)
        else if (!(await this.#hold())) await this.#pause(leaseMs / 3)
        else if (!(await this.#step())) await this.#pause(this.#unsaved ? saveMs : pollMs)
        failures = 0
      } catch (error) {
        this.#lease = undefined
        const fields = { event: 'relay-failed', log: logKey(this.#name), err: error }
        this.#logger.warn(fields, 'the relay starts again from its cursor')
        await sleep(this.#system, backoffMs(backoff, failures, this.#system.random), signal)
        failures += 1
      }
    }
    await this.#leave()
  }

  /** Is there anything that needs the lease? Renewing it is a write, and most logs rest most of the time. */
  async #hasWork(): Promise<boolean> {
    await this.#look()
    if (!this.#published || this.#unsaved || this.#remedies.size > 0) return true
    return (await this.#log.head(this.#name)).position > this.#cursor
  }

  /** Waits for a ring, or for `ms` milliseconds. */
  async #pause(ms: number): Promise<void> {
    const cancel = this.#system.after(ms, () => this.#bell.ring())
    await this.#bell.wait(this.#stop.signal)
    cancel()
  }

  /** Takes or renews the lease. With a new one, what was known is read again: somebody else may have moved on. */
  async #hold(): Promise<boolean> {
    const now = this.#system.mono()
    if (this.#lease && now - this.#leasedAt < leaseMs / 3) return true
    const lease = await this.#log.lease(this.#leaseName, this.#holder, leaseMs)
    this.#leasedAt = now
    if (lease && lease.term !== this.#lease?.term) {
      const { cursor, parked } = await this.#log.relayed(this.#name)
      const { epoch } = await this.#log.head(this.#name)
      this.#pages = new RelayPages(this.#log, this.#name, epoch, this.#system)
      this.#cursor = cursor
      this.#parked = new Map(parked.map((each) => [each.stream, each]))
      this.#unsaved = undefined
      this.#tell()
    }
    this.#lease = lease
    return lease !== undefined
  }

  get #leaseName(): string {
    return `relay/${logKey(this.#name)}`
  }

  /** Publishes one micro-batch. Answers whether there may be more to do at once. */
  async #step(): Promise<boolean> {
    const [remedy] = this.#remedies.values()
    if (remedy) return await this.#tryRedrive(remedy)
    const pages = this.#readable()
    const { upTo, more, items } = await pages.take(this.#cursor)
    const publishing = this.#publish(items.filter(({ entry }) => !this.#parked.has(entry.stream)))
    const [isPublished] = await Promise.all([publishing, more && pages.readAhead(upTo)])
    if (!isPublished) return false
    if (upTo > this.#cursor) {
      this.#cursor = upTo
      this.#changes()
    }
    const due = this.#system.mono() - this.#savedAt >= saveMs
    if (this.#unsaved && due) await this.#save()
    return more
  }

  #readable(): RelayPages {
    assert(this.#pages, 'the log is read under a lease')
    return this.#pages
  }

  /** Looks for what people have decided about parked streams, here or at another gateway or by a tool. */
  async #look(): Promise<void> {
    const now = this.#system.mono()
    if (this.#parked.size === 0 || now - this.#lookedAt < pollMs) return
    this.#lookedAt = now
    const { parked } = await this.#log.relayed(this.#name)
    for (const { stream, fromRevision, remedy } of parked) {
      const isCurrent = this.#parked.get(stream)?.fromRevision === fromRevision
      if (remedy && isCurrent) this.#remedies.set(stream, { stream, fromRevision, action: remedy })
    }
  }

  /** Publishes in order until each item is confirmed or its stream is parked. False where we have to stop. */
  async #publish(items: readonly Item[]): Promise<boolean> {
    let rest = items
    for (let attempt = 0; rest.length > 0;) {
      const [now, later] = this.#split(rest)
      const results = await this.#send(now)
      const parked = new Set<string>()
      const again: Item[] = []
      let waitFor: TidemarkError | undefined
      for (const [at, item] of now.entries()) {
        const error = results[at]
        const { stream } = item.entry
        if (!error || parked.has(stream)) continue
        if (this.#isFinal(error)) {
          this.#park(item, error, attempt + 1)
          parked.add(stream)
        } else {
          again.push(item)
          waitFor ??= error
        }
      }
      rest = [...again, ...later.filter(({ entry }) => !parked.has(entry.stream))]
      this.#note(waitFor)
      if (waitFor && !(await this.#backOff(waitFor, attempt))) return false
      attempt = waitFor ? attempt + 1 : 0
    }
    return true
  }

  /** What may be too large is the last of its stream in a send, so that nothing passes it should it be parked. */
  #split(items: readonly Item[]): readonly [readonly Item[], readonly Item[]] {
    const large = this.#broker.limits.messageBytesMax / 2
    const ended = new Set<string>()
    const later = new Set<Item>()
    for (const item of items) {
      const { stream } = item.entry
      if (ended.has(stream)) later.add(item)
      else if (item.message.body.length > large) ended.add(stream)
    }
    if (later.size === 0) return [items, []]
    return [items.filter((item) => !later.has(item)), [...later]]
  }

  async #send(items: readonly Item[]): Promise<readonly PublishResult[]> {
    const messages = items.map(({ message }) => message)
    const late = (): Error => new Error(`no answer within ${publishMsMax} ms`)
    try {
      return await runWithin(this.#system, publishMsMax, late, (signal) =>
        this.#broker.publish(this.#name.topic, messages, signal),
      )
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause)
      const error = new TidemarkError('BROKER_UNAVAILABLE', { reason }, { cause })
      return items.map(() => error)
    }
  }

  /** Will this never pass? A topic that is missing gets some time to appear. */
  #isFinal(error: TidemarkError): boolean {
    if (error.code !== 'ENTITY_MISSING') return recoveryOf(error) === 'never'
    const now = this.#system.mono()
    return now - (this.#missingSince ?? now) >= missingMsMax
  }

  #note(error: TidemarkError | undefined): void {
    if (!error) this.#missingSince = undefined
    else if (error.code === 'ENTITY_MISSING') this.#missingSince ??= this.#system.mono()
    if (error && this.#trouble === undefined) {
      const fields = { event: 'relay-waiting', log: logKey(this.#name), code: error.code }
      this.#logger.warn({ ...fields, err: error }, 'the broker takes nothing: the relay waits')
    }
    this.#trouble = error?.code
  }

  /** Waits before the next try, with the lease kept. False where it was lost, or we are to stop. */
  async #backOff(error: TidemarkError, attempt: number): Promise<boolean> {
    const retryAfterMs = isTidemarkError(error, 'BROKER_BUSY') ? error.details.retryAfterMs : 0
    const ms = backoffMs(backoff, attempt, this.#system.random, retryAfterMs)
    const until = this.#system.mono() + ms
    const term = this.#lease?.term
    while (!this.#stop.signal.aborted) {
      if (!(await this.#hold()) || this.#lease?.term !== term) return false
      const left = until - this.#system.mono()
      if (left <= 0) return true
      await sleep(this.#system, Math.min(left, leaseMs / 3), this.#stop.signal)
    }
    return false
  }

  #park({ entry }: Item, error: TidemarkError, attempts: number): void {
    const { stream, position, revision } = entry
    const { code, message: reason } = error
    const known = this.#parked.get(stream)
    const before = known?.fromPosition === position ? known.attempts : 0
    this.#parked.set(stream, {
      stream,
      fromPosition: position,
      fromRevision: revision,
      code,
      reason: reason.slice(0, 500),
      attempts: before + attempts,
    })
    const changes = this.#changes()
    changes.parked.add(stream)
    changes.unparked.delete(stream)
    const fields = { event: 'stream-parked', log: logKey(this.#name), stream, position, code }
    this.#logger.error(fields, 'the broker can never take this event: its stream is parked')
  }

  /** Publishes what a parked stream has up to the cursor, from the entry that it stopped at or the one behind it. */
  async #tryRedrive({ stream, fromRevision, action }: Remedy): Promise<boolean> {
    const parked = this.#parked.get(stream)
    // Another relay may have done it in the meantime, and parked the stream at a later event.
    if (parked?.fromRevision === fromRevision) {
      this.#missingSince = Number.NEGATIVE_INFINITY
      const discarded = action === 'discard' ? parked.fromPosition : 0
      let position = (parked.fromPosition - 1) as Position
      while (position < this.#cursor) {
        const page = await this.#readable().read(position)
        const items = page.items.filter(
          ({ entry }) =>
            entry.stream === stream &&
            entry.position >= parked.fromPosition &&
            entry.position !== discarded &&
            entry.position <= this.#cursor,
        )
        if (!(await this.#publish(items))) return false
        if (this.#parked.get(stream) !== parked) break
        position = page.upTo
      }
      if (this.#parked.get(stream) === parked) {
        this.#parked.delete(stream)
        const changes = this.#changes()
        changes.unparked.add(stream)
        changes.parked.delete(stream)
      }
      await this.#save()
    }
    this.#remedies.delete(stream)
    return true
  }

  #changes(): { readonly parked: Set<string>; readonly unparked: Set<string> } {
    this.#unsaved ??= { parked: new Set(), unparked: new Set() }
    return this.#unsaved
  }

  async #save(): Promise<void> {
    const unsaved = this.#unsaved
    if (!this.#lease || !unsaved) return
    await this.#log.saveRelayed(this.#lease, this.#name, {
      cursor: this.#cursor,
      parked: [...unsaved.parked].flatMap((stream) => this.#parked.get(stream) ?? []),
      unparked: [...unsaved.unparked],
    })
    this.#unsaved = undefined
    this.#savedAt = this.#system.mono()
    this.#tell()
  }

  #tell(): void {
    this.#published = { log: this.#name, upTo: this.#cursor, parked: [...this.#parked.values()] }
    this.#onPublished(this.#published)
  }

  /** Saves what was confirmed and gives the lease back. Where that fails, its time runs out by itself. */
  async #leave(): Promise<void> {
    try {
      await this.#save()
      if (this.#lease) await this.#log.release(this.#lease)
    } catch (error) {
      const fields = { event: 'relay-failed', log: logKey(this.#name), err: error }
      this.#logger.warn(fields, 'the relay could not save its cursor: what follows it is repeated')
    }
  }
}
