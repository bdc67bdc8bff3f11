import type { EventId, Position } from '@tidemark/shared'
import { expect, test } from 'vitest'
import { readPages, searchEntries } from './search.ts'
import { memoryStore } from './store/memory.ts'
import { foreignLine, inventoryLog } from './testing/inventory.ts'

/** A store with a log of `count` entries, of about 400 kB each: more than is read at a time. */
async function bigStore(count: number) {
  const log = inventoryLog()
  const text = 'x'.repeat(400_000)
  for (let n = 1; n <= count; n++) {
    log.append([foreignLine(n).replace('"quantity":1', `"quantity":1,"text":"${text}"`)])
  }
  const store = memoryStore()
  const cursor = { epoch: log.epoch, position: log.head, id: log.idAt(count) }
  await store.apply([{ ...log.name, after: 0 as Position, lines: log.lines, cursor }], [])
  return { log, store }
}

test('[H1] what a long log says of an event is found on whichever page it stands', async () => {
  const { log, store } = await bigStore(7)
  for (const position of [1, 4, 7]) {
    const id: EventId = log.idAt(position)
    const found = await searchEntries(store, log.name, id)
    expect(found.map(({ entry }) => [entry.id, entry.position])).toEqual([[id, position]])
  }
})

test('a log is read page by page from a position to its end, and no further than it is asked for', async () => {
  const { log, store } = await bigStore(7)
  const pages: (readonly string[])[] = []
  for await (const lines of readPages(store, log.name, 2 as Position)) pages.push(lines)
  expect(pages.length).toBeGreaterThan(1)
  expect(pages.flat()).toEqual(log.lines.slice(2))
  let reads = 0
  const read: typeof store.read = (...asked) => {
    reads += 1
    return store.read(...asked)
  }
  const first = log.idAt(1)
  await searchEntries({ ...store, read }, log.name, first, ({ entry }) => entry.id === first)
  expect(reads).toBe(1)
})
