/** Upgrades for tests over a bare socket: with any target and any headers, and ended in any way. */
import { connect, type Socket } from 'node:net'

/** Asks for an upgrade, and resolves with the socket when all of it was sent. Headers replace those that a browser would send. */
export function rawUpgrade(
  address: string,
  target: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<Socket> {
  const { hostname, port, host } = new URL(address)
  const all = {
    Host: host,
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
    ...headers,
  }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
  const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true })
  // What goes wrong on it is what the test is about.
  socket.on('error', () => {})
  return new Promise((resolve) => {
    socket.write(`GET ${target} HTTP/1.1\r\n${lines.join('')}\r\n`, () => resolve(socket))
  })
}

/** Asks for an upgrade, and resolves with the first line of the answer. */
export async function statusLineOf(...asked: Parameters<typeof rawUpgrade>): Promise<string> {
  const socket = await rawUpgrade(...asked)
  const [line = ''] = await new Promise<string[]>((resolve) => {
    socket.once('data', (data) => resolve(data.toString().split('\r\n')))
    socket.once('close', () => resolve([]))
  })
  socket.destroy()
  return line
}
