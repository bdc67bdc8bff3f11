import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseClaim, type Position, system, writeRescue } from '@tidemark/shared'
import { afterAll, expect, test } from 'vitest'
import { sqliteLog } from '../log/sqlite.ts'
import { runCommand } from './commands.ts'

const folder = mkdtempSync(join(tmpdir(), 'tidemark-rescue-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const logPath = join(folder, 'log.db')
const name = { topic: 'inventory', scope: 'shop-7' }

async function run(file: string, { config = 'rescue.config.ts', user = 'root', json = '' } = {}) {
  let out = ''
  let err = ''
  const args = ['rescue', 'import', join(folder, file), '--why', 'a tablet that fell', '--config']
  const code = await runCommand([...args, config, ...(json ? [json] : [])], {
    out: (text) => (out += text),
    err: (text) => (err += text),
    cwd: join(import.meta.dirname, 'testing'),
    env: { TIDEMARK_LOG: logPath },
    user,
    system,
    signal: new AbortController().signal,
  })
  return { code, out, err }
}

const id = (n: number) => `0198c0de-0000-7000-8000-${String(n).padStart(12, '0')}`
/** With spaces that no writer of ours would make: bytes are what has to stay. */
const line = (n: number, quantity: unknown = 1) =>
  `{"id":"${id(n)}", "stream":"sku-1","type":"StockReceived","version":1,"occurredAt":1,"data":{ "quantity":${JSON.stringify(quantity)}}}`
const origin = { clientId: 'c-1', user: 'ann', scope: 'shop-7', exportedAt: 1_790_000_000_000 }

async function writeFile(
  file: string,
  batches: readonly (readonly string[])[],
  user = 'ann',
): Promise<void> {
  const rows = batches.map((lines) => ({ ...name, lines }))
  writeFileSync(join(folder, file), await writeRescue({ ...origin, user }, rows))
}

async function readLog() {
  const log = sqliteLog(logPath)
  const { chunks } = await log.read(name, 0 as Position, 1_000_000)
  const audits = await log.audits(10)
  await log.close()
  const lines = chunks.flatMap((chunk) => chunk.split('\n')).filter((text) => text !== '')
  return { lines, audits }
}

test('[V3] a file is appended under its original author, byte for byte, and once', async () => {
  await sqliteLog(logPath).close()
  await writeFile('ann.ndjson', [[line(1), line(2)], [line(3, 'three')], [line(4)]])
  const first = await run('ann.ndjson')
  expect(first.out.trim().split('\n')).toEqual([
    `accepted  ${id(1)}  inventory/shop-7  at 1`,
    `accepted  ${id(2)}  inventory/shop-7  at 2`,
    `refused   ${id(3)}  inventory/shop-7  SCHEMA_INVALID`,
    `accepted  ${id(4)}  inventory/shop-7  at 3`,
  ])
  expect([first.code, first.err]).toEqual([1, 'In all 3 accepted, 1 refused.\n'])
  const { lines, audits } = await readLog()
  expect(lines.map((text) => text.slice(text.indexOf('"event":') + 8, -1))).toEqual([
    line(1),
    line(2),
    line(4),
  ])
  for (const text of lines) expect(JSON.parse(text)).toMatchObject({ author: 'ann' })
  expect(audits).toMatchObject([{ by: 'root', action: 'rescue', note: 'a tablet that fell' }])

  const again = await run('ann.ndjson', { json: '--json' })
  expect(
    again.out
      .trim()
      .split('\n')
      .map((text) => JSON.parse(text).type),
  ).toEqual(['known', 'known', 'refused', 'known'])
  expect((await readLog()).lines).toEqual(lines)
})

test('[V3] what the device sent itself is known, and what it sends later gets the same verdict', async () => {
  const log = sqliteLog(logPath)
  const claim = parseClaim(line(10))
  const attempt = {
    log: name,
    author: 'ann',
    source: 'client',
    events: [{ id: claim.id, stream: claim.stream, line: line(10) }],
  } as const
  await log.append([[attempt]])
  await log.close()
  await writeFile('partly.ndjson', [[line(10)], [line(11)]])
  const { code, out } = await run('partly.ndjson')
  expect([code, out.split('\n').map((text) => text.split(' ')[0])]).toEqual([
    0,
    ['known', 'accepted', ''],
  ])
})

test('[V3] it takes the permission of the configuration: a hold keeps the file good, and without one nobody may', async () => {
  const before = (await readLog()).lines
  await writeFile('ben.ndjson', [[line(20)]], 'ben')
  expect(await run('ben.ndjson')).toMatchObject({
    code: 1,
    out: expect.stringMatching(/^held .*only Ann is known here/),
  })
  await writeFile('eve.ndjson', [[line(21)]], 'eve')
  expect((await run('eve.ndjson')).out).toMatch(/^refused .*NOT_ALLOWED/)
  await writeFile('other.ndjson', [[line(22)]])
  expect((await run('other.ndjson', { user: 'mallory' })).out).toMatch(/^held /)
  expect(await run('other.ndjson', { config: 'tidemark.config.ts' })).toMatchObject({
    code: 1,
    err: 'The configuration has no `rescue`: nobody may.\n',
  })
  expect((await readLog()).lines).toEqual(before)
  expect((await run('other.ndjson')).code).toBe(0)
})

test('[V3] a file that is damaged or foreign gets a sentence and code 2, and nothing is appended', async () => {
  const before = await readLog()
  const whole = await writeRescue(origin, [{ ...name, lines: [line(30)] }])
  const wrong: readonly [string, RegExp][] = [
    ['', /it is no rescue file of Tidemark\./],
    ['PK\u0003\u0004', /it is no rescue file of Tidemark\./],
    [whole.replace('sku-1', 'sku-2'), /it is damaged\./],
    [whole.slice(0, -9), /it is damaged\./],
    [whole.replace('"version":1', '"version":9'), /its format is 9, not 1\./],
  ]
  for (const [text, sentence] of wrong) {
    writeFileSync(join(folder, 'wrong.ndjson'), text)
    const { code, out, err } = await run('wrong.ndjson')
    expect([code, out]).toEqual([2, ''])
    expect(err).toMatch(sentence)
    expect(err.trim().split('\n')).toHaveLength(2)
  }
  expect(await readLog()).toEqual(before)
})
