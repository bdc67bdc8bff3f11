/**
 * Hop 1, app to outbox. An append resolves when its transaction is complete on this device, and shows
 * nothing before. Calls that come while one transaction is under way share the next; a command is decided
 * when everything before it is shown.
 */
import {
  type Denial,
  Doorbell,
  type Draft,
  type EventId,
  isTidemarkError,
  TidemarkError,
  type Verdict,
} from '@tidemark/shared'
import { prepare, type Prepared, type PreparePorts, type Ties } from './prepare.ts'
import type { Replica } from './replica.ts'
import type { Durability, Refusal, Store } from './store/store.ts'

/** What goes with an append. */
export interface AppendOptions extends Ties {
  /** The revision that the stream must have; another one is refused with `REVISION_CONFLICT`. */
  readonly expectedRevision?: number | undefined
  /** The newest pending event that the decision saw. */
  readonly after?: EventId | undefined
  /** `relaxed` unless said otherwise: see `Durability`. */
  readonly durability?: Durability
}

/** What finally became of what was appended: the gateway's verdict, the command's own denial, or taken back by the app. */
export type Outcome<Denied extends Denial = never> =
  | Extract<Verdict, { type: 'accepted' }>
  | { readonly type: 'refused'; readonly refusal: Refusal<Denied> }
  | { readonly type: 'withdrawn' }

/** An append that is durable on this device. */
export interface Appended {
  readonly ids: readonly EventId[]
  /** What became of it: of the first event where it was accepted, else of the one that was the reason. May take days. */
  readonly settled: Promise<Outcome>
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
export interface AppendPorts extends PreparePorts {
  readonly store: Store
  readonly replica: Replica
  /** Another tab should have a look at the database. */
  readonly onWritten: () => void
  /** Rows of other tabs are to be loaded before ours. */
  readonly onGap: () => void
  /** What the disk answered: an error, or nothing wrong. */
  readonly onStorage: (error: unknown) => void
}

/** What is asked to be written. */
export interface Wanted {
  /** What to write, asked for when all that was wanted before is shown; or why nothing is. */
  readonly prepare: () => Prepared | Denial
  /** The stream whose state `prepare` looks at, as `topic/stream`. */
  readonly looksAt?: string | undefined
  readonly durability?: Durability | undefined
  /** Refused events that leave their list with this. */
  readonly resolves?: readonly EventId[]
}

/** A batch that is durable on this device. */
export interface Written {
  readonly ok: true
  readonly ids: readonly EventId[]
  /** What became of it, and of which events: a command that was decided again has others. */
  readonly settled: Promise<Settled>
}

/** An outcome, and the events that it is about. */
export type Settled<Denied extends Denial = Denial> = Outcome<Denied> & {
  readonly ids: readonly EventId[]
}

/** Writes batches to the outbox, one after the other. */
export interface Writer {
  write(wanted: Wanted): Promise<Written | Denial>
}

interface Call extends Wanted {
  readonly resolve: (written: Written | Denial) => void
  readonly reject: (error: unknown) => void
}

interface Ready extends Prepared {
  readonly call: Call
}

/** Batches that share one transaction. */
const batchesMax = 2_000

/** Starts to take what is to be written, until `signal` aborts. */
export function openWriter(ports: AppendPorts, signal: AbortSignal): Writer {
  const inbox: Call[] = []
  const bell = new Doorbell()
  void run()
  return {
    write: (wanted) =>
      new Promise((resolve, reject) => {
        if (signal.aborted) throw new TidemarkError('CLOSED')
        inbox.push({ ...wanted, resolve, reject })
        bell.ring()
      }),
  }

  async function run(): Promise<void> {
    while (!signal.aborted) {
      await bell.wait(signal)
      // After the end the store takes nothing more: what is still here hears of that.
      while (inbox.length > 0) await writeReady(ports, takeReady(inbox))
    }
  }
}

/** Appends facts. */
export function openAppend(ports: PreparePorts, writer: Writer): Append {
  return async (drafts, options = {}) => {
    const prepared = prepare(ports, 'topic' in drafts ? [drafts] : drafts, options, options)
    const written = await writer.write({
      prepare: () => prepared,
      durability: options.durability,
    })
    return toAppended(written)
  }
}

/** What `append` answers with, where nothing could be decided against. */
export function toAppended(written: Written | Denial): Appended {
  if (!written.ok) throw new TidemarkError('BAD_EVENT', { reason: written.code })
  // Facts are not decided again, so their refusals are the gateway's.
  return {
    ids: written.ids,
    settled: written.settled.then(({ ids: _ids, ...rest }) => rest as Outcome),
  }
}

/** The calls that go into one transaction: in order, and none that has to see another. */
function takeReady(inbox: Call[]): readonly Ready[] {
  const ready: Ready[] = []
  const touched = new Set<string>()
  let seen = 0
  for (const call of inbox.slice(0, batchesMax)) {
    const isOther = ready[0] && !mayShare(ready[0].call, call)
    if (isOther || (call.looksAt !== undefined && touched.has(call.looksAt))) break
    seen += 1
    const prepared = prepareCall(call)
    if (!prepared) continue
    for (const { topic, stream } of prepared.events) touched.add(`${topic}/${stream}`)
    ready.push({ ...prepared, call })
  }
  inbox.splice(0, seen)
  return ready
}

/** What deals with a refused event may fail because another tab has dealt with it, and then takes nobody along. */
const mayShare = (a: Wanted, b: Wanted): boolean =>
  a.durability === b.durability && !a.resolves && !b.resolves

function prepareCall(call: Call): Prepared | undefined {
  try {
    const prepared = call.prepare()
    if ('batch' in prepared) return prepared
    call.resolve(prepared)
  } catch (error) {
    call.reject(error)
  }
  return undefined
}

async function writeReady(ports: AppendPorts, ready: readonly Ready[]): Promise<void> {
  const { store, replica, onWritten, onGap, onStorage } = ports
  if (ready.length === 0) return
  const idsOf = ready.map(({ events }) => events.map(({ id }) => id))
  const settled = idsOf.map((ids) => replica.writing(ids))
  const resolved = ready.flatMap(({ call }) => call.resolves ?? [])
  let seqs: readonly number[]
  try {
    const batches = ready.map(({ batch }) => batch)
    seqs = await store.append(batches, ready[0]?.call.durability ?? 'relaxed', resolved)
  } catch (error) {
    // That somebody else has dealt with a refused event is not the disk's fault.
    if (!isTidemarkError(error, 'NOT_REFUSED')) onStorage(error)
    for (const [at, { call }] of ready.entries()) {
      replica.failed(idsOf[at] ?? [])
      call.reject(error)
    }
    return
  }
  const rows = ready.map(({ batch, events }, at) => ({ ...batch, events, seq: seqs[at] ?? 0 }))
  if (resolved.length > 0) replica.discarded(resolved)
  if (!replica.appended(rows)) onGap()
  onWritten()
  onStorage(undefined)
  for (const [at, { call }] of ready.entries()) {
    const [ids, outcome] = [idsOf[at], settled[at]]
    if (ids && outcome) call.resolve({ ok: true, ids, settled: outcome })
  }
}
