import { type EventId, parseEntry, type Position } from '@tidemark/shared'
import { expect, test } from 'vitest'
import { findDeadLetters } from './dead-letters.ts'
import { Outbox } from './outbox.ts'
import { memoryStore } from './store/memory.ts'
import { createTestSystem } from './testing.ts'
import { foreignLine, inventoryLog } from './testing/inventory.ts'

const count = 8

/** A stored log of big entries, of which every second is Ann's, and the page of letters that comes after it. */
async function openLog(ids: (idAt: (position: number) => EventId) => readonly string[]) {
  const log = inventoryLog()
  const text = 'x'.repeat(400_000)
  for (let n = 1; n <= count; n++) {
    const line = foreignLine(n).replace('"quantity":1', `"quantity":1,"text":"${text}"`)
    log.append([line], n % 2 === 0 ? 'ann' : 'ben')
  }
  const store = memoryStore()
  const cursor = { epoch: log.epoch, position: log.head, id: log.idAt(count) }
  const stored = { ...log.name, after: 0 as Position, lines: log.lines.slice(), cursor }
  await store.apply([stored], [])
  log.append([foreignLine(count + 1)], 'ann')
  for (const [n, id] of ids((position) => log.idAt(position)).entries()) {
    const data = { id, consumer: 'shipping', code: 'NO_ADDRESS', reason: 'nowhere', attempts: 3 }
    const letter = { ...(JSON.parse(foreignLine(100 + n)) as object), data }
    log.append(
      [JSON.stringify({ ...letter, type: 'tidemark.DeadLettered' })],
      'a-service',
      'broker',
    )
  }
  const lines = log.lines.slice(count)
  const entries = lines.map((line) => parseEntry(log.name, line))
  const last = { epoch: log.epoch, position: log.head, id: log.idAt(log.head) }
  const page = { ...log.name, after: count as Position, lines, entries, cursor: last }
  const reads: Position[] = []
  const read: typeof store.read = (name, position, bytesMax) => {
    reads.push(position)
    return store.read(name, position, bytesMax)
  }
  const ports = {
    store: { ...store, read },
    replica: { outbox: new Outbox([]) },
    deciding: { user: 'ann' },
    system: createTestSystem(),
  }
  const find = () => findDeadLetters(ports, [page])
  return { find, reads, idAt: (position: number) => log.idAt(position) }
}

test('[S12] a log is looked through once for all dead letters that come together, and no further than it has to be', async () => {
  const many = await openLog((idAt) => [8, 1, 2, 9, 4].map(idAt))
  const found = await many.find()
  expect(found.map(({ id }) => id)).toEqual([8, 2, 9, 4].map(many.idAt))
  expect(many.reads.length).toBeGreaterThan(1)
  expect(many.reads).toEqual(many.reads.toSorted((a, b) => a - b))
  expect(new Set(many.reads).size).toBe(many.reads.length)
  const early = await openLog((idAt) => [1, 2].map(idAt))
  expect(await early.find()).toHaveLength(1)
  expect(early.reads).toEqual([0])
  const here = await openLog((idAt) => [idAt(9)])
  expect(await here.find()).toHaveLength(1)
  expect(here.reads).toEqual([])
})

test('[S12] a letter about what cannot be an event is no letter', async () => {
  const { find, reads } = await openLog(() => ['.*', '('])
  expect(await find()).toEqual([])
  expect(reads).toEqual([])
})
