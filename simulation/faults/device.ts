/**
 * A device that speaks frames over a real WebSocket and forgets nothing: what has no verdict is submitted
 * again over the next link, in order. What it appends and what it is told goes to the run.
 */
import {
  type Claim,
  type EventId,
  type GatewayFrame,
  type LogName,
  parseGatewayFrame,
  system,
  writeClaim,
  writeFrame,
} from '@tidemark/shared'
import { WebSocket } from 'ws'
import { toRealMs } from './hasty.ts'

/** Events that are appended together. */
interface Batch {
  readonly log: LogName
  readonly ids: readonly string[]
  readonly lines: readonly string[]
}

/** What a device tells the run. */
export interface DeviceOptions {
  readonly name: string
  /** Where a gateway is now. */
  readonly address: () => string | undefined
  readonly onAppended: (device: string, log: LogName, lines: readonly string[]) => void
  /** The verdict on an event: its place, or why it was refused. */
  readonly onVerdict: (log: LogName, id: string, verdict: DeviceVerdict) => void
}

/** A verdict, as the frame says it. */
export type DeviceVerdict =
  | { readonly position: number; readonly revision: number }
  | { readonly code: string }

/** Batches that are under way at once. */
const underWayMax = 8
/** How long a device without a link waits until it tries again, in ms. */
const retryMs = 60
/** Verdicts that it makes as if it had not heard, now and then. */
const rememberedMax = 20

/** One device. */
export class Device {
  readonly #options: DeviceOptions
  readonly #clientId = system.uuid()
  readonly #incarnation = system.uuid()
  readonly #outbox: Batch[] = []
  /** Has its verdict, and may be submitted once more: the answer has to be the same. */
  readonly #remembered: Batch[] = []
  #socket: WebSocket | undefined
  #isWelcome = false
  /** The number of the first batch of the outbox on this link, and how many have been submitted. */
  #first = 1
  #submitted = 0
  #isClosed = false

  constructor(options: DeviceOptions) {
    this.#options = options
    this.#connect()
  }

  /** Batches without a verdict. */
  get pending(): number {
    return this.#outbox.length
  }

  /** Appends events as one batch. It is on record before it is sent. */
  append(log: LogName, drafts: readonly Pick<Claim, 'stream' | 'type' | 'data'>[]): void {
    const claims = drafts.map((draft): Claim => {
      const id = system.uuid() as EventId
      return { ...draft, id, version: 1, occurredAt: system.now() }
    })
    const lines = claims.map(writeClaim)
    this.#options.onAppended(this.#options.name, log, lines)
    this.#outbox.push({ log, ids: claims.map(({ id }) => id), lines })
    this.#submit()
  }

  close(): void {
    this.#isClosed = true
    this.#socket?.terminate()
  }

  #connect(): void {
    const address = this.#options.address()
    if (this.#isClosed) return
    if (address === undefined) return void setTimeout(() => this.#connect(), retryMs)
    const socket = new WebSocket(address)
    this.#socket = socket
    socket.on('open', () => this.#hello(socket))
    socket.on('message', (data: Buffer) => this.#hear(parseGatewayFrame(data.toString())))
    socket.on('error', () => {})
    socket.on('close', () => {
      this.#isWelcome = false
      setTimeout(() => this.#connect(), retryMs)
    })
  }

  #hello(socket: WebSocket): void {
    const range = { protocolMin: 1, protocolMax: 1 }
    const [clientId, incarnation] = [this.#clientId, this.#incarnation]
    const { name: token } = this.#options
    const hello = { type: 'hello', ...range, clientId, incarnation, token } as const
    socket.send(writeFrame({ ...hello, subscriptions: [] }))
  }

  #hear(frame: GatewayFrame): void {
    switch (frame.type) {
      case 'welcome':
        this.#isWelcome = true
        this.#first = 1
        this.#submitted = 0
        // As if the verdicts had been lost with the last link.
        this.#outbox.unshift(...this.#remembered.splice(0))
        return this.#submit()
      case 'verdicts':
        for (const verdict of frame.verdicts) this.#conclude(verdict)
        return this.#submit()
      case 'later':
        this.#submitted = 0
        this.#isWelcome = false
        setTimeout(() => this.#resume(), toRealMs(frame.retryAfterMs))
        return
      case 'goaway':
      case 'error':
        return this.#socket?.terminate()
      default:
    }
  }

  #resume(): void {
    this.#isWelcome = this.#socket?.readyState === WebSocket.OPEN
    this.#submit()
  }

  #conclude(verdict: {
    readonly position?: number | undefined
    readonly revisions?: readonly number[] | undefined
    readonly refused?: { readonly code: string } | undefined
  }): void {
    const batch = this.#outbox.shift()
    if (!batch) throw new Error('a verdict on nothing')
    this.#first += 1
    this.#submitted -= 1
    const { position = 0, revisions = [], refused } = verdict
    for (const [at, id] of batch.ids.entries()) {
      const answer = refused
        ? { code: refused.code }
        : { position: position + at, revision: revisions[at] ?? 0 }
      this.#options.onVerdict(batch.log, id, answer)
    }
    this.#remembered.push(batch)
    if (this.#remembered.length > rememberedMax) this.#remembered.shift()
  }

  #submit(): void {
    if (!this.#isWelcome) return
    const batches = this.#outbox.slice(this.#submitted, underWayMax)
    if (batches.length === 0) return
    const n = this.#first + this.#submitted
    this.#submitted += batches.length
    const sizes = batches.map(({ log, lines }) => ({ ...log, size: lines.length }))
    const events = batches.flatMap(({ lines }) => lines)
    this.#socket?.send(writeFrame({ type: 'submit', n, batches: sizes, events }))
  }
}
