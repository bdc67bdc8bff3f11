/**
 * From a submitted batch to an attempt: reads and measures the events, asks for permission, and checks
 * the data against its schema. What is wrong does not end here: the log looks for a known id first,
 * so that an answer which was lost on the way is repeated and never judged again. A refusal is stored
 * under the event's id, so nothing is refused before whoever submits may write there.
 */
import {
  type Claim,
  type EventId,
  isTidemarkError,
  type Limits,
  parseClaim,
  type Refusal,
  type SubmittedBatch,
  TidemarkError,
  type Topic,
  uuidPattern,
} from '@tidemark/shared'
import type { Attempt, AttemptEvent, Denial } from './log/log.ts'
import type { Authorize, Permission, Principal } from './permission.ts'

/** What batches are checked against. */
export interface Rules {
  readonly topics: ReadonlyMap<string, Topic>
  readonly limits: Limits
  readonly authorize: Authorize
}

/** An event as it was read. `wrong`: it has an id, and that is all that can be said for it. */
interface Read {
  readonly event: AttemptEvent
  readonly claim?: Claim
  readonly wrong?: Refusal
}

/**
 * The attempt that a batch makes; a promise only where `authorize` answers with one. Throws `BAD_FRAME`
 * for a line without an id, which no verdict could name, and whatever `authorize` throws.
 */
export function toAttempt(
  rules: Rules,
  principal: Principal,
  batch: SubmittedBatch,
  lines: readonly string[],
): Attempt | Promise<Attempt> {
  const { topic, scope, after, expectedRevision } = batch
  const read = lines.map((line) => readEvent(line, scope, rules.limits))
  const attempt: Attempt = {
    log: { topic, scope },
    author: principal.author,
    source: 'client',
    events: read.map(({ event }) => event),
    after,
    expectedRevision,
  }
  const deny = (denied: Denial | undefined): Attempt => (denied ? { ...attempt, denied } : attempt)
  const defined = rules.topics.get(topic)
  if (!defined) return deny({ type: 'held', reason: `this gateway has no topic ${topic}` })
  const claims = read.flatMap(({ claim }) => claim ?? [])
  const permission = rules.authorize({ action: 'append', principal, topic, scope, events: claims })
  const judge = (permission: Permission): Attempt =>
    deny(
      toDenial(permission, attempt.events) ??
        findUnreadable(read, rules.limits) ??
        checkData(defined, claims),
    )
  return permission instanceof Promise ? permission.then(judge) : judge(permission)
}

function readEvent(line: string, scope: string, limits: Limits): Read {
  try {
    const claim = parseClaim(line, limits.depthMax)
    const event = { id: claim.id, stream: claim.stream, line }
    const wrong = measure(line, `${scope}/${claim.stream}`, limits)
    return wrong ? { event, claim, wrong } : { event, claim }
  } catch (error) {
    if (!isTidemarkError(error, 'BAD_FRAME')) throw error
    const id = findId(line)
    if (id === undefined) throw error
    const event = { id, stream: '', line }
    return { event, wrong: { code: 'BAD_EVENT', details: error.details } }
  }
}

function measure(line: string, key: string, limits: Limits): Refusal | undefined {
  const { eventBytesMax, keyLengthMax } = limits
  // A UTF-16 code unit is at most three bytes: most lines need no count.
  const bytes = line.length * 3 > eventBytesMax ? Buffer.byteLength(line) : 0
  if (bytes > eventBytesMax) {
    return { code: 'EVENT_TOO_LARGE', details: { bytes, max: eventBytesMax } }
  }
  if (key.length > keyLengthMax) {
    return { code: 'KEY_TOO_LONG', details: { key, max: keyLengthMax } }
  }
  return undefined
}

/** The id of a line that is otherwise no event, so that a refusal can name it. */
function findId(line: string): EventId | undefined {
  try {
    const { id } = JSON.parse(line) as { id?: unknown }
    return typeof id === 'string' && uuidPattern.test(id) ? (id as EventId) : undefined
  } catch {
    return undefined
  }
}

function findUnreadable(read: readonly Read[], limits: Limits): Denial | undefined {
  const wrong = read.find(({ wrong }) => wrong)
  if (wrong?.wrong) return { type: 'refused', id: wrong.event.id, refusal: wrong.wrong }
  const max = limits.batchEventsMax
  const [first] = read
  if (!first || read.length <= max) return undefined
  const refusal = { code: 'BATCH_TOO_LARGE', details: { events: read.length, max } } as const
  return { type: 'refused', id: first.event.id, refusal }
}

function toDenial(permission: Permission, events: readonly AttemptEvent[]): Denial | undefined {
  if (permission === 'allow') return undefined
  const {
    answer,
    reason,
    id = undefined,
  } = typeof permission === 'string' ? { answer: permission, reason: 'not allowed' } : permission
  if (answer === 'hold') return { type: 'held', reason }
  const culprit = id ?? events[0]?.id
  if (culprit === undefined) return undefined
  return { type: 'refused', id: culprit, refusal: { code: 'NOT_ALLOWED', details: { reason } } }
}

function checkData(topic: Topic, claims: readonly Claim[]): Denial | undefined {
  for (const { id, type, version, data } of claims) {
    const refusal = findFault(topic, type, version, data)
    if (refusal) return { type: 'refused', id, refusal }
  }
  return undefined
}

/** What a topic's schema has against an event's data. */
export function findFault(
  topic: Topic,
  type: string,
  version: number,
  data: unknown,
): Refusal | undefined {
  try {
    topic.check(type, version, data)
    return undefined
  } catch (error) {
    if (!(error instanceof TidemarkError)) throw error
    return { code: error.code, details: error.details } as Refusal
  }
}
