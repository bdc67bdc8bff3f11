/**
 * The parts of rhea's inside that the emulator has to touch, each with its reason. Everything here is
 * done to our own container's connections: the SDK in the same process uses the same module.
 */
// oxlint-disable no-underscore-dangle -- these are rhea's names, and they say that this is its inside
import type { System } from '@tidemark/shared'
import rhea, { type Receiver, type Sender, type Session } from 'rhea'
import { Apart } from '../apart.ts'

/** The format that a message is marked with so that rhea hands it over undecoded. */
export const rawFormat = 0x7fff_ffff

/** The message format of a Service Bus batch. */
export const batchFormat = 0x8001_3700

interface Transfer {
  readonly performative: { message_format: number | undefined }
}

interface SessionInside {
  readonly incoming: {
    on_transfer(frame: Transfer, receiver: Receiver & { _incomplete?: unknown }): void
  }
  readonly outgoing: {
    readonly next_delivery_id: number
    readonly next_pending_delivery: number
    available(): number
  }
}

const inside = (session: Session): SessionInside => session as unknown as SessionInside

/**
 * Makes a session hand over messages as bytes. rhea decodes the standard format on its own, and
 * encoding such a message again loses which of AMQP's many types each value had.
 */
export function takeRawMessages(session: Session): void {
  const { incoming } = inside(session)
  const original = incoming.on_transfer
  incoming.on_transfer = function (frame, receiver) {
    // Only the first frame of a message carries its format.
    if (!receiver._incomplete) frame.performative.message_format ||= rawFormat
    original.call(this, frame, receiver)
  }
}

/** How many more messages may be queued on a link: its credit counts down only when they are written. */
export function roomOf(sender: Sender): number {
  const { outgoing } = inside(sender.session)
  const queued = outgoing.next_delivery_id - outgoing.next_pending_delivery
  return Math.min((sender as unknown as Drainable).credit - queued, outgoing.available())
}

interface Drainable {
  _draining: boolean
  delivery_count: number
  credit: number
  _get_drain(): boolean
}

/**
 * Answers every drain. rhea answers only while there is credit left, so a drain that crosses the last
 * message on the wire would never be answered, and the SDK would close its receiver.
 */
export function answerDrains(sender: Sender): void {
  const link = sender as unknown as Drainable
  link._get_drain = () => {
    if (!link._draining) return false
    link.delivery_count += link.credit
    link.credit = 0
    return true
  }
}

/**
 * Takes back the answer to an attach that rhea has already queued; `link.open()` gives it later. It
 * has no call for it, and accepting the next session waits for one before it answers.
 */
export function holdAttach(link: Sender): void {
  const { state } = link as unknown as { state: { local_open: boolean; open_requests: number } }
  state.local_open = false
  state.open_requests = 0
}

/** Sets fields of the attach that answers the peer's; they are written in the next tick. */
export function answerAttach(
  link: Sender | Receiver,
  fields: Readonly<Record<string, unknown>>,
): void {
  const { local } = link as unknown as { local: { attach: Record<string, unknown> } }
  Object.assign(local.attach, fields)
}

/** What a delivery is to us: one that we received, or one that we sent. */
export interface Delivery {
  readonly tag: Buffer
  readonly remote_state: unknown
  remote_settled: boolean
  update(settled: boolean, state: unknown): void
}

/** rhea makes its outcomes at run time, so its types do not know them. */
const outcomes = rhea.message as unknown as {
  accepted(): { described(): unknown }
  rejected(fields: object): { described(): unknown }
}

/** The outcome that says yes. */
export const accepted = (): unknown => outcomes.accepted().described()

/** The outcome that says no, and why. */
export const rejected = (error: { condition: string; description: string }): unknown =>
  outcomes.rejected({ error }).described()

/** Answers deliveries of one session, never two that differ in one tick. */
export class Outcomes {
  readonly #apart: Apart
  #rejected = 0

  constructor(system: System) {
    this.#apart = new Apart(system)
  }

  accept(delivery: Delivery): void {
    this.#apart.run('accepted', () => settle(delivery, accepted()))
  }

  reject(delivery: Delivery, error: { condition: string; description: string }): void {
    this.#rejected += 1
    this.#apart.run(`rejected ${this.#rejected}`, () => settle(delivery, rejected(error)))
  }
}

function settle(delivery: Delivery, state: unknown): void {
  delivery.update(true, state)
  // A receiver that settles second never settles after us, so the session would keep the delivery for ever.
  delivery.remote_settled = true
}

/** A 64-bit number from its eight bytes. */
export const long = (bytes: Buffer): unknown => rhea.types.wrap_long(bytes as never)
