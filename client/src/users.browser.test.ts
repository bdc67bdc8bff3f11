/** In a real Chromium: who uses this device, and what is left when its database goes. */
import { system } from '@tidemark/shared'
import { expect, test } from 'vitest'
import { type ClientOptions, createClient } from './client.ts'
import { adopt, importUnsynced } from './rescue.ts'
import { signOut } from './sign-out.ts'
import { createTestNetwork, type TestConnection, TestLog, welcome } from './testing.ts'
import { inventory, item, received } from './testing/inventory.ts'

let places = 0
const nextName = () => `users-${performance.timeOrigin}-${places++}`

type Options = Partial<ClientOptions<{ item: typeof item }>>
const open = (name: string, user: string, options: Options = {}) =>
  createClient({
    url: 'ws://127.0.0.1:9',
    user,
    name,
    models: { item },
    onError: () => {},
    ...options,
  })
type App = ReturnType<typeof open>
const pending = (client: App) => client.status.getSnapshot().pending
const loaded = (client: App) =>
  expect.poll(() => client.model.item('sku-1').getSnapshot().status).not.toBe('loading')
const databases = async (name: string) =>
  (await indexedDB.databases())
    .map((each) => each.name ?? '')
    .filter((each) => each.startsWith(name))

/** A gateway that takes the token for the author, and accepts everything. */
function createGateway() {
  const log = new TestLog({ topic: inventory.name, scope: 'default' })
  const network = createTestNetwork()
  const serve = (connection: TestConnection): void => {
    if (connection.closed) return
    let author = authors.get(connection)
    if (author === undefined) {
      authors.set(connection, '')
      return connection.open()
    }
    for (const frame of connection.received.splice(0)) {
      if (frame.type === 'hello') {
        authors.set(connection, (author = frame.token ?? ''))
        connection.send(welcome(author), log.subscribed())
        const { position = 0 } = frame.subscriptions[0]?.cursor ?? {}
        if (log.head > position) connection.send(log.deliver(position))
        connection.send(log.caughtUp())
      }
      if (frame.type !== 'submit') continue
      const before = log.head
      const lines = [...frame.events]
      const verdicts = frame.batches.map(({ size }) => log.append(lines.splice(0, size), author))
      connection.send({ type: 'verdicts', n: frame.n, verdicts }, log.deliver(before))
    }
  }
  const authors = new Map<TestConnection, string>()
  const serveAll = async (): Promise<void> => {
    for (const connection of network.connections) serve(connection)
    await system.breathe()
  }
  return { log, connect: network.connect, serveAll }
}

test('[U1] two users queue offline on one device; both return, and each has their own in the log', async () => {
  const name = nextName()
  const ann = open(name, 'ann')
  for (let n = 0; n < 5; n++) await ann.append(received(1))
  expect(pending(ann)).toBe(5)
  await signOut(ann, { unsynced: 'keep' })

  const ben = open(name, 'ben')
  await loaded(ben)
  expect([pending(ben), ben.model.item('sku-1').get()]).toEqual([0, undefined])
  for (let n = 0; n < 3; n++) await ben.append(received(10))
  expect([pending(ben), ben.model.item('sku-1').get()]).toEqual([3, { onHand: 30 }])
  await signOut(ben, { unsynced: 'keep' })

  const gateway = createGateway()
  for (const user of ['ann', 'ben']) {
    const back = open(name, user, { token: () => user, connect: gateway.connect })
    await loaded(back)
    expect(pending(back)).toBe(user === 'ann' ? 5 : 3)
    await expect
      .poll(async () => (await gateway.serveAll(), pending(back)), { timeout: 10_000 })
      .toBe(0)
    await back.close()
  }
  const authors = gateway.log.lines.map((line) => (JSON.parse(line) as { author: string }).author)
  expect(authors).toEqual([...Array(5).fill('ann'), ...Array(3).fill('ben')])
})

test('[U1] a token of somebody else sends nothing of this user', async () => {
  const name = nextName()
  const gateway = createGateway()
  const ann = open(name, 'ann', { token: () => 'ben', connect: gateway.connect })
  await ann.append(received(5))
  await expect
    .poll(async () => (await gateway.serveAll(), ann.status.getSnapshot().link))
    .toBe('wrong-user')
  expect([gateway.log.lines, pending(ann)]).toEqual([[], 1])
  await ann.close()
})

test('[U2] signing out with an export leaves no database, in any tab, and the file works elsewhere', async () => {
  const name = nextName()
  const tabs = [open(name, 'ann'), open(name, 'ann')] as const
  await tabs[0].append([received(1), received(2)])
  await tabs[1].append(received(3))
  const file = await signOut(tabs[1], { unsynced: 'export' })
  await expect.poll(() => tabs[0].status.getSnapshot().link).toBe('closed')
  expect(await databases(name)).toEqual([])
  expect(Object.keys(localStorage).filter((key) => key.startsWith(name))).toEqual([])

  const elsewhere = open(nextName(), 'ann')
  expect((await importUnsynced(elsewhere, file)).imported).toHaveLength(3)
  expect((await importUnsynced(elsewhere, file)).known).toHaveLength(3)
  expect([pending(elsewhere), elsewhere.model.item('sku-1').get()]).toEqual([3, { onHand: 6 }])
  await signOut(elsewhere, { unsynced: 'discard' })
})

test('[U3] what was appended before signing in is adopted', async () => {
  const name = nextName()
  const anonymous = open(name, 'anonymous')
  await anonymous.append([received(1), received(2)])
  const ann = open(name, 'ann')
  expect((await adopt(ann, anonymous)).imported).toHaveLength(2)
  expect([pending(ann), ann.model.item('sku-1').get()]).toEqual([2, { onHand: 3 }])
  expect((await databases(name)).filter((each) => each.includes('anonymous'))).toEqual([])
  await signOut(ann, { unsynced: 'discard' })
})

test('[E1] Chromium is asked to keep the database', async () => {
  const client = open(nextName(), 'ann')
  await client.append(received(1))
  await expect.poll(() => typeof client.status.getSnapshot().persisted).toBe('boolean')
  await signOut(client, { unsynced: 'discard' })
})

test('[E2] a database that is deleted behind our back is said to be lost, until somebody has seen it', async () => {
  const name = nextName()
  const before = open(name, 'ann')
  await before.append([received(1), received(2)])
  await before.close()
  for (const database of await databases(name)) {
    await new Promise((resolve, reject) => {
      const request = indexedDB.deleteDatabase(database)
      request.addEventListener('success', resolve)
      request.addEventListener('error', reject)
    })
  }
  const after = open(name, 'ann')
  await expect.poll(() => after.status.getSnapshot().lost?.events).toBe(2)
  expect(pending(after)).toBe(0)
  await after.close()
  const reloaded = open(name, 'ann')
  await expect.poll(() => reloaded.status.getSnapshot().lost?.events).toBe(2)
  reloaded.acknowledgeLoss()
  expect(reloaded.status.getSnapshot().lost).toBe(undefined)
  await reloaded.close()
  const last = open(name, 'ann')
  await loaded(last)
  expect(last.status.getSnapshot().lost).toBe(undefined)
  await last.close()
})

test('[E4] a database that is deleted while the page is open is said, takes nothing more, and what the page still holds is sent', async () => {
  const name = nextName()
  const gateway = createGateway()
  const client = open(name, 'ann', { token: () => 'ann', connect: gateway.connect })
  await client.append([received(1), received(2)])
  await loaded(client)
  for (const database of await databases(name)) {
    await new Promise((resolve) => {
      indexedDB.deleteDatabase(database).addEventListener('success', resolve)
    })
  }
  await expect
    .poll(async () => (await gateway.serveAll(), gateway.log.lines.length), { timeout: 10_000 })
    .toBe(2)
  await expect(client.append(received(3))).rejects.toMatchObject({ code: 'STORE_DELETED' })
  expect(client.status.getSnapshot().storage).toBe('STORE_DELETED')
  expect(await databases(name)).toEqual([])
  await client.close()

  const reloaded = open(name, 'ann', { token: () => 'ann', connect: gateway.connect })
  await expect
    .poll(async () => (await gateway.serveAll(), reloaded.model.item('sku-1').get()?.onHand))
    .toBe(3)
  await reloaded.append(received(4))
  await expect.poll(async () => (await gateway.serveAll(), pending(reloaded))).toBe(0)
  expect(gateway.log.lines).toHaveLength(3)
  await reloaded.close()
})
