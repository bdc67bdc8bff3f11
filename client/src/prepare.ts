/** Drafts to a batch: everything that can be checked is checked here, before the disk is touched. */
import {
  type Claim,
  type DomainEvent,
  type Draft,
  type EventId,
  isTidemarkError,
  type Limits,
  parseClaim,
  type System,
  TidemarkError,
  type Topic,
  writeClaim,
} from '@tidemark/shared'
import { findExcess } from './bytes.ts'
import type { Batch } from './store/store.ts'

/** What an event may say of where it belongs. */
export interface Ties {
  /** The event that these answer. */
  readonly causationId?: EventId | undefined
  /** The conversation that these belong to. */
  readonly correlationId?: string | undefined
  /** W3C Trace Context. */
  readonly traceparent?: string | undefined
}

/** What preparing needs. */
export interface PreparePorts {
  readonly system: System
  readonly scope: string
  readonly user: string
  readonly topics: ReadonlyMap<string, Topic>
  /** What the gateway announced last. */
  readonly limits: () => Limits
}

/** A batch that can be written, with its events. */
export interface Prepared {
  readonly batch: Batch
  readonly events: readonly DomainEvent[]
}

/** What goes into a batch beside its events. */
type Extras = Pick<Batch, 'after' | 'expectedRevision' | 'decision'>

/** Makes a batch of drafts. `idOf` names the event at a place. Throws what `append` rejects with. */
export function prepare(
  ports: PreparePorts,
  drafts: readonly Draft[],
  ties: Ties,
  { after, expectedRevision, decision }: Partial<Extras>,
  idOf: (at: number) => string = () => ports.system.uuid(),
): Prepared {
  const { scope, user, limits } = ports
  const topic = oneTopic(ports, drafts)
  const lines = drafts.map((draft, at) => writeLine(ports, topic, draft, ties, idOf(at) as EventId))
  const excess = findExcess(lines, limits())
  if (excess) throw excess.error
  return {
    batch: {
      topic: topic.name,
      scope,
      lines,
      after,
      expectedRevision,
      decision,
    },
    events: lines.map((line) => ({ topic: topic.name, scope, author: user, ...read(line) })),
  }
}

function oneTopic({ topics, scope }: PreparePorts, drafts: readonly Draft[]): Topic {
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
  { system, scope, limits }: PreparePorts,
  topic: Topic,
  { stream, type, version, data }: Draft,
  ties: Ties,
  id: EventId,
): string {
  const { keyLengthMax } = limits()
  const key = `${scope}/${stream}`
  if (key.length > keyLengthMax) throw new TidemarkError('KEY_TOO_LONG', { key, max: keyLengthMax })
  return toLine({
    ...ties,
    id,
    stream,
    type,
    version,
    data: topic.check(type, version, data),
    occurredAt: system.now(),
  })
}

function toLine(claim: Claim): string {
  try {
    return writeClaim(claim)
  } catch (cause) {
    throw notJson(cause)
  }
}

/** What cannot be written as JSON. */
export const notJson = (cause: unknown): TidemarkError =>
  new TidemarkError('NOT_JSON', { reason: String(cause).slice(0, 200) }, { cause })

/** The event as everybody will read it, so that what is shown now is what is shown after a reload. */
function read(line: string): Claim {
  try {
    return parseClaim(line)
  } catch (cause) {
    const reason = isTidemarkError(cause, 'BAD_FRAME') ? cause.details.reason : String(cause)
    throw new TidemarkError('BAD_EVENT', { reason }, { cause })
  }
}
