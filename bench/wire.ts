/**
 * A load generator on raw sockets that speaks either protocol: the gateway's, or the hand-written
 * pipeline's. It writes its messages before the clock starts and reads only a message's head while it
 * runs, so that the server is what is measured; what was delivered is checked after the clock stops.
 */
import { once } from 'node:events'
import { v7 } from 'uuid'
import { WebSocket } from 'ws'
import { makeData, makeStream } from './inventory.ts'

/** What a message from the server means to the generator. */
export type Heard =
  | { readonly type: 'answered'; readonly upTo: number }
  | { readonly type: 'delivered'; readonly after: number; readonly upTo: number }
  /** Nothing that matters to a measurement. */
  | { readonly type: 'other' }
  | { readonly type: 'welcome' }
  /** A reader has what there was. */
  | { readonly type: 'caughtUp' }

/** A protocol as the generator needs it. */
export interface Dialect {
  /** What a link that only writes says first, or nothing. */
  readonly writerHello: string | undefined
  /** What a link that reads the whole log says first. */
  readonly readerHello: string
  /** Submit number `n`: one atomic batch of these event lines. */
  submit(n: number, lines: readonly string[]): string
  /** Says that everything up to this position is stored, where the protocol wants to know. */
  applied(upTo: number): string | undefined
  readonly ping: string | undefined
  /** Reads as little of a message as it can. Throws where the server refused something. */
  hear(message: Buffer): Heard
  /** The ids of the events that a message delivered. */
  ids(message: Buffer): readonly string[]
}

/** A new event of about 300 bytes, as a line. */
export function writeEvent(): {
  readonly id: string
  readonly stream: string
  readonly line: string
} {
  const id = v7()
  serial += 1
  const stream = makeStream(serial)
  const line = JSON.stringify({
    id,
    stream,
    type: 'StockPicked',
    version: 1,
    occurredAt: 1_790_000_000_000 + serial,
    data: makeData(serial),
  })
  return { id, stream, line }
}
let serial = 0

/** One connection of the generator. */
export interface Link {
  send(message: string): void
  /** Called with each message that matters. Assign it before anything is sent. */
  onHeard: (heard: Heard, message: Buffer) => void
  /** The number of the next submit. */
  n: number
  close(): void
}

const pingMs = 10_000

/** Opens a link and resolves when it is ready: a reader has what there was then. A link that dies later ends the process: there is nothing to measure. */
export async function openLink(
  port: number,
  dialect: Dialect,
  role: 'reader' | 'writer',
  onHeard: Link['onHeard'] = () => undefined,
): Promise<Link> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/sync`, { perMessageDeflate: false })
  let closing = false
  socket.on('close', (code: number, reason: Buffer) => {
    if (!closing) throw new Error(`a link was closed: ${code} ${reason}`)
  })
  await once(socket, 'open')
  let isReady: () => void = () => undefined
  const ready = new Promise<void>((resolve) => {
    isReady = resolve
  })
  const link: Link = {
    n: 1,
    onHeard,
    send: (message) => socket.send(message),
    close() {
      closing = true
      clearInterval(timer)
      socket.terminate()
    },
  }
  socket.on('message', (message: Buffer) => {
    const heard = dialect.hear(message)
    if (heard.type === (role === 'reader' ? 'caughtUp' : 'welcome')) isReady()
    if (heard.type === 'delivered') {
      const applied = dialect.applied(heard.upTo)
      if (applied !== undefined) socket.send(applied)
    }
    if (heard.type !== 'other') link.onHeard(heard, message)
  })
  const timer = setInterval(() => dialect.ping !== undefined && socket.send(dialect.ping), pingMs)
  const hello = role === 'reader' ? dialect.readerHello : dialect.writerHello
  if (hello === undefined) isReady()
  else socket.send(hello)
  await ready
  return link
}
