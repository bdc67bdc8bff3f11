/** The world itself: time, order, crashes and freezes, and a network that keeps what TCP promises. */
import type { SocketHandlers } from '@tidemark/shared'
import { expect, test } from 'vitest'
import { calm, Network } from './network.ts'
import { replaceOnce } from './plant.ts'
import { Random } from './random.ts'
import { type Life, Machine, World } from './world.ts'

const createWorld = (seed = 1) => new World(new Random(seed))

test('time passes only from one thing to the next, and things of one time run in an order of the seed', async () => {
  const run = async (seed: number) => {
    const world = createWorld(seed)
    const order: number[] = []
    for (const n of [1, 2, 3, 4, 5]) world.after(10, () => order.push(n))
    world.after(5, () => order.push(0))
    await world.runUntil(60_000)
    expect(world.now).toBe(60_000)
    return order.join('')
  }
  expect(await run(1)).toBe(await run(1))
  const orders = new Set(await Promise.all([1, 2, 3, 4, 5, 6].map(run)))
  expect(orders.size).toBeGreaterThan(1)
  for (const order of orders) expect(order).toMatch(/^0[1-5]{5}$/)
})

test('after a crash no timer fires and no port answers', async () => {
  const world = createWorld()
  const life = new Machine('m').begin(world)
  const happened: string[] = []
  life.system.after(10, () => happened.push('timer'))
  void life.pause(10).then(() => happened.push('pause'))
  void life.system.breathe().then(() => happened.push('breath'))
  world.after(5, () => life.end())
  await world.runUntil(1_000)
  expect(happened).toEqual(['breath'])
})

test('what is due on a frozen machine comes late, in the order in which it was due', async () => {
  const world = createWorld()
  const machine = new Machine('m')
  const life = machine.begin(world)
  const happened: [number, number][] = []
  for (const n of [3, 1, 2]) world.after(n * 10, () => happened.push([n, world.now]), life)
  machine.freezeUntil(1_000)
  await world.runUntil(2_000)
  expect(happened).toEqual([
    [1, 1_000],
    [2, 1_000],
    [3, 1_000],
  ])
})

test('a timer longer than 2^31 ms fires at once, as it does everywhere', async () => {
  const world = createWorld()
  const { system } = new Machine('m').begin(world)
  let firedAt = -1
  system.after(2 ** 31, () => (firedAt = world.now))
  await world.runUntil(100)
  expect(firedAt).toBeGreaterThan(0)
})

test('a stream of draws does not depend on what another one has drawn', () => {
  const draws = (before: number) => {
    const random = new Random(7)
    const other = random.fork('other')
    for (let n = 0; n < before; n++) other.float()
    const mine = random.fork('mine')
    return [mine.float(), mine.below(1_000), mine.uuid(1_000)]
  }
  expect(draws(0)).toEqual(draws(100))
})

interface Line {
  readonly world: World
  readonly network: Network
  readonly client: Life
  readonly gateway: Life
  readonly heard: string[]
  readonly ended: string[]
  send(message: string): void
}

async function connect(seed: number): Promise<Line> {
  const world = createWorld(seed)
  const network = new Network(world, new Random(seed), { ...calm, delayMs: 50 })
  const client = new Machine('client').begin(world)
  const gateway = new Machine('gateway').begin(world)
  const heard: string[] = []
  const ended: string[] = []
  const handlers = (name: string): SocketHandlers => ({
    onOpen: () => heard.push(`${name} open`),
    onMessage: (message) => heard.push(message),
    onClose: (code) => ended.push(`${name} ${code}`),
  })
  network.listen('host', gateway, () => handlers('gateway'))
  const socket = network.connectOf(client)('ws://host/', handlers('client'))
  await world.runUntil(5_000)
  heard.length = 0
  return { world, network, client, gateway, heard, ended, send: (message) => socket.send(message) }
}

test('what arrives on a connection arrives in order and once', async () => {
  const { world, heard, send } = await connect(3)
  const sent = Array.from({ length: 100 }, (_, n) => String(n))
  for (const message of sent) send(message)
  await world.runUntil(world.now + 60_000)
  expect(heard).toEqual(sent)
})

test('a half-open link swallows what is sent, and tells nobody', async () => {
  const { world, network, heard, ended, send } = await connect(4)
  network.silence('client', 'gateway')
  send('lost')
  await world.runUntil(world.now + 600_000)
  expect([heard, ended]).toEqual([[], []])
  expect(network.alive('client')).toEqual([])
})

test('a cut holds messages back until it ends, or the connection dies of it', async () => {
  const outcomes = new Set<string>()
  for (let seed = 1; seed <= 20; seed++) {
    const { world, network, heard, ended, send } = await connect(seed)
    network.cut('client', 'both')
    send('a')
    await world.runUntil(world.now + 60_000)
    expect(heard).toEqual([])
    network.join('client')
    await world.runUntil(world.now + 60_000)
    outcomes.add(heard.join() || ended.sort().join())
  }
  expect([...outcomes].sort()).toEqual(['a', 'client 1006,gateway 1006'])
})

test('a process that is killed is missed by the other side', async () => {
  const { world, network, gateway, ended } = await connect(5)
  gateway.end()
  network.drop(gateway)
  await world.runUntil(world.now + 60_000)
  expect(ended).toEqual(['client 1006'])
})

test('a plant that fits nowhere, or twice, says so', () => {
  expect(replaceOnce('abc', 'b', 'x', 'here')).toBe('axc')
  expect(() => replaceOnce('abc', 'd', 'x', 'here')).toThrow('does not fit here')
  expect(() => replaceOnce('abab', 'b', 'x', 'here')).toThrow('2 places')
})
