import { once } from 'node:events'
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { Worker } from 'node:worker_threads'
import type { LogName, Position } from '@tidemark/shared'
import { isTidemarkError, system } from '@tidemark/shared'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Log } from './log.ts'
import { attempt, logContract, someEvent } from './log.contract.ts'
import { createSqliteLog, sqliteLog } from './sqlite.ts'

const name: LogName = { topic: 'inventory', scope: 'shop-7' }
let folder: string
let path: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tidemark-'))
  path = join(folder, 'log.db')
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const one = async (log: Log, event = someEvent()) => (await log.append([[attempt(event)]]))[0]?.[0]

describe('in a file', () => {
  logContract((system) => sqliteLog(path, { system }))
})

test('[G10] everything is still there when the file is opened again', async () => {
  const first = sqliteLog(path)
  const event = someEvent()
  const verdict = await one(first, event)
  const head = await first.head(name)
  await first.close()
  const second = sqliteLog(path)
  expect(await one(second, event)).toEqual({ ...verdict, fresh: false })
  expect(await second.head(name)).toEqual(head)
  await second.close()
})

test('[G11] while another process holds the write lock nothing is answered, and then it goes on', async () => {
  const log = sqliteLog(path)
  const event = someEvent()
  const blocker = new DatabaseSync(path)
  blocker.exec('begin immediate')
  await expect(one(log, event)).rejects.toMatchObject({ code: 'LOG_UNAVAILABLE' })
  expect((await log.head(name)).position).toBe(0)
  blocker.exec('rollback')
  blocker.close()
  expect(await one(log, event)).toMatchObject({ type: 'accepted', position: 1, fresh: true })
  await log.close()
})

test('[G11] a full disk refuses whole transactions, reads go on, and space makes it well again', async () => {
  const database = new DatabaseSync(path)
  const log = createSqliteLog(database, system)
  await one(log)
  const pages = Object.values(database.prepare('pragma page_count').get() ?? {})[0]
  database.exec(`pragma max_page_count = ${Number(pages) + 2}`)
  const large = someEvent('sku-1', { text: 'x'.repeat(50_000) })
  await expect(
    log.append([[attempt(someEvent()), attempt(large)], [attempt(someEvent())]]),
  ).rejects.toMatchObject({ code: 'LOG_UNAVAILABLE' })
  expect(await log.read(name, 0 as Position, 1_000)).toMatchObject({ upTo: 1, more: false })
  database.exec('pragma max_page_count = 1000000')
  expect(await one(log, large)).toMatchObject({ type: 'accepted', position: 2, fresh: true })
  await log.close()
})

test('[G12] a file of some other program is left alone', () => {
  const database = new DatabaseSync(path)
  database.exec('create table guests (name text)')
  database.close()
  const before = readFileSync(path)
  expect(() => sqliteLog(path)).toThrow(/LOG_CORRUPT.*some other program/)
  expect(readFileSync(path).equals(before)).toBe(true)
})

test('[G12] a file of a newer version is left alone', async () => {
  await sqliteLog(path).close()
  const database = new DatabaseSync(path)
  database.exec('pragma user_version = 99')
  database.close()
  expect(() => sqliteLog(path)).toThrow(/LOG_CORRUPT.*version 99/)
})

test('[G12] damage is found when the file is opened: garbage, a torn page, a missing entry', async () => {
  const log = sqliteLog(path)
  for (let count = 0; count < 50; count += 1) {
    await one(log, someEvent('sku-1', { text: 'x'.repeat(2_000) }))
  }
  await log.close()
  const whole = readFileSync(path)

  writeFileSync(
    path,
    'this is not a database, and longer than a header of a hundred bytes '.repeat(9),
  )
  expect(() => sqliteLog(path)).toThrow(/LOG_CORRUPT/)

  const torn = Buffer.from(whole)
  torn.fill(0x5a, torn.length / 2, torn.length / 2 + 8_192)
  writeFileSync(path, torn)
  expect(() => sqliteLog(path)).toThrow(/LOG_CORRUPT/)

  writeFileSync(path, whole)
  const database = new DatabaseSync(path)
  database.exec('delete from entries where last = 50')
  database.close()
  expect(() => sqliteLog(path)).toThrow(/LOG_CORRUPT.*ends at 49, and should at 50/)
})

test('[G13] a reader of the log as it was before a restore is led back to what both have', async () => {
  const log = sqliteLog(path)
  const copy = join(folder, 'copy.db')
  const events = Array.from({ length: 8 }, () => someEvent())
  for (const event of events.slice(0, 4)) await one(log, event)
  await log.close()
  copyFileSync(path, copy)
  const lived = sqliteLog(path)
  for (const event of events.slice(4)) await one(lived, event)
  const { epoch } = await lived.head(name)
  await lived.close()

  const restored = sqliteLog(copy)
  for (let count = 0; count < 6; count += 1) await one(restored)
  const rounds: number[] = []
  let position = 8
  for (;;) {
    const id = events[position - 1]?.id
    const next = await restored.locate(name, {
      epoch,
      position: position as Position,
      ...(id && { id }),
    })
    rounds.push(next)
    if (next === position) break
    position = next
  }
  expect(rounds).toEqual([4, 4])
  await restored.close()
})

test('[D9] a file that was made to start over says so for good, and one that was found does not', async () => {
  const isStartedOver = async (options: { readonly startOver?: boolean }) => {
    const log = sqliteLog(path, options)
    const { isStartedOver: answer } = await log.head(name)
    await log.close()
    return answer
  }
  expect(await isStartedOver({ startOver: true })).toBe(true)
  expect(await isStartedOver({})).toBe(true)
  for (const suffix of ['', '-wal', '-shm']) rmSync(`${path}${suffix}`, { force: true })
  expect(await isStartedOver({})).toBe(undefined)
  expect(await isStartedOver({ startOver: true })).toBe(undefined)
})

test('[G1] two processes on one file take turns without a gap, a repeat or a stale head', async () => {
  const [left, right] = [sqliteLog(path), sqliteLog(path)]
  const shared = someEvent('sku-1')
  const outcomes = []
  for (let round = 0; round < 10; round += 1) {
    outcomes.push(await one(left), await one(right), await one(right))
  }
  expect(outcomes).toEqual(
    Array.from({ length: 30 }, (_, at) => ({
      type: 'accepted',
      position: at + 1,
      revisions: [at + 1],
      fresh: true,
    })),
  )
  expect(await one(left, shared)).toMatchObject({ position: 31, fresh: true })
  expect(await one(right, shared)).toMatchObject({ position: 31, fresh: false })
  await left.close()
  await right.close()
})

test('[G11] a file that another process writes to just now is opened once that has let go', async () => {
  await sqliteLog(path).close()
  // Opening is synchronous, so whoever holds the lock meanwhile has to live in another thread.
  const holder = new Worker(
    `const { DatabaseSync } = require('node:sqlite')
     const { parentPort, workerData } = require('node:worker_threads')
     const database = new DatabaseSync(workerData)
     database.exec('begin immediate')
     parentPort.postMessage('held')
     Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300)
     database.exec('commit')
     database.close()`,
    { eval: true, workerData: path },
  )
  await once(holder, 'message')
  const log = sqliteLog(path)
  expect(await one(log)).toMatchObject({ type: 'accepted', position: 1 })
  await log.close()
  await once(holder, 'exit')
})

test('[G17] what is held, blocked or asked for writes no row, however many logs it names', async () => {
  const log = sqliteLog(path)
  const denied = { type: 'held', reason: 'not yours' } as const
  const scoped = (scope: string) => ({ log: { topic: 'nowhere', scope } })
  const chains = Array.from({ length: 50 }, (_, at) => [
    attempt(someEvent(), { ...scoped(`held-${at}`), denied }),
  ])
  const after = someEvent().id
  await log.append([...chains, [attempt(someEvent(), { ...scoped('blocked'), after })]])
  const database = new DatabaseSync(path)
  const count = (table: string) =>
    database.prepare(`select count(*) as count from ${table}`).get()?.['count']
  expect(['logs', 'epochs', 'verdicts'].map(count)).toEqual([0, 0, 0])
  // The first event of a log makes its row, and finds nothing of what was there before.
  const event = attempt(someEvent(), scoped('held-1'))
  expect((await log.append([[event]]))[0]?.[0]).toMatchObject({ position: 1, fresh: true })
  expect((await log.append([[event]]))[0]?.[0]).toMatchObject({ position: 1, fresh: false })
  expect(['logs', 'epochs', 'verdicts'].map(count)).toEqual([1, 1, 1])
  database.close()
  await log.close()
})

test('a closed log says so', async () => {
  const log = sqliteLog(path)
  await log.close()
  const error = await one(log).catch((error: unknown) => error)
  expect(isTidemarkError(error, 'LOG_UNAVAILABLE')).toBe(true)
})
