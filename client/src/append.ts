/**
 * Hop 1, app to outbox. An append resolves when its transaction is complete on this device, and shows
 * nothing before. Calls that come while one transaction is under way share the next.
 */
import {
  type Claim,
  type DomainEvent,
  Doorbell,
  type Draft,
  type EventId,
  isTidemarkError,
  type Limits,
  parseClaim,
  type System,
  TidemarkError,
  type Topic,
  type Verdict,
  writeClaim,
} from '@tidemark/shared'
import { utf8Length } from './bytes.ts'
import type { Replica } from './replica.ts'
import type { Batch, Durability, Store } from './store/store.ts'
import { noDisk } from './sync.ts'

/** What goes with an append. */
export interface AppendOptions {
  /** The revision that the stream must have; another one is refused with `REVISION_CONFLICT`. */
  readonly expectedRevision?: number
  /** The newest pending event that the decision saw. */
  readonly after?: EventId
  /** The event that these answer. */
  readonly causationId?: EventId
  /** The conversation that these belong to. */
  readonly correlationId?: string
  /** W3C Trace Context. */
  readonly traceparent?: string
  /** `relaxed` unless said otherwise: see `Durability`. */
  readonly durability?: Durability
}

/** An append that is durable on this device. */
export interface Appended {
  readonly ids: readonly EventId[]
  /** The gateway's verdict: of the first event where it was accepted, else of the one that was the reason. May take days. */
  readonly settled: Promise<Verdict>
}

/**
 * Appends an event, or several of one topic as one batch that is accepted or refused as a whole. Resolves
 * when they are durable on this device, network or not.
 *
 * Rejects with `UNKNOWN_TOPIC`, `UNKNOWN_TYPE`, `SCHEMA_INVALID`, `NOT_JSON`, `BAD_EVENT`, `KEY_TOO_LONG`,
 * `EVENT_TOO_LARGE`, `BATCH_MIXED`, `BATCH_TOO_LARGE`, `CLOSED` or one of the `STORAGE_` codes. Nothing was
 * saved then.
 */
export type Append = (
  drafts: Draft | readonly Draft[],
  options?: AppendOptions,
) => Promise<Appended>

/** What appends need. */
export interface AppendPorts {
  readonly store: Store | undefined
  readonly replica: Replica
  readonly system: System
  readonly scope: string
  readonly user: string
  readonly topics: ReadonlyMap<string, Topic>
  /** What the gateway announced last. */
  readonly limits: () => Limits
  /** Another tab should have a look at the database. */
  readonly onWritten: () => void
  /** Rows of other tabs are to be loaded before ours. */
  readonly onGap: () => void
  /** What the disk answered: an error, or nothing wrong. */
  readonly onStorage: (error: unknown) => void
}

interface Prepared {
  readonly batch: Batch
  readonly events: readonly DomainEvent[]
  readonly durability: Durability
}

interface Call extends Prepared {
  readonly resolve: (appended: Appended) => void
  readonly reject: (error: unknown) => void
}

/** Batches that share one transaction. */
const batchesMax = 2_000

/** Starts to take appends, until `signal` aborts. */
export function openAppend(ports: AppendPorts, signal: AbortSignal): Append {
  const inbox: Call[] = []
  const bell = new Doorbell()
  void run()
  return async (drafts, options = {}) => {
    if (signal.aborted) throw new TidemarkError('CLOSED')
    const prepared = prepare(ports, 'topic' in drafts ? [drafts] : drafts, options)
    return new Promise((resolve, reject) => {
      inbox.push({ ...prepared, resolve, reject })
      bell.ring()
    })
  }

  async function run(): Promise<void> {
    while (!signal.aborted) {
      await bell.wait(signal)
      while (inbox.length > 0) await writeCalls(ports, takeCalls(inbox))
    }
    for (const call of inbox) call.reject(new TidemarkError('CLOSED'))
  }
}

/** The calls that go into one transaction: all of one durability, in order. */
function takeCalls(inbox: Call[]): readonly Call[] {
  const durability = inbox[0]?.durability
  const other = inbox.slice(0, batchesMax).findIndex((call) => call.durability !== durability)
  return inbox.splice(0, other < 0 ? batchesMax : other)
}

async function writeCalls(ports: AppendPorts, calls: readonly Call[]): Promise<void> {
  const { store, replica, onWritten, onGap, onStorage } = ports
  const settled = calls.map((call) => replica.writing(call.events.map(({ id }) => id)))
  let seqs: readonly number[]
  try {
    if (!store) throw noDisk()
    const batches = calls.map((call) => call.batch)
    seqs = await store.append(batches, calls[0]?.durability)
  } catch (error) {
    onStorage(error)
    for (const { events, reject } of calls) {
      replica.failed(events.map(({ id }) => id))
      reject(error)
    }
    return
  }
  const rows = calls.map(({ batch, events }, at) => ({ ...batch, events, seq: seqs[at] ?? 0 }))
  if (!replica.appended(rows)) onGap()
  onWritten()
  onStorage(undefined)
  for (const [at, { events, resolve }] of calls.entries()) {
    const verdict = settled[at]
    if (verdict) resolve({ ids: events.map(({ id }) => id), settled: verdict })
  }
}

/** Checks everything that can be checked before the disk is touched. */
function prepare(ports: AppendPorts, drafts: readonly Draft[], options: AppendOptions): Prepared {
  const { scope, user, limits } = ports
  const topic = oneTopic(ports, drafts)
  const { batchEventsMax } = limits()
  if (drafts.length > batchEventsMax) {
    throw new TidemarkError('BATCH_TOO_LARGE', { events: drafts.length, max: batchEventsMax })
  }
  const lines = drafts.map((draft) => writeLine(ports, topic, draft, options))
  const events = lines.map((line) => ({ topic: topic.name, scope, author: user, ...read(line) }))
  const { after, expectedRevision, durability = 'relaxed' } = options
  return {
    batch: {
      topic: topic.name,
      scope,
      lines,
      ...(after !== undefined && { after }),
      ...(expectedRevision !== undefined && { expectedRevision }),
    },
    events,
    durability,
  }
}

function oneTopic({ topics, scope }: AppendPorts, drafts: readonly Draft[]): Topic {
  const names = [...new Set(drafts.map((draft) => draft.topic))]
  const [name] = names
  if (name === undefined) throw new TidemarkError('BAD_EVENT', { reason: 'a batch without events' })
  if (names.length > 1) {
    throw new TidemarkError('BATCH_MIXED', { logs: names.map((each) => `${each}/${scope}`) })
  }
  const topic = topics.get(name)
  if (!topic) throw new TidemarkError('UNKNOWN_TOPIC', { topic: name })
  return topic
}

function writeLine(
  { system, scope, limits }: AppendPorts,
  topic: Topic,
  { stream, type, version, data }: Draft,
  { causationId, correlationId, traceparent }: AppendOptions,
): string {
  const { keyLengthMax, eventBytesMax } = limits()
  const key = `${scope}/${stream}`
  if (key.length > keyLengthMax) throw new TidemarkError('KEY_TOO_LONG', { key, max: keyLengthMax })
  const line = toLine({
    id: system.uuid() as EventId,
    stream,
    type,
    version,
    data: topic.check(type, version, data),
    occurredAt: system.now(),
    ...(causationId !== undefined && { causationId }),
    ...(correlationId !== undefined && { correlationId }),
    ...(traceparent !== undefined && { traceparent }),
  })
  const bytes = utf8Length(line)
  if (bytes > eventBytesMax)
    throw new TidemarkError('EVENT_TOO_LARGE', { bytes, max: eventBytesMax })
  return line
}

function toLine(claim: Claim): string {
  try {
    return writeClaim(claim)
  } catch (cause) {
    throw new TidemarkError('NOT_JSON', { reason: String(cause).slice(0, 200) }, { cause })
  }
}

/** The event as everybody will read it, so that what is shown now is what is shown after a reload. */
function read(line: string): Claim {
  try {
    return parseClaim(line)
  } catch (cause) {
    const reason = isTidemarkError(cause, 'BAD_FRAME') ? cause.details.reason : String(cause)
    throw new TidemarkError('BAD_EVENT', { reason }, { cause })
  }
}
