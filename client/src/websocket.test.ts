/** Against real WebSockets, whose other end MSW plays. */
import { parseClientFrame, system as realSystem, writeFrame } from '@tidemark/shared'
import { ws } from 'msw'
import { setupServer } from 'msw/node'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { createClient } from './client.ts'
import { memoryStore } from './store/memory.ts'
import { welcome } from './testing.ts'
import { inventoryLog, item, received } from './testing/inventory.ts'
import { connectWebSocket } from './websocket.ts'

const gateway = ws.link('ws://gateway.test/sync')
const server = setupServer()
beforeAll(() => server.listen())
afterEach(() => server.resetHandlers())
afterAll(() => server.close())

/** Connects and writes down what happens. */
function connect(url = 'ws://gateway.test/sync') {
  const happened: unknown[] = []
  const socket = connectWebSocket(url, {
    onOpen: () => happened.push('open'),
    onMessage: (message) => happened.push(message),
    onClose: (code, reason) => happened.push([code, reason]),
  })
  return { socket, happened }
}
const until = (check: () => void) => vi.waitFor(check, { interval: 1, timeout: 5_000 })

test('[L12] opening, messages and the close are told in order, and the close once', async () => {
  server.use(
    gateway.addEventListener('connection', ({ client }) => {
      client.addEventListener('message', ({ data }) => {
        if (data === 'bye') client.close(4409, 'SUPERSEDED')
        else client.send(`echo ${String(data)}`)
      })
    }),
  )
  const { socket, happened } = connect()
  await until(() => expect(happened).toEqual(['open']))
  socket.send('one')
  await until(() => expect(happened).toHaveLength(2))
  socket.send('bye')
  await until(() => expect(happened).toHaveLength(3))
  expect(happened).toEqual(['open', 'echo one', [4409, 'SUPERSEDED']])
  socket.close(1000, '')
  socket.send('after the end')
  expect(happened).toHaveLength(3)
})

test('[L12] a binary message closes the link', async () => {
  server.use(
    gateway.addEventListener('connection', ({ client }) => client.send(new Uint8Array([1, 2]))),
  )
  const { happened } = connect()
  await until(() => expect(happened.at(-1)).toEqual([4400, 'binary message']))
})

test('[L12] an address that is none is told by a close, later, and never thrown', async () => {
  const { happened } = connect('no address at all')
  expect(happened).toEqual([])
  await until(() => expect(happened).toMatchObject([[1006, expect.stringContaining('URL')]]))
})

test('[L12] closing does not wait for the other side', async () => {
  server.use(gateway.addEventListener('connection', () => undefined))
  const { socket, happened } = connect()
  socket.close(1000, 'done')
  expect(happened).toEqual([[1000, 'done']])
  await realSystem.breathe()
  expect(happened).toHaveLength(1)
})

test('an event reaches the gateway over a real WebSocket, and its entry comes back', async () => {
  const log = inventoryLog()
  const applied: unknown[] = []
  server.use(
    gateway.addEventListener('connection', ({ client }) => {
      client.addEventListener('message', ({ data }) => {
        const frame = parseClientFrame(String(data))
        if (frame.type === 'hello') {
          for (const each of [welcome(), log.subscribed(), log.caughtUp()])
            client.send(writeFrame(each))
        }
        if (frame.type === 'submit') {
          const { n } = frame
          client.send(writeFrame({ type: 'verdicts', n, verdicts: [log.append(frame.events)] }))
          client.send(writeFrame(log.deliver()))
        }
        if (frame.type === 'applied') applied.push(frame.upTo)
      })
    }),
  )
  const url = 'ws://gateway.test/sync'
  const client = createClient({ url, user: 'ann', models: { item }, store: memoryStore() })
  const { settled } = await client.append(received(5))
  expect(await settled).toEqual({ type: 'accepted', position: 1, revision: 1 })
  await until(() => expect(applied).toEqual([1]))
  expect(client.model.item('sku-1').getSnapshot()).toMatchObject({
    state: { onHand: 5 },
    pending: 0,
  })
  await client.close()
})
