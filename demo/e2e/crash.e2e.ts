import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { doubles, idsAndHashes, readDevice, readHead, readLog, readPurchasing } from './evidence.ts'
import { eventually, type Rig, reaches, startRig, synced } from './rig.ts'

const eachAppends = 500
const items = 20

let folder: string
let rig: Rig

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidemark-crash-'))
  const stockFile = join(folder, 'items.csv')
  const rows = Array.from({ length: items }, (_, at) => `sku-${at},Item ${at},A${at},0,9000`)
  await writeFile(stockFile, ['sku,name,location,reorderLevel,onHand', ...rows].join('\n'))
  rig = await startRig(stockFile)
})
afterAll(async () => {
  await rig?.close()
  await rm(folder, { recursive: true, force: true })
})

/** Appends picks, each once the one before it is stored on the device, and answers with their ids. */
const pickMany = (page: Page): Promise<string[]> =>
  page.evaluate(
    async ({ times, streams }) => {
      const appended: string[] = []
      for (let at = 0; at < times; at++) {
        const { ids } = await window.tidemark.append({
          topic: 'inventory',
          stream: `sku-${at % streams}`,
          type: 'StockPicked',
          version: 1,
          data: { quantity: 1 + (at % 3), reason: 'sale' },
        })
        appended.push(...ids)
      }
      return appended
    },
    { times: eachAppends, streams: items },
  )

const logLength = (): number => readHead(rig.dataFolder)

test('kill -9 of the gateway in the middle of 1,000 appends from two browsers loses nothing and doubles nothing', async () => {
  const [ada, ben] = await Promise.all([rig.open('a'), rig.open('b')])
  const before = logLength()
  const appending = Promise.all([pickMany(ada), pickMany(ben)])

  // Twice, each time while some of the appends are in the log and others are not.
  const seen: number[] = []
  for (const wanted of [100, 400]) {
    await eventually(() => (logLength() - before >= wanted ? true : undefined), `${wanted} entries`)
    await rig.world.gateway().stop('SIGKILL')
    seen.push(logLength() - before)
    await eventually(
      () =>
        fetch(`${rig.world.url}/readyz`).then(
          ({ ok }) => ok || undefined,
          () => undefined,
        ),
      'the gateway is back',
    )
  }
  for (const entries of seen) expect(entries).toBeLessThan(2 * eachAppends)

  const appended = (await appending).flat()
  expect(new Set(appended).size).toBe(2 * eachAppends)
  const end = before + 2 * eachAppends
  for (const page of [ada, ben]) {
    await synced(page, 120_000)
    await reaches(page, end)
  }

  const log = readLog(rig.dataFolder)
  const picks = log.filter(({ type }) => type === 'StockPicked')
  expect(picks.map(({ id }) => id).sort()).toEqual([...appended].sort())
  expect(log.map(({ position }) => position)).toEqual(log.map((_, at) => at + 1))
  for (const page of [ada, ben]) {
    const { entries, outbox, refused } = await readDevice(page)
    expect(idsAndHashes(entries)).toEqual(idsAndHashes(log))
    expect([outbox, refused]).toEqual([[], []])
  }

  // The consumer's effects: one for each pick, and none twice, whatever the broker handed out again.
  const effects = await eventually(
    () => {
      const found = readPurchasing(rig.dataFolder).filter(({ type }) => type === 'StockPicked')
      return found.length >= picks.length ? found : undefined
    },
    'the purchasing service has heard of every pick',
    120_000,
  )
  expect(effects.map(({ id }) => id).sort()).toEqual([...appended].sort())
  expect(doubles(effects)).toEqual([])
})
