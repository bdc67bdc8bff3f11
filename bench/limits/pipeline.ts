/**
 * The limit for the gateway: what a careful person would write by hand for one job, with nothing but
 * `ws` and `node:sqlite`, and the same durability. Events of all connections are committed in groups
 * (WAL, synchronous=FULL, ids as unique blobs), answered after the commit, and broadcast as one
 * serialized frame; a reader that comes later gets the stored JSON spliced into frames, unparsed.
 * It authenticates nobody, checks no schema, keeps no verdicts and has one log. It is not tuned along
 * with the gateway: that is the point of it.
 *
 * The protocol: `{"type":"submit","n":1,"events":[…]}` is answered by `{"type":"ack","n":1}`;
 * `{"type":"subscribe","after":0}` by `{"type":"events","after":0,"upTo":100,"events":[…]}`, again
 * and again; the event at index i has position after + i + 1.
 */
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type WebSocket, WebSocketServer } from 'ws'
import { announce } from '../process.ts'

interface Submitted {
  readonly socket: WebSocket
  readonly n: number
  readonly events: readonly { readonly id: string }[]
}

const pageEntries = 1_000

const db = new DatabaseSync(join(process.argv.at(-1) ?? '.', 'pipeline.db'))
db.exec(`
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  PRAGMA cache_size = -65536;
  PRAGMA wal_autocheckpoint = 8000;
  CREATE TABLE entries (position INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, body TEXT NOT NULL);
`)
const insert = db.prepare(
  'INSERT INTO entries (position, id, body) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING',
)
const page = db.prepare('SELECT body FROM entries WHERE position > ? ORDER BY position LIMIT ?')
const begin = db.prepare('BEGIN IMMEDIATE')
const commit = db.prepare('COMMIT')

let head = 0
let pending: Submitted[] = []
const live = new Set<WebSocket>()

/** Commits everything that came in since the last turn, then answers and broadcasts it. */
function flush(): void {
  const group = pending
  pending = []
  const after = head
  const bodies: string[] = []
  begin.run()
  for (const { events } of group) {
    for (const event of events) {
      const body = JSON.stringify(event)
      const id = Buffer.from(event.id.replaceAll('-', ''), 'hex')
      if (insert.run(head + 1, id, body).changes === 0) continue
      head += 1
      bodies.push(body)
    }
  }
  commit.run()
  for (const { socket, n } of group) socket.send(`{"type":"ack","n":${n}}`)
  if (bodies.length > 0) {
    const frame = Buffer.from(writeEvents(after, bodies))
    for (const socket of live) socket.send(frame, { binary: false })
  }
}

/** Sends page after page, each when the one before it has left, and joins the broadcast at the head. */
function catchUp(socket: WebSocket, after: number): void {
  const rows = page.all(after, pageEntries) as unknown as readonly { readonly body: string }[]
  if (rows.length === 0) {
    live.add(socket)
    socket.send('{"type":"live"}')
    return
  }
  const frame = writeEvents(
    after,
    rows.map(({ body }) => body),
  )
  socket.send(frame, (gone) => gone ?? catchUp(socket, after + rows.length))
}

const writeEvents = (after: number, bodies: readonly string[]): string =>
  `{"type":"events","after":${after},"upTo":${after + bodies.length},"events":[${bodies.join(',')}]}`

function receive(socket: WebSocket, text: string): void {
  const frame = JSON.parse(text)
  if (frame.type === 'submit') {
    if (pending.length === 0) setImmediate(flush)
    pending.push({ socket, n: frame.n, events: frame.events })
  } else if (frame.type === 'subscribe') {
    catchUp(socket, frame.after)
  } else {
    socket.close(1008, 'unknown frame')
  }
}

const server = new WebSocketServer({
  host: '127.0.0.1',
  port: 0,
  perMessageDeflate: false,
  maxPayload: 1_048_576,
})
server.on('connection', (socket) => {
  socket.on('message', (data: Buffer) => receive(socket, data.toString()))
  socket.on('close', () => live.delete(socket))
  socket.on('error', () => socket.terminate())
})
server.on('listening', () => {
  announce((server.address() as AddressInfo).port, async () => {
    for (const socket of server.clients) socket.terminate()
    server.close()
    db.close()
  })
})
