import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isTidemarkError } from './errors.ts'
import { type Claim, type EventId, writeClaim, writeEntry } from './event.ts'
import { type ClientFrame, type GatewayFrame, writeFrame } from './frames.ts'
import { parseClaim, parseClientFrame, parseEntry, parseGatewayFrame } from './parse.ts'

interface Golden {
  readonly client: Readonly<Record<string, string>>
  readonly gateway: Readonly<Record<string, string>>
}
const golden = JSON.parse(
  readFileSync(new URL('../fixtures/frames.json', import.meta.url), 'utf8'),
) as Golden

const id = '0198c0de-0000-7000-8000-000000000001' as EventId
const claim: Claim = {
  id,
  stream: 'sku-1',
  type: 'StockReceived',
  version: 1,
  occurredAt: 1_790_000_000_000,
  data: { quantity: 5 },
}

const wrong = (run: () => unknown): string => {
  try {
    run()
  } catch (error) {
    if (isTidemarkError(error, 'BAD_FRAME')) return error.details.reason
    if (isTidemarkError(error, 'UNKNOWN_FRAME')) return `unknown ${error.details.type}`
    throw error
  }
  return 'nothing wrong'
}

describe('[W1] golden frames of protocol 1', () => {
  test.each(Object.entries(golden.client))('a client may say %s', (_name, message) => {
    expect(writeFrame(parseClientFrame(message))).toBe(message)
  })
  test.each(Object.entries(golden.gateway))('a gateway may say %s', (_name, message) => {
    expect(writeFrame(parseGatewayFrame(message))).toBe(message)
  })
})

/** Any JSON without the one key that is refused. */
const harmless = fc
  .jsonValue({ maxDepth: 6, noUnicodeString: false })
  .filter((value) => !JSON.stringify(value).includes('__proto__'))

test('[W2] an author’s bytes come through submit and deliver untouched', () => {
  fc.assert(
    fc.property(harmless, (data) => {
      const line = writeClaim({ ...claim, data })
      const submit: ClientFrame = {
        type: 'submit',
        n: 1,
        batches: [{ topic: 'inventory', scope: 'default', size: 1 }],
        events: [line],
      }
      const submitted = parseClientFrame(writeFrame(submit))
      expect(submitted).toMatchObject({ events: [line] })
      const placement = {
        position: 7,
        revision: 3,
        receivedAt: 9,
        source: 'client',
        author: 'u-1',
      } as const
      const entry = writeEntry(placement, line)
      expect(entry).toContain(line)
      expect(parseEntry({ topic: 'inventory', scope: 'default' }, entry)).toEqual({
        ...JSON.parse(line),
        ...placement,
        topic: 'inventory',
        scope: 'default',
      })
    }),
  )
})

test('unknown fields are ignored, so that a newer peer can say more', () => {
  expect(parseClientFrame('{"type":"ping","mood":"good"}')).toMatchObject({ type: 'ping' })
})

describe('[W3] hostile text is a typed error', () => {
  test.each([
    ['', 'not JSON'],
    ['nonsense', 'not JSON'],
    ['[]', 'not an object'],
    ['null', 'not an object'],
    ['{}', 'type: not a string'],
    ['{"type":"constructor"}', 'unknown constructor'],
    ['{"type":"teleport"}', 'unknown teleport'],
    ['{"type":"welcome"}', 'unknown welcome'],
    [
      '{"type":"applied","topic":"t","scope":"s","upTo":9007199254740992}',
      'applied.upTo: not a whole number from 0 to 2^53 - 1',
    ],
    [
      '{"type":"applied","topic":"t","scope":"s","upTo":1e999}',
      'applied.upTo: not a whole number from 0 to 2^53 - 1',
    ],
    [
      '{"type":"applied","topic":"t/u","scope":"s","upTo":1}',
      'applied.topic: has characters that are not allowed',
    ],
    ['{"type":"ping","__proto__":{"admin":true}}', 'a key named __proto__'],
    ['{"type":"ping","a":{"b":[{"\\u005f_proto__":1}]}}', 'a key named __proto__'],
  ])('%s', (message, reason) => {
    expect(wrong(() => parseClientFrame(message))).toBe(reason)
  })

  test('nesting deeper than the bound is refused before anything recurses into it', () => {
    const deep = (levels: number) =>
      `{"type":"ping","a":${'['.repeat(levels)}${']'.repeat(levels)}}`
    expect(wrong(() => parseClientFrame(deep(31)))).toBe('nothing wrong')
    expect(wrong(() => parseClientFrame(deep(32)))).toBe('nested too deep')
    expect(wrong(() => parseClientFrame(deep(100_000)))).toBe('nested too deep')
  })

  test.each([
    [{ ...claim, id: 'x' }, 'event.id: has characters that are not allowed'],
    [{ ...claim, stream: '' }, 'event.stream: not 1 to 127 long'],
    [{ ...claim, stream: 'a\u0000b' }, 'event.stream: has characters that are not allowed'],
    [{ ...claim, stream: 'a\ud800b' }, 'event.stream: has characters that are not allowed'],
    [{ ...claim, version: 0 }, 'event.version: not a whole number from 1 to 2^53 - 1'],
    [{ ...claim, data: undefined }, 'event.data: missing'],
  ])('a claim that is wrong: %j', (bad, reason) => {
    expect(wrong(() => parseClaim(JSON.stringify(bad)))).toBe(reason)
  })

  test('whatever comes, the answer is a frame or a typed error', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.json(),
          fc
            .constantFrom(...Object.values(golden.client))
            .map((message) => message.slice(0, message.length / 2)),
        ),
        (message) => {
          wrong(() => parseClientFrame(message))
          wrong(() => parseGatewayFrame(message))
          wrong(() => parseClaim(message))
        },
      ),
      { numRuns: 2_000 },
    )
  })
})

test('the types of frames are told apart by `type`', () => {
  const frame = parseGatewayFrame('{"type":"goaway","retryAfterMs":5}') as GatewayFrame
  if (frame.type === 'goaway') expect(frame.retryAfterMs).toBe(5)
  // @ts-expect-error -- only a goaway has it
  else expect(frame.retryAfterMs).toBeUndefined()
})
