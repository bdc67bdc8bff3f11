import { expect, test } from 'vitest'
import { parseRescue, type RescuedBatch, writeRescue } from './rescue.ts'

const origin = { clientId: 'c-1', user: 'ann', scope: 'shop-7', exportedAt: 1_790_000_000_000 }
const line = (n: number) =>
  `{"id":"0198c0de-0000-7000-8000-00000000000${n}", "stream":"zwölf ✓","type":"Noted","version":1,"occurredAt":1,"data":"\\u2028${n}"}`
const batches: readonly RescuedBatch[] = [
  { topic: 'inventory', scope: 'shop-7', lines: [line(1), line(2)] },
  { topic: 'inventory', scope: 'shop-7', lines: [line(3)], expectedRevision: 2 },
]

test('[V1] a rescue file gives back the very lines that were written, in order', async () => {
  const file = await writeRescue(origin, batches)
  expect(file.split('\n')).toHaveLength(4)
  expect(await parseRescue(file)).toEqual({ ...origin, batches })
  expect(await parseRescue(await writeRescue(origin, []))).toEqual({ ...origin, batches: [] })
})

test('[V2] whatever is not a whole rescue file is refused with a reason', async () => {
  const file = await writeRescue(origin, batches)
  const [header = '', ...body] = file.split('\n')
  const withoutSum = JSON.stringify({ ...JSON.parse(header), sha256: undefined })
  const wrong: readonly [string, string][] = [
    ['', 'it is no rescue file of Tidemark'],
    ['{"a":1}\n', 'it is no rescue file of Tidemark'],
    ['\u0000\u0001 binary', 'it is no rescue file of Tidemark'],
    [file.replace('"version":1', '"version":2'), 'its format is 2, not 1'],
    [file.replace('"user":"ann"', '"user":7'), 'its first line does not say whose it is'],
    [
      file.replace('"user":"ann"', '"user":"ann\\u0007"'),
      'its first line does not say whose it is',
    ],
    [
      file.replace('"user":"ann"', `"user":"${'a'.repeat(257)}"`),
      'its first line does not say whose it is',
    ],
    [
      file.replace('"scope":"shop-7"', '"scope":"shop/7"'),
      'its first line does not say whose it is',
    ],
    [file.replace('zwölf', 'zwolf'), 'it is damaged'],
    [file.slice(0, -20), 'it is damaged'],
    [[withoutSum, body[0], ''].join('\n'), 'a part of it is missing'],
    [[withoutSum, '{"topic":"inventory"}', ''].join('\n'), 'line 2 is no batch'],
    [
      [withoutSum, '{"topic":"inventory","scope":"shop-7","lines":["{}"]}', ''].join('\n'),
      'line 2 holds what is no event',
    ],
  ]
  for (const [text, reason] of wrong) {
    await expect(parseRescue(text)).rejects.toMatchObject({
      code: 'RESCUE_INVALID',
      details: { reason },
    })
  }
})
