/** The `Connect` port on the platform's own WebSocket: browsers, Node, workers. */
import type { Connect } from '@tidemark/shared'

/** No gateway sends as much in one message; who does is not one. In UTF-16 code units. */
const messageLengthMax = 16_777_216

/** Opens a WebSocket. */
export const connectWebSocket: Connect = (url, handlers) => {
  let isClosed = false
  const closed = (code: number, reason: string): void => {
    if (isClosed) return
    isClosed = true
    handlers.onClose(code, reason)
  }
  let socket: WebSocket
  try {
    socket = new WebSocket(url)
  } catch (error) {
    // A URL that is none, or one that the page may not connect to. Told like every other failure, not thrown.
    void Promise.resolve().then(() => closed(1006, String(error)))
    return { send: () => undefined, close: (code, reason) => closed(code, reason) }
  }
  const close = (code: number, reason: string): void => {
    // The closing handshake may hang for minutes on a dead network; nobody should wait for it.
    socket.close(code, reason)
    closed(code, reason)
  }
  socket.onopen = () => {
    if (!isClosed) handlers.onOpen()
  }
  socket.onmessage = ({ data }: MessageEvent<unknown>) => {
    if (isClosed) return
    if (typeof data !== 'string') close(4400, 'binary message')
    else if (data.length > messageLengthMax) close(4400, 'message too large')
    else handlers.onMessage(data)
  }
  socket.onclose = ({ code, reason }) => closed(code, reason)
  // An error is always followed by a close.
  socket.onerror = () => undefined
  return {
    send(message) {
      if (socket.readyState !== WebSocket.OPEN) return
      // Some typings of bytes allow shared memory, which a socket does not take.
      socket.send(typeof message === 'string' ? message : new Uint8Array(message))
    },
    close,
  }
}
