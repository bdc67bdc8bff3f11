/** Every bound of the wire, with its unit as the last word of its name. The gateway announces its own in `welcome`. */

/** The bounds that a gateway holds its clients to. */
export interface Limits {
  /** One WebSocket message, in UTF-8 bytes. */
  readonly frameBytesMax: number
  /** One event's line, in UTF-8 bytes. Derived from what the broker can carry. */
  readonly eventBytesMax: number
  /** Events in one submit frame. */
  readonly submitEventsMax: number
  /** Events in one batch: a batch is never split over frames. */
  readonly batchEventsMax: number
  /** Submitted events that may wait for their answer on one link. */
  readonly unansweredEventsMax: number
  /** Delivered bytes that a client may leave unapplied on one link. */
  readonly unappliedBytesMax: number
  /** Logs that one link may subscribe to. */
  readonly subscriptionsMax: number
  /** `scope/stream` in UTF-16 code units: the broker's session id has to hold it. */
  readonly keyLengthMax: number
  /** Levels of nesting in an event's data. */
  readonly depthMax: number
  /** Silence on a link before either side calls it dead, in milliseconds. Both ping at a third of it. */
  readonly silenceMsMax: number
}

/** What a gateway announces unless it is told otherwise. */
export const defaultLimits: Limits = {
  frameBytesMax: 1_048_576,
  eventBytesMax: 196_608,
  submitEventsMax: 500,
  batchEventsMax: 100,
  unansweredEventsMax: 4_000,
  unappliedBytesMax: 4_194_304,
  subscriptionsMax: 100,
  keyLengthMax: 128,
  depthMax: 32,
  silenceMsMax: 45_000,
}

/** Bounds that are the same everywhere, because the protocol or the data layout fixes them. */
export const fixedLimits = {
  /** A topic's or scope's name, in characters. */
  nameLengthMax: 50,
  /** A stream's name, in characters; `keyLengthMax` bounds it together with its scope. */
  streamLengthMax: 127,
  /** A `hello` frame, in UTF-16 code units: nothing longer is read from a peer we do not know yet. */
  helloLengthMax: 32_768,
  /** A connection that has not said hello is closed after this many milliseconds. */
  helloMsMax: 5_000,
} as const
