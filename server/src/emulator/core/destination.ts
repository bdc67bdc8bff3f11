/** A queue or a topic as its senders see it: checks, duplicate detection, scheduling, and the way to the mailboxes. */
import type { System } from '@tidemark/shared'
import { Duplicates } from './duplicates.ts'
import type { Mailbox } from './mailbox.ts'
import type { Envelope, Refused } from './message.ts'
import { defaultRule, fits, type RuleOptions } from './rule.ts'
import { Schedule } from './schedule.ts'

/** A subscription: a mailbox behind its rules. A queue is a mailbox behind none. */
export interface Branch {
  readonly mailbox: Mailbox
  /** By name. A subscription without rules takes nothing. */
  readonly rules: Map<string, RuleOptions> | undefined
}

/** A queue or a topic. */
export class Destination {
  readonly path: string
  readonly isQueue: boolean
  readonly branches = new Map<string, Branch>()
  readonly #ttlMs: number | undefined
  readonly #system: System
  readonly #duplicates: Duplicates
  readonly #schedule: Schedule
  readonly #deliver: (mailbox: Mailbox, envelope: Envelope) => void

  constructor(
    options: { path: string; isQueue: boolean; duplicateWindowMs?: number; ttlMs?: number },
    system: System,
    deliver: (mailbox: Mailbox, envelope: Envelope) => void,
  ) {
    this.path = options.path
    this.isQueue = options.isQueue
    this.#ttlMs = options.ttlMs
    this.#system = system
    this.#deliver = deliver
    this.#duplicates = new Duplicates(options.duplicateWindowMs ?? 0)
    this.#schedule = new Schedule(system, (envelope) => this.#arrive([envelope]))
  }

  /** Adds a mailbox; with rules (or the default one) for a subscription. */
  addBranch(name: string, mailbox: Mailbox, rules?: readonly RuleOptions[]): void {
    const named = this.isQueue ? undefined : new Map<string, RuleOptions>()
    for (const rule of rules ?? [defaultRule]) named?.set(rule.name, rule)
    this.branches.set(name.toLowerCase(), { mailbox, rules: named })
  }

  /** Takes all of these messages or none of them. */
  send(envelopes: readonly Envelope[]): Refused | undefined {
    const refused = this.#refuse(envelopes)
    if (refused) return refused
    const now = this.#system.now()
    const fresh = envelopes.filter(({ messageId }) => !this.#duplicates.isKnown(messageId, now))
    const due = fresh.filter((envelope) => !isLater(envelope, now))
    if (due.length < fresh.length) {
      for (const envelope of fresh) {
        if (isLater(envelope, now)) this.#schedule.add(envelope, envelope.scheduledAt ?? now)
      }
    }
    this.#arrive(due)
    return undefined
  }

  /** Keeps messages until their times; answers with their numbers. */
  schedule(envelopes: readonly Envelope[]): readonly number[] | Refused {
    const now = this.#system.now()
    const refused = this.#refuse(envelopes)
    return (
      refused ??
      envelopes.map((envelope) => this.#schedule.add(envelope, envelope.scheduledAt ?? now))
    )
  }

  /** Takes scheduled messages back. False for those that have arrived, or never were. */
  cancel(sequences: readonly number[]): readonly boolean[] {
    return sequences.map((sequence) => this.#schedule.cancel(sequence))
  }

  close(): void {
    this.#schedule.close()
    for (const { mailbox } of this.branches.values()) mailbox.close()
  }

  #refuse(envelopes: readonly Envelope[]): Refused | undefined {
    if (!this.isQueue) return undefined
    for (const { mailbox } of this.branches.values()) {
      if (!mailbox.requiresSession) continue
      if (envelopes.every(({ sessionId }) => sessionId !== undefined)) continue
      return {
        condition: 'amqp:not-allowed',
        description:
          'The SessionId was not set on a message, and it cannot be sent to the entity. Entities that have session support enabled can only receive messages that have the SessionId set to a valid value.',
      }
    }
    return undefined
  }

  #arrive(envelopes: readonly Envelope[]): void {
    if (envelopes.length === 0) return
    const limited = this.#ttlMs === undefined ? envelopes : envelopes.map((one) => this.#limit(one))
    for (const { mailbox, rules } of this.branches.values()) {
      for (const envelope of limited) {
        if (!rules || accepts(rules, envelope)) this.#deliver(mailbox, envelope)
      }
      mailbox.wake()
    }
  }

  /** The topic's own time to live bounds that of its messages. */
  #limit(envelope: Envelope): Envelope {
    const ttlMs = Math.min(envelope.ttlMs ?? Infinity, this.#ttlMs ?? Infinity)
    // The application properties may be decoded on demand, so the envelope is extended, not copied.
    return ttlMs === envelope.ttlMs
      ? envelope
      : Object.create(envelope, { ttlMs: { value: ttlMs } })
  }
}

const isLater = ({ scheduledAt }: Envelope, now: number): boolean =>
  scheduledAt !== undefined && scheduledAt > now

function accepts(rules: ReadonlyMap<string, RuleOptions>, envelope: Envelope): boolean {
  for (const { filter } of rules.values()) if (fits(filter, envelope)) return true
  return false
}
