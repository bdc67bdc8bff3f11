/** The parts of the world that both sides are handed: sockets and locks. */
import type { Cancel } from './system.ts'

/** One end of an open connection, whatever carries it. */
export interface Socket {
  /** Sends one text message; bytes are its UTF-8, encoded once for many sockets. Does nothing once closed. */
  send(message: string | Uint8Array): void
  /** Closes with a WebSocket close code. `onClose` follows, also where the other side never answers. */
  close(code: number, reason: string): void
}

/** What happens on a connection. They are handed over before it opens, so nothing can be missed. */
export interface SocketHandlers {
  onOpen(): void
  onMessage(message: string): void
  /** The connection is gone, for whatever reason. Called once, last. */
  onClose(code: number, reason: string): void
}

/** Opens a connection. Never throws: what fails is told by `onClose`. */
export type Connect = (url: string, handlers: SocketHandlers) => Socket

/** Named locks that one holder at a time has, across the tabs of an origin: the Web Locks API, or its like. */
export interface Locks {
  /**
   * Waits for the lock, runs `hold`, and lets go when its promise settles. `signal` gives up waiting;
   * `steal` takes the lock from its holder, whose own `lost` then aborts.
   */
  request(
    name: string,
    options: { readonly signal?: AbortSignal; readonly steal?: boolean },
    hold: (lost: AbortSignal) => Promise<void>,
  ): Promise<void>
}

/** A doorbell between the tabs of an origin. It says that something changed, never what. */
export interface Broadcast {
  /** Does nothing once closed. */
  post(message: unknown): void
  listen(heard: (message: unknown) => void): Cancel
  close(): void
}
