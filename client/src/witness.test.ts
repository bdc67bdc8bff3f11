import { expect, test } from 'vitest'
import { signOut } from './sign-out.ts'
import { createDisk } from './store/memory.ts'
import { createTestSystem, createTestTabs } from './testing.ts'
import { inventoryLog, openBench, received } from './testing/inventory.ts'
import type { Witness } from './witness.ts'

/** A `localStorage` that the browser does not throw away with the database. */
function createWitness(): Witness & { text: string | undefined; writes: number } {
  return {
    text: undefined,
    writes: 0,
    read() {
      return this.text
    },
    write(text) {
      this.text = text
      this.writes += 1
    },
  }
}
const status = ({ client }: ReturnType<typeof openBench>) => client.status.getSnapshot()

test('[E1] the browser is asked to keep the database once, at the first unsynced append', async () => {
  const system = createTestSystem()
  const disk = createDisk()
  const { locks, broadcast } = createTestTabs()
  let asked = 0
  const askToPersist = async () => ++asked > 0
  const open = () => openBench({ system, disk, locks, broadcast: broadcast(), askToPersist })
  const [a, b] = [open(), open()]
  await system.advance(1_000)
  expect([asked, status(a).persisted]).toEqual([0, undefined])
  await b.client.append(received(5))
  await a.client.append(received(5))
  await system.advance(1_000)
  expect(asked).toBe(1)
  expect([status(a).persisted, status(b).persisted]).toEqual([true, true])
  await a.client.close()
  await b.client.close()
})

test('[E1] a browser that promises nothing, or fails when it is asked, stops nothing', async () => {
  const refusing = openBench({ askToPersist: async () => false })
  await refusing.client.append(received(5))
  await refusing.system.settle()
  expect(status(refusing).persisted).toBe(false)
  const failing = openBench({ askToPersist: () => Promise.reject(new Error('no')) })
  await failing.client.append(received(5))
  await failing.system.settle()
  expect([status(failing).persisted, failing.errors.length]).toEqual([undefined, 1])
  await refusing.client.close()
  await failing.client.close()
})

test('[E2] a database that went with unsynced events is said until somebody has seen it, over reloads', async () => {
  const system = createTestSystem()
  const witness = createWitness()
  const first = openBench({ system, witness })
  await system.settle()
  const since = system.now()
  await first.client.append([received(1), received(2)])
  await system.advance(5_000)
  await first.client.append(received(3))
  // It crashes; the browser evicts the database and keeps the rest.
  await system.advance(2_000)

  const disk = createDisk()
  const second = openBench({ system, witness, disk })
  await system.settle()
  expect(status(second)).toMatchObject({ pending: 0, lost: { events: 3, since } })
  await second.client.append(received(4))
  await second.client.close()

  const third = openBench({ system, witness, disk })
  await system.settle()
  expect(status(third).lost).toEqual({ events: 3, since })
  third.client.acknowledgeLoss()
  expect(status(third).lost).toBe(undefined)
  await system.advance(2_000)
  expect(JSON.parse(witness.text ?? '')).toMatchObject({ waiting: { events: 1 } })
  await third.client.close()

  const fourth = openBench({ system, witness, disk })
  await system.settle()
  expect([status(fourth).pending, status(fourth).lost]).toEqual([1, undefined])
  await fourth.client.close()
  await first.client.close()
})

test('[E2] a second loss before the first was seen is added to it', async () => {
  const system = createTestSystem()
  const witness = createWitness()
  for (let round = 0; round < 2; round++) {
    const bench = openBench({ system, witness })
    await system.settle()
    await bench.client.append(received(1))
    await bench.client.close()
  }
  const last = openBench({ system, witness })
  await system.settle()
  expect(status(last).lost?.events).toBe(2)
  await last.client.close()
})

test('[E3] nothing is said to be lost where everything was synced, or where somebody else wrote nonsense', async () => {
  const system = createTestSystem()
  const witness = createWitness()
  const bench = openBench({ system, witness })
  const log = inventoryLog()
  await bench.greet(log)
  await bench.client.append(received(5))
  await system.settle()
  expect(JSON.parse(witness.text ?? '')).toMatchObject({ waiting: { events: 1 } })
  const verdict = log.append(bench.submit().events)
  bench.connection().send({ type: 'verdicts', n: 1, verdicts: [verdict] }, log.deliver())
  await system.advance(1_000)
  expect(Object.keys(JSON.parse(witness.text ?? ''))).toEqual(['incarnation'])
  await bench.client.close()
  for (const text of [undefined, '', 'null', '{', '{"incarnation":7}']) {
    witness.text = text
    const next = openBench({ system, witness })
    await system.settle()
    expect(status(next).lost).toBe(undefined)
    expect(next.errors).toEqual([])
    await next.client.close()
  }
})

test('[E3] a thousand events that come and go cost a few writes', async () => {
  const witness = createWitness()
  const bench = openBench({ witness })
  const { system, client } = bench
  const log = inventoryLog()
  await bench.greet(log)
  for (let n = 0; n < 100; n++) {
    await client.append(Array.from({ length: 10 }, () => received(1)))
  }
  await system.advance(3_000)
  expect(status(bench).pending).toBe(1_000)
  expect(witness.writes).toBeLessThan(10)
  expect(JSON.parse(witness.text ?? '')).toMatchObject({ waiting: { events: 1_000 } })
  await client.close()
})

test('[E3] a tab that has missed a sign-out says nothing is lost when it is closed, next to the database that came after it too', async () => {
  const witness = createWitness()
  const { locks, broadcast } = createTestTabs()
  const [disk, system] = [createDisk(), createTestSystem()]
  const asleep = broadcast()
  const open = (channel = broadcast()) =>
    openBench({ system, disk, witness, locks, broadcast: channel })
  const [a, b, c] = [open(), open(asleep), open(asleep)]
  await system.settle()
  await a.client.append(received(5))
  await system.settle()
  expect([status(b).pending, status(c).pending]).toEqual([1, 1])
  asleep.isFrozen = true
  const signingOut = signOut(a.client, { unsynced: 'discard' })
  await system.advance(3_000)
  await signingOut
  await b.client.close()
  expect(witness.text).toBe(undefined)
  const next = openBench({ system, disk, witness })
  await system.settle()
  await c.client.close()
  await next.client.close()
  const last = openBench({ system, disk, witness })
  await system.settle()
  expect(status(last).lost).toBe(undefined)
  await last.client.close()
})

test('[E2] what was still being written as a client closed is counted', async () => {
  const witness = createWitness()
  const system = createTestSystem()
  const after = () => system.breathe()
  const bench = openBench({ system, witness, after })
  await system.settle()
  const appending = bench.client.append(received(5))
  await system.breathe()
  await bench.client.close()
  await appending
  expect(JSON.parse(witness.text ?? '')).toMatchObject({ waiting: { events: 1 } })
  expect(system.timers()).toBe(0)
})
