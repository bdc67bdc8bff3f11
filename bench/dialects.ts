/** The two protocols that the load generator speaks: Tidemark's own, and that of limits/pipeline.ts. */
import {
  type ClientFrame,
  type GatewayFrame,
  protocolVersion,
  system,
  writeFrame,
} from '@tidemark/shared'
import { log } from './inventory.ts'
import type { Dialect, Heard } from './wire.ts'

const newline = 10
const bracket = '['.codePointAt(0)
const other: Heard = { type: 'other' }
const caughtUp: Heard = { type: 'caughtUp' }

/** Everything before the first `byte` of a message, so that its events stay unread. */
const headOf = (message: Buffer, byte: number | undefined): string => {
  const end = byte === undefined ? -1 : message.indexOf(byte)
  return message.toString('utf8', 0, end < 0 ? message.length : end)
}

const write = (frame: ClientFrame): string => writeFrame(frame)

const hello = (subscriptions: readonly { topic: string; scope: string }[]): string =>
  write({
    type: 'hello',
    protocolMin: protocolVersion,
    protocolMax: protocolVersion,
    clientId: system.uuid(),
    incarnation: system.uuid(),
    subscriptions,
  })

/** Tidemark's protocol v1. A fresh device each time a hello is read. */
export const gatewayDialect: Dialect = {
  get writerHello() {
    return hello([])
  },
  get readerHello() {
    return hello([log])
  },
  submit: (n, lines) =>
    write({ type: 'submit', n, batches: [{ ...log, size: lines.length }], events: lines }),
  applied: (upTo) =>
    `{"type":"applied","topic":"${log.topic}","scope":"${log.scope}","upTo":${upTo}}`,
  ping: write({ type: 'ping' }),
  hear(message) {
    const frame = JSON.parse(headOf(message, newline)) as GatewayFrame
    switch (frame.type) {
      case 'verdicts':
        for (const { refused } of frame.verdicts) {
          if (refused) throw new Error(`refused: ${JSON.stringify(refused)}`)
        }
        return { type: 'answered', upTo: frame.n + frame.verdicts.length - 1 }
      case 'deliver':
        return { type: 'delivered', after: frame.after, upTo: frame.upTo }
      case 'welcome':
        return { type: 'welcome' }
      case 'caughtUp':
        return caughtUp
      case 'pong':
      case 'subscribed':
      case 'published':
        return other
      default:
        throw new Error(`the gateway said ${JSON.stringify(frame)}`)
    }
  },
  ids: (message) =>
    message
      .toString()
      .split('\n')
      .slice(1)
      .map((line) => (JSON.parse(line) as { event: { id: string } }).event.id),
}

/** What limits/pipeline.ts speaks. */
export const pipelineDialect: Dialect = {
  writerHello: undefined,
  readerHello: '{"type":"subscribe","after":0}',
  submit: (n, lines) => `{"type":"submit","n":${n},"events":[${lines.join(',')}]}`,
  applied: () => undefined,
  ping: undefined,
  hear(message) {
    const head = headOf(message, bracket)
    const frame = JSON.parse(head.endsWith(':') ? `${head}[]}` : head) as {
      type: 'ack' | 'events' | 'live'
      n: number
      after: number
      upTo: number
    }
    if (frame.type === 'ack') return { type: 'answered', upTo: frame.n }
    if (frame.type === 'live') return caughtUp
    return { type: 'delivered', after: frame.after, upTo: frame.upTo }
  },
  ids: (message) =>
    (JSON.parse(message.toString()) as { events: { id: string }[] }).events.map(({ id }) => id),
}
