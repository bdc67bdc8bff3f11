/**
 * The wire, version 1: what a client may say and what a gateway may say, each a union told apart by
 * `type`. docs/protocol.md explains when each is sent. A WebSocket text message holds one frame: a line
 * of JSON, and for `submit` and `deliver` one more line for each event.
 */
import type { ErrorCode } from './errors.ts'
import { type Epoch, type EventId, namePattern, type Position, uuidPattern } from './event.ts'
import { fixedLimits } from './limits.ts'
import {
  anything,
  type Check,
  integer,
  list,
  optional,
  type Passed,
  record,
  text,
  truth,
} from './shape.ts'

/** The only protocol version there is so far. Each side says which range it speaks. */
export const protocolVersion = 1

const as = <T>(check: Check<unknown>): Check<T> => check as Check<T>
const uuid = text(36, uuidPattern)
const eventId = as<EventId>(uuid)
const epoch = as<Epoch>(uuid)
const position = as<Position>(integer(0))
const count = integer(0)
const name = text(fixedLimits.nameLengthMax, namePattern)
const logName = { topic: name, scope: name }
const stream = text(fixedLimits.streamLengthMax)
const token = text(8_192)
const code = as<ErrorCode>(text(64))
const cursor = record({
  epoch,
  position,
  id: optional(eventId),
  receivedAt: optional(integer(0)),
})
const subscription = record({ ...logName, cursor: optional(cursor) })

/** One batch of a submit: `size` of the frame's event lines, accepted or refused as a whole. */
const batch = record({
  ...logName,
  size: integer(1),
  /** The newest pending event that the decision saw: unless it is accepted, the answer is `blocked`. */
  after: optional(eventId),
  /** The revision of the stream that the decision saw. */
  expectedRevision: optional(count),
})

/** The verdict on one batch. `revisions` are those of its events, in order; their positions run from `position`. */
const verdict = record({
  position: optional(position),
  revisions: optional(list(integer(1), 10_000)),
  /** What was refused, and for which event of the batch. */
  refused: optional(record({ id: eventId, code, details: anything })),
})

const limits = record({
  frameBytesMax: count,
  eventBytesMax: count,
  submitEventsMax: count,
  batchEventsMax: count,
  unansweredEventsMax: count,
  unappliedBytesMax: count,
  subscriptionsMax: count,
  keyLengthMax: count,
  depthMax: count,
  silenceMsMax: count,
})

/** What a client may say. */
export const clientFrames = {
  hello: record({
    protocolMin: integer(1),
    protocolMax: integer(1),
    /** Random, one for each database on a device. */
    clientId: uuid,
    /** Random, a new one for each database that started empty. */
    incarnation: uuid,
    token: optional(token),
    /** The newest version that the client knows of each event type, as `topic/Type`. */
    versions: optional(anything as Check<Readonly<Record<string, number>> | undefined>),
    subscriptions: list(subscription, 1_000),
  }),
  subscribe: subscription,
  unsubscribe: record(logName),
  /** Batches numbered `n`, `n + 1`, … on this link; their event lines follow in the same order. */
  submit: record({ n: integer(1), batches: list(batch, 10_000) }),
  /** Everything up to this position is stored on the device. */
  applied: record({ ...logName, upTo: position }),
  reauth: record({ token }),
  ping: record({}),
}

/** What a gateway may say. */
export const gatewayFrames = {
  welcome: record({
    protocol: integer(1),
    session: uuid,
    /** Who the gateway says the client is. */
    author: text(256),
    limits,
  }),
  subscribed: record({ ...logName, epoch, head: position }),
  /** The verdicts on the batches `n`, `n + 1`, …, each after the commit that holds it. */
  verdicts: record({ n: integer(1), verdicts: list(verdict, 10_000) }),
  /** Batch `n` rests on an event that was not accepted. What follows it is ignored until `n` comes again. */
  blocked: record({ n: integer(1), by: eventId }),
  /** Batch `n` may not be written for now: keep it. What follows it is ignored until `n` comes again. */
  hold: record({ n: integer(1), ...logName, reason: optional(text(500)) }),
  /** The gateway cannot store batch `n` now. What follows it is ignored until `n` comes again. */
  later: record({ n: integer(1), retryAfterMs: count }),
  /** Entries after `after` up to `upTo`. The same bytes go to every reader. */
  deliver: record({ ...logName, epoch, after: position, upTo: position }),
  /** The subscription has caught up with the head that it met. */
  caughtUp: record({ ...logName, upTo: position }),
  /** The relay has brought the log to the broker up to here, but for the parked streams. */
  published: record({
    ...logName,
    upTo: position,
    parked: list(record({ stream, fromRevision: integer(1), code }), 10_000),
  }),
  /** The cursor is not of this log any more: go back to `position` and subscribe again. */
  reset: record({
    ...logName,
    epoch,
    position,
    /** The log is another one on purpose: what the old one held is not wanted back. */
    startOver: optional(truth),
  }),
  /** The log may not be read any more. */
  revoked: record(logName),
  /** Something was wrong with what the client sent. */
  error: record({ code, details: anything }),
  /** The gateway is closing: come back no sooner than this. */
  goaway: record({ retryAfterMs: count }),
  pong: record({}),
}

/** Which frames carry lines, and under which name a parsed frame holds them. */
export const linesOf: { readonly [type: string]: 'events' | 'entries' | undefined } = {
  submit: 'events',
  deliver: 'entries',
}

type Lines<Type> = Type extends 'submit'
  ? { readonly events: readonly string[] }
  : Type extends 'deliver'
    ? { readonly entries: readonly string[] }
    : unknown
type Union<Frames> = {
  [Type in keyof Frames]: { readonly type: Type } & Passed<Frames[Type]> & Lines<Type>
}[keyof Frames]

/** A frame from a client. */
export type ClientFrame = Union<typeof clientFrames>
/** A frame from a gateway. */
export type GatewayFrame = Union<typeof gatewayFrames>
/** The frame of one type: `FrameOf<'deliver'>`. */
export type FrameOf<Type extends (ClientFrame | GatewayFrame)['type']> = Extract<
  ClientFrame | GatewayFrame,
  { readonly type: Type }
>
/** One batch as a submit frame names it. */
export type SubmittedBatch = Passed<typeof batch>
/** The verdict on one batch as a verdicts frame tells it. */
export type BatchVerdict = Passed<typeof verdict>

/** The text of a frame as it goes over the wire. */
export function writeFrame(frame: ClientFrame | GatewayFrame): string {
  switch (frame.type) {
    case 'submit': {
      const { events, ...head } = frame
      return [JSON.stringify(head), ...events].join('\n')
    }
    case 'deliver': {
      const { entries, ...head } = frame
      return [JSON.stringify(head), ...entries].join('\n')
    }
    default:
      return JSON.stringify(frame)
  }
}
