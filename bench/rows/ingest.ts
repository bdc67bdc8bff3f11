/** How fast events get in and on to a reader: from one client in batches, and from many at once. */
import type { Bench } from '../bench.ts'
import { type Link, openLink, writeEvent } from '../wire.ts'
import { type Load, openServers, type Target } from './sides.ts'

/** One client, batches of 100, up to 8 unanswered; the clock stops when all are answered and delivered to a second. */
export const ingestBatch: Bench = {
  name: 'ingest-batch',
  unit: 'events/s',
  goal: { atLeast: 0.6 },
  about: 'one client, atomic batches of 100, accepted and delivered to a second client',
  open: () =>
    openServers((target) => openIngest(target, { writers: 1, batch: 100, window: 8 }, 1_000)),
}

/** 200 clients that each send one event, wait for its answer and send the next. */
export const ingestMany: Bench = {
  name: 'ingest-many',
  unit: 'events/s',
  goal: { atLeast: 0.6 },
  about: '200 clients, one event each in a closed loop, accepted and delivered to a reader',
  open: () =>
    openServers((target) => openIngest(target, { writers: 200, batch: 1, window: 1 }, 300)),
}

interface Shape {
  readonly writers: number
  /** Events in a submit. */
  readonly batch: number
  /** Unanswered submits of one writer. */
  readonly window: number
}

/** Opens the links, and measures `submits` from each writer in a run. */
export async function openIngest(target: Target, shape: Shape, submits: number): Promise<Load> {
  const { port, dialect } = target
  const reader = await openLink(port, dialect, 'reader')
  const writers: Link[] = []
  for (let n = 0; n < shape.writers; n += 1) writers.push(await openLink(port, dialect, 'writer'))
  return {
    run: () => runIngest(target, shape, submits, reader, writers),
    close: () => [reader, ...writers].forEach((link) => link.close()),
  }
}

async function runIngest(
  { dialect }: Target,
  { batch, window }: Shape,
  submits: number,
  reader: Link,
  writers: readonly Link[],
): Promise<number> {
  const sent: string[] = []
  const writing = writers.map((link) => {
    const messages = Array.from({ length: submits }, (_, index) => {
      const events = Array.from({ length: batch }, writeEvent)
      sent.push(...events.map(({ id }) => id))
      return dialect.submit(
        link.n + index,
        events.map(({ line }) => line),
      )
    })
    return { link, messages }
  })
  const received: Buffer[] = []
  const start = performance.now()
  await Promise.all([
    hearAll(reader, sent.length, received),
    ...writing.map(({ link, messages }) => sendAll(link, messages, window)),
  ])
  const ms = performance.now() - start
  checkOnce(sent, received.flatMap(dialect.ids))
  return (sent.length / ms) * 1_000
}

/** Sends a link's messages with at most `window` of them unanswered, and resolves at the last answer. */
const sendAll = (link: Link, messages: readonly string[], window: number): Promise<void> =>
  new Promise((resolve) => {
    const first = link.n
    link.n += messages.length
    let next = 0
    let answered = 0
    const send = (): void => {
      for (; next < messages.length && next < answered + window; next += 1) {
        link.send(messages[next] ?? '')
      }
    }
    link.onHeard = (heard) => {
      if (heard.type !== 'answered') return
      answered = heard.upTo - first + 1
      if (answered === messages.length) resolve()
      else send()
    }
    send()
  })

/** Collects messages until `count` entries have come. */
export const hearAll = (link: Link, count: number, received: Buffer[]): Promise<void> =>
  new Promise((resolve) => {
    let missing = count
    link.onHeard = (heard, message) => {
      if (heard.type !== 'delivered') return
      received.push(message)
      missing -= heard.upTo - heard.after
      if (missing <= 0) resolve()
    }
  })

/** Throws unless each event was delivered, and once. */
export function checkOnce(sent: readonly string[], received: readonly string[]): void {
  const ids = new Set(received)
  const missing = sent.filter((id) => !ids.has(id)).length
  if (missing > 0 || received.length !== sent.length) {
    throw new Error(`sent ${sent.length}, received ${received.length}, missing ${missing}`)
  }
}
