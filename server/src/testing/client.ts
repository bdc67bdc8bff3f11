/** A client for tests that speaks frames to a gateway, without a network between them. */
import {
  type Claim,
  type ClientFrame,
  type Entry,
  type EventId,
  type FrameOf,
  type GatewayFrame,
  parseEntry,
  parseGatewayFrame,
  type SubmittedBatch,
  type System,
  topic,
  writeClaim,
  writeFrame,
} from '@tidemark/shared'
import * as z from 'zod'
import type { Connection, Gateway } from '../gateway.ts'

/** The topic of the tests. */
export const inventory = topic('inventory', {
  StockReceived: z.object({ quantity: z.int().positive() }),
  Noted: z.object({ text: z.string() }),
})
/** The log of the tests. */
export const name = { topic: 'inventory', scope: 'shop-7' } as const

/** A claim of the test topic. */
export const someClaim = (system: System, rest: Partial<Claim> = {}): Claim => ({
  id: system.uuid() as EventId,
  stream: 'sku-1',
  type: 'StockReceived',
  version: 1,
  occurredAt: 1,
  data: { quantity: 1 },
  ...rest,
})

/** A submit of batches, each of one event unless given as a list. */
export function submit(
  n: number,
  batches: readonly (Claim | readonly Claim[])[],
  rest: Partial<SubmittedBatch> = {},
): FrameOf<'submit'> {
  const lists = batches.map((batch) => ('id' in batch ? [batch] : batch))
  return {
    type: 'submit',
    n,
    batches: lists.map((claims) => ({ ...name, size: claims.length, ...rest })),
    events: lists.flat().map(writeClaim),
  }
}

/** What a client says first. */
export const hello = (system: System, rest: Partial<FrameOf<'hello'>> = {}): FrameOf<'hello'> => ({
  type: 'hello',
  protocolMin: 1,
  protocolMax: 1,
  clientId: system.uuid(),
  incarnation: system.uuid(),
  token: 'ann',
  subscriptions: [],
  ...rest,
})

/** One connection, and everything that came over it. */
export class TestClient {
  readonly frames: GatewayFrame[] = []
  /** The messages themselves, to see which bytes are shared. */
  readonly messages: (string | Uint8Array)[] = []
  closed: { readonly code: number; readonly reason: string } | undefined
  readonly #connection: Connection

  constructor(gateway: Gateway) {
    this.#connection = gateway.connect({
      send: (message) => {
        if (this.closed) return
        this.messages.push(message)
        this.frames.push(
          parseGatewayFrame(
            typeof message === 'string' ? message : Buffer.from(message).toString(),
          ),
        )
      },
      close: (code, reason) => {
        this.closed ??= { code, reason }
        void Promise.resolve().then(() => this.#connection.onClose())
      },
    })
  }

  send(...frames: readonly ClientFrame[]): void {
    for (const frame of frames) this.say(writeFrame(frame))
  }

  /** Sends any text. */
  say(message: string): void {
    this.#connection.onMessage(message)
  }

  /** Loses the connection. */
  lose(): void {
    this.closed ??= { code: 1006, reason: '' }
    this.#connection.onClose()
  }

  /** All frames of a type so far. */
  of<Type extends GatewayFrame['type']>(type: Type): readonly FrameOf<Type>[] {
    return this.frames.filter((frame): frame is FrameOf<Type> => frame.type === type)
  }

  /** The types of the frames so far, in order. */
  get types(): readonly string[] {
    return this.frames.map(({ type }) => type)
  }

  /** Everything that was delivered. */
  get entries(): readonly Entry[] {
    return this.of('deliver').flatMap(({ entries, topic, scope }) =>
      entries.map((line) => parseEntry({ topic, scope }, line)),
    )
  }
}
