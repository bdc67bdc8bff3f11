/** The gateway as it is measured: what users run, on a log in a file, without a broker. */
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { type WebSocket, WebSocketServer } from 'ws'
import { createGateway } from '../../server/src/gateway.ts'
import { sqliteLog } from '@tidemark/server/log/sqlite'
import { inventory } from '../inventory.ts'
import { announce } from '../process.ts'

const log = sqliteLog(join(process.argv.at(-1) ?? '.', 'gateway.db'))
const gateway = createGateway({
  log,
  topics: [inventory],
  authenticate: () => ({ author: 'u-42' }),
  authorize: () => 'allow',
})
const server = new WebSocketServer({
  host: '127.0.0.1',
  port: 0,
  perMessageDeflate: false,
  maxPayload: gateway.limits.frameBytesMax,
})
server.on('connection', (socket: WebSocket) => {
  const connection = gateway.connect({
    send: (message) => socket.send(message, { binary: false }),
    close: (code, reason) => socket.close(code, reason),
  })
  socket.on('message', (data: Buffer) => connection.onMessage(data.toString()))
  socket.on('close', () => connection.onClose())
  socket.on('error', () => socket.terminate())
})
server.on('listening', () => {
  announce((server.address() as AddressInfo).port, async () => {
    await gateway.close()
    for (const socket of server.clients) socket.terminate()
    server.close()
    await log.close()
  })
})
