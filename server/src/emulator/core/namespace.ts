/**
 * The broker itself: queues, topics, subscriptions and dead letters by their paths, without a network
 * and without a clock of its own. The emulator speaks AMQP in front of one, the memory broker is the
 * port in front of one; nothing here survives the process.
 */
import type { System } from '@tidemark/shared'
import { Destination } from './destination.ts'
import { Faults } from './faults.ts'
import { type DeadLetter, Mailbox, type Surroundings } from './mailbox.ts'
import type { Envelope, Refused, Stored } from './message.ts'
import type { MailboxOptions, Topology } from './topology.ts'

/** The most times that a message is forwarded before it is dead-lettered. */
const hopsMax = 4

/** The suffix of the path of dead letters. */
const deadLetterSuffix = '/$deadletterqueue'

/** A namespace of queues and topics. Paths are compared in any case of letters, as Service Bus does. */
export class Namespace {
  readonly faults = new Faults()
  readonly messageBytesMax: number
  readonly #system: System
  readonly #destinations = new Map<string, Destination>()
  readonly #mailboxes = new Map<string, Mailbox>()
  readonly #surroundings: Surroundings

  constructor(options: { readonly system: System; readonly topology: Topology }) {
    const { system, topology } = options
    this.#system = system
    this.messageBytesMax = topology.messageBytesMax ?? 262_144
    this.#surroundings = {
      system,
      bury: (from, message, why) => this.#bury(from, message, why),
      isSilent: (path) => this.faults.isSilent(path),
    }
    this.faults.bind(
      (path) => this.#matching(path).forEach((mailbox) => mailbox.expireLocks()),
      (path) => this.#matching(path).forEach((mailbox) => mailbox.wakeAll()),
    )
    for (const queue of topology.queues ?? []) {
      const { name, duplicateWindowMs, ...mailbox } = queue
      this.#addDestination(name, true, duplicateWindowMs).addBranch(
        name,
        this.#addMailbox(name, mailbox),
      )
    }
    for (const { name, duplicateWindowMs, ttlMs, subscriptions } of topology.topics ?? []) {
      const topic = this.#addDestination(name, false, duplicateWindowMs, ttlMs)
      for (const { name: subscription, rules, ...mailbox } of subscriptions) {
        const path = `${name}/Subscriptions/${subscription}`
        topic.addBranch(subscription, this.#addMailbox(path, mailbox), rules)
      }
    }
  }

  /** The queue or topic at a path, to send to. */
  destination(path: string): Destination | undefined {
    return this.#destinations.get(path.toLowerCase())
  }

  /** The queue, subscription or dead letters at a path, to receive from. */
  mailbox(path: string): Mailbox | undefined {
    return this.#mailboxes.get(path.toLowerCase())
  }

  /** Every mailbox, the dead letters too. */
  mailboxes(): readonly Mailbox[] {
    return [...this.#mailboxes.values()]
  }

  /** Sends all of these messages or none of them. A fault on order comes first. */
  send(path: string, envelopes: readonly Envelope[]): Refused | undefined {
    const destination = this.destination(path)
    if (!destination) return missing(path)
    const planned = this.faults.takeSendRefusal(path)
    if (planned) return planned
    const large = envelopes.find(({ bytes }) => bytes > this.messageBytesMax)
    if (large) return tooLarge(large.bytes, this.messageBytesMax)
    return destination.send(envelopes)
  }

  /** Keeps messages until their times; answers with their numbers. A fault on order comes first. */
  schedule(path: string, envelopes: readonly Envelope[]): readonly number[] | Refused {
    const destination = this.destination(path)
    if (!destination) return missing(path)
    return this.faults.takeSendRefusal(path) ?? destination.schedule(envelopes)
  }

  /** Stops all timers. */
  close(): void {
    for (const destination of this.#destinations.values()) destination.close()
    for (const mailbox of this.#mailboxes.values()) mailbox.close()
  }

  #matching(path: string): readonly Mailbox[] {
    if (path === '*') return this.mailboxes()
    const mailbox = this.mailbox(path)
    return mailbox ? [mailbox] : []
  }

  #addDestination(
    path: string,
    isQueue: boolean,
    duplicateWindowMs = 0,
    ttlMs?: number,
  ): Destination {
    const options = { path, isQueue, duplicateWindowMs, ...(ttlMs === undefined ? {} : { ttlMs }) }
    const destination = new Destination(options, this.#system, (mailbox, envelope) =>
      this.#deliver(mailbox, envelope),
    )
    this.#destinations.set(path.toLowerCase(), destination)
    return destination
  }

  #addMailbox(path: string, options: MailboxOptions): Mailbox {
    const mailbox = new Mailbox(path, options, this.#surroundings)
    const lockMs = mailbox.lockMs
    const dead = new Mailbox(
      `${path}/$DeadLetterQueue`,
      // Nobody takes dead letters away: they have no time to live, no sessions and no more chances.
      { lockMs, maxDeliveryCount: Infinity },
      this.#surroundings,
    )
    this.#mailboxes.set(path.toLowerCase(), mailbox)
    this.#mailboxes.set(path.toLowerCase() + deadLetterSuffix, dead)
    return mailbox
  }

  #deliver(mailbox: Mailbox, envelope: Envelope): void {
    const { forwardTo } = mailbox.options
    if (forwardTo !== undefined) return this.#forward(mailbox, envelope, forwardTo)
    if (mailbox.requiresSession && envelope.sessionId === undefined) {
      const description =
        "Session enabled entity doesn't allow a message whose session identifier is null."
      return this.#toDeadLetters(mailbox, envelope, { reason: 'Session id is null', description })
    }
    mailbox.put(envelope)
  }

  #forward(mailbox: Mailbox, envelope: Envelope, to: string): void {
    const hops = hopsOf(envelope) + 1
    const destination = this.destination(to)
    if (hops > hopsMax || !destination) {
      const description = `The message could not be forwarded to '${to}'.`
      const reason = 'MaxTransferHopCountExceeded'
      return this.#toDeadLetters(mailbox, envelope, { reason, description })
    }
    const forwarded: Envelope = Object.create(envelope, { [hopCount]: { value: hops } })
    const refused = destination.send([forwarded])
    if (refused) {
      this.#toDeadLetters(mailbox, envelope, {
        reason: refused.condition,
        description: refused.description,
      })
    }
  }

  #bury(from: Mailbox, message: Stored, why: DeadLetter): void {
    this.#toDeadLetters(from, message.envelope, why, message.changes)
  }

  #toDeadLetters(
    from: Mailbox,
    envelope: Envelope,
    why: DeadLetter,
    changes: Stored['changes'] = {},
  ): void {
    const dead = this.mailbox(from.path + deadLetterSuffix) ?? from
    // Dead letters wait for people, who do not come in time.
    const lasting: Envelope = Object.create(envelope, { ttlMs: { value: undefined } })
    dead.put(lasting, {
      deadLetterSource: from.path,
      changes: {
        ...changes,
        DeadLetterReason: why.reason,
        DeadLetterErrorDescription: why.description,
      },
    })
    dead.wake()
  }
}

const hopCount = Symbol('how often it was forwarded')
const hopsOf = (envelope: Envelope & { readonly [hopCount]?: number }): number =>
  envelope[hopCount] ?? 0

const missing = (path: string): Refused => ({
  condition: 'amqp:not-found',
  description: `The messaging entity '${path}' could not be found.`,
})

const tooLarge = (bytes: number, max: number): Refused => ({
  condition: 'amqp:link:message-size-exceeded',
  description: `The received message (delivery-id:0, size:${bytes} bytes) exceeds the limit (${max} bytes) currently allowed on the link.`,
})
