/** A client for tests that speaks frames over a real WebSocket. */
import {
  type ClientFrame,
  type Entry,
  type FrameOf,
  type GatewayFrame,
  parseEntry,
  parseGatewayFrame,
  system,
  writeFrame,
} from '@tidemark/shared'
import { type ClientOptions, WebSocket } from 'ws'
import { hello } from './client.ts'

/** One connection, and everything that came over it. */
export class SocketClient {
  readonly socket: WebSocket
  readonly frames: GatewayFrame[] = []
  closed: { readonly code: number; readonly reason: string } | undefined
  #wake: () => void = () => {}

  constructor(url: string, options: ClientOptions = {}) {
    this.socket = new WebSocket(url, options)
    this.socket.on('message', (data: Buffer) => {
      this.frames.push(parseGatewayFrame(data.toString()))
      this.#wake()
    })
    this.socket.on('close', (code, reason: Buffer) => {
      this.closed = { code, reason: reason.toString() }
      this.#wake()
    })
    this.socket.on('open', () => this.#wake())
    this.socket.on('error', () => {})
  }

  /** Resolves when the connection is open, or has failed. */
  async opened(): Promise<this> {
    await this.until(() => this.socket.readyState !== WebSocket.CONNECTING)
    return this
  }

  /** Says hello, and waits for the welcome. */
  async welcomed(rest: Partial<FrameOf<'hello'>> = {}): Promise<this> {
    await this.opened()
    this.send(hello(system, rest))
    await this.frame('welcome')
    return this
  }

  send(...frames: readonly ClientFrame[]): void {
    for (const frame of frames) this.socket.send(writeFrame(frame))
  }

  /** Waits until `met`, looking again at each frame and at the close. */
  async until(met: () => boolean): Promise<void> {
    while (!met() && !this.closed) await new Promise<void>((resolve) => (this.#wake = resolve))
  }

  /** Waits for the first frame of a type that satisfies `met`. Throws where the connection ends before. */
  async frame<Type extends GatewayFrame['type']>(
    type: Type,
    met: (frame: FrameOf<Type>) => boolean = () => true,
  ): Promise<FrameOf<Type>> {
    const find = (): FrameOf<Type> | undefined =>
      this.frames.find(
        (frame): frame is FrameOf<Type> => frame.type === type && met(frame as FrameOf<Type>),
      )
    await this.until(() => find() !== undefined)
    const found = find()
    if (!found) throw new Error(`closed ${JSON.stringify(this.closed)} before ${type}`)
    return found
  }

  /** Waits for the end of the connection. */
  async ended(): Promise<{ readonly code: number; readonly reason: string }> {
    await this.until(() => false)
    return this.closed ?? { code: 0, reason: '' }
  }

  /** Everything that was delivered. */
  get entries(): readonly Entry[] {
    return this.frames
      .filter((frame) => frame.type === 'deliver')
      .flatMap(({ entries, topic, scope }) =>
        entries.map((line) => parseEntry({ topic, scope }, line)),
      )
  }
}
