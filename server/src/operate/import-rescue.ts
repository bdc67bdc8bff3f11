/**
 * A rescue file into the log, under its original author, for a device that will not come back. It takes the
 * way of any submit but for the permission, which is the configuration's `rescue`: same ids, same bytes,
 * same verdict, so doing it twice does it once.
 */
import type { Claim, EventId, Limits, LogName, Rescue, RescuedBatch, Topic } from '@tidemark/shared'
import { toAttempt } from '../check.ts'
import type { Log, Outcome } from '../log/log.ts'
import type { Permission } from '../permission.ts'

/** What somebody wants to append in the name of another. */
export interface RescueAccess extends LogName {
  /** Who runs the command, as they say. */
  readonly by: string
  /** Whose events these are: becomes their author. */
  readonly author: string
  /** The device's database, and when it was exported, in ms since 1970 by its clock. */
  readonly clientId: string
  readonly exportedAt: number
  /** Of a batch the events that can be read. Their data has not been checked yet. */
  readonly events: readonly Claim[]
}

/** Says whether a rescued batch may be appended under its author. */
export type AuthorizeRescue = (access: RescueAccess) => Permission | Promise<Permission>

/** What became of one event: `known` has the verdict accepted from before; what is `held` or `blocked` may be tried again. */
export interface Rescued {
  readonly type: 'accepted' | 'known' | 'refused' | 'held' | 'blocked'
  readonly id: EventId
  readonly log: LogName
  /** The position, the code, or the reason. */
  readonly note: string
}

/** What importing needs. */
export interface ImportOptions {
  readonly log: Log
  readonly topics: readonly Topic[]
  readonly limits: Limits
  readonly authorize: AuthorizeRescue
  readonly by: string
}

/** Appends batch by batch, and says what became of each event as soon as that is durable. */
export async function* importRescue(
  options: ImportOptions,
  rescue: Rescue,
): AsyncGenerator<Rescued> {
  for (const batch of rescue.batches) {
    const attempt = await toAttempt(
      rulesFor(options, rescue),
      { author: rescue.user },
      batchOf(batch),
      batch.lines,
    )
    const [outcomes] = await options.log.append([[attempt]])
    const outcome = outcomes?.[0]
    for (const [at, { id }] of attempt.events.entries()) {
      if (outcome) yield { id, log: attempt.log, ...toRescued(outcome, id, at) }
    }
  }
}

function rulesFor({ topics, limits, authorize, by }: ImportOptions, rescue: Rescue) {
  const { user: author, clientId, exportedAt } = rescue
  return {
    topics: new Map(topics.map((topic) => [topic.name, topic])),
    limits,
    authorize: (access: { readonly events?: readonly Claim[] } & LogName) => {
      const { topic, scope, events = [] } = access
      return authorize({ by, author, clientId, exportedAt, topic, scope, events })
    },
  }
}

const batchOf = ({ topic, scope, lines, after, expectedRevision }: RescuedBatch) => ({
  topic,
  scope,
  size: lines.length,
  ...(after !== undefined && { after }),
  ...(expectedRevision !== undefined && { expectedRevision }),
})

function toRescued(outcome: Outcome, id: EventId, at: number): Pick<Rescued, 'type' | 'note'> {
  switch (outcome.type) {
    case 'accepted':
      return {
        type: outcome.fresh ? 'accepted' : 'known',
        note: `at ${outcome.position + at}`,
      }
    case 'refused':
      return {
        type: 'refused',
        note: outcome.id === id ? outcome.refusal.code : `BATCH_REFUSED by ${outcome.id}`,
      }
    case 'blocked':
      return { type: 'blocked', note: `it rests on ${outcome.by}` }
    case 'held':
      return { type: 'held', note: outcome.reason }
  }
}
