/**
 * Listens on the wire and says what was answered and delivered. It keeps its own small model of a
 * link's numbering, so that it knows which events a verdict is about without asking the gateway.
 */
import type { LogName } from '@tidemark/shared'
import type { History } from './history.ts'
import { idOf } from './lines.ts'
import type { Overheard } from './network.ts'

interface Batch {
  readonly log: LogName
  readonly ids: readonly string[]
}

interface Link {
  /** What the gateway has let in, by its number on this link. */
  readonly batches: Map<number, Batch>
  next: number
}

/** The frames that the taps need, as loosely as they came over the wire. */
interface Frame {
  readonly type: string
  readonly n?: number
  readonly topic?: string
  readonly scope?: string
  readonly after?: number
  readonly upTo?: number
  readonly batches?: readonly { topic: string; scope: string; size: number }[]
  readonly verdicts?: readonly {
    position?: number
    revisions?: readonly number[]
    refused?: { id: string; code: string; details?: { actual?: number } }
  }[]
}

/** Called with the ids of each submit as it leaves a client. */
export type OnSubmitted = (from: string, ids: readonly string[]) => void

/** Follows every link there is. */
export class Overhearing {
  /** Hears of every submit that leaves a client. */
  onSubmitted: OnSubmitted = () => {}
  readonly #history: History
  readonly #welcomed = new Set<number>()
  readonly #links = new Map<number, Link>()

  constructor(history: History) {
    this.#history = history
  }

  /** Has the client on this connection been welcomed? */
  isWelcomed(connection: number): boolean {
    return this.#welcomed.has(connection)
  }

  /** A message left a side. */
  sent({ connection, from, to, side, message }: Overheard): void {
    const [head = '', ...lines] = message.split('\n')
    this.#history.note(`${from} ⇢ ${to} #${connection} ${head.slice(0, 300)} +${lines.length}`)
    const frame = JSON.parse(head) as Frame
    if (side === 'client') {
      if (frame.type === 'submit') this.onSubmitted(from, lines.map(idOf))
      return
    }
    const link = this.#link(connection)
    if (frame.type === 'verdicts') this.#answered(link, frame)
    else if (frame.type === 'deliver') this.#delivered(frame, lines)
    else if (frame.n !== undefined) link.next = frame.n
  }

  /** A message reached a side. */
  received({ connection, from, to, message }: Overheard): void {
    const [head = '', ...lines] = message.split('\n')
    this.#history.note(`${from} → ${to} #${connection} ${head.slice(0, 60)} +${lines.length}`)
    const frame = JSON.parse(head) as Frame
    if (frame.type === 'welcome') this.#welcomed.add(connection)
    if (frame.type === 'submit') this.#submitted(this.#link(connection), frame, lines)
  }

  #link(connection: number): Link {
    const link = this.#links.get(connection) ?? { batches: new Map<number, Batch>(), next: 1 }
    this.#links.set(connection, link)
    return link
  }

  #submitted(link: Link, { n = 0, batches = [] }: Frame, lines: readonly string[]): void {
    let at = 0
    for (const [index, { topic, scope, size }] of batches.entries()) {
      const ids = lines.slice(at, at + size).map(idOf)
      at += size
      if (n + index !== link.next) continue
      link.batches.set(link.next, { log: { topic, scope }, ids })
      link.next += 1
    }
  }

  #answered(link: Link, { n = 0, verdicts = [] }: Frame): void {
    for (const [index, { position = 0, revisions = [], refused }] of verdicts.entries()) {
      const batch = link.batches.get(n + index)
      for (const [at, id] of (batch?.ids ?? []).entries()) {
        const answer = refused
          ? toRefused(id, refused)
          : {
              type: 'accepted' as const,
              position: position + at,
              revision: revisions[at] ?? 0,
            }
        if (batch) this.#history.state({ type: 'answered', log: batch.log, id, answer })
      }
    }
  }

  #delivered({ topic = '', scope = '', after = 0, upTo = 0 }: Frame, lines: string[]): void {
    this.#history.state({ type: 'delivered', log: { topic, scope }, after, upTo, lines })
  }
}

const toRefused = (
  id: string,
  refused: { id: string; code: string; details?: { actual?: number } },
) => ({
  type: 'refused' as const,
  code: id === refused.id ? refused.code : 'BATCH_REFUSED',
  ...(refused.details?.actual !== undefined && { actual: refused.details.actual }),
})
