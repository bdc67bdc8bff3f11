import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parseConfig } from './config.ts'

const withQueue = (properties: object, more: object = {}) =>
  JSON.stringify({
    UserConfig: {
      Namespaces: [{ Name: 'n', Queues: [{ Name: 'q', Properties: properties }], ...more }],
    },
  })

const queueOf = (properties: object) => parseConfig(withQueue(properties)).queues?.[0]

test('[B54] a Config.json is read with its comments and trailing commas', () => {
  const text = readFileSync(join(import.meta.dirname, 'testing', 'Config.json'), 'utf8')
  expect(text).toMatch(/^\/\//)
  const { queues, topics } = parseConfig(text)
  expect(queues?.map(({ name }) => name)).toContain('sessions')
  expect(topics?.map(({ name }) => name)).toEqual(['news', 'nobody', 'filtered'])
})

test('[B54] what looks like a comment inside a text is none', () => {
  const text = withQueue({ ForwardTo: 'sb://x/*y*/, ]' })
  expect(parseConfig(text).queues?.[0]?.forwardTo).toBe('sb://x/*y*/, ]')
})

test.each([
  ['PT1M', 60_000],
  ['PT1M30S', 90_000],
  ['PT0.4S', 400],
  ['P1DT2H3M4.5S', 93_784_500],
])('[B54] the duration %s is %d ms', (text, ms) => {
  expect(queueOf({ LockDuration: text })?.lockMs).toBe(ms)
})

test('[B54] properties mean what they mean there', () => {
  expect(
    queueOf({
      DeadLetteringOnMessageExpiration: true,
      DefaultMessageTimeToLive: 'PT1H',
      DuplicateDetectionHistoryTimeWindow: 'PT20S',
      ForwardDeadLetteredMessagesTo: '',
      ForwardTo: '',
      LockDuration: 'PT1M',
      MaxDeliveryCount: 3,
      RequiresDuplicateDetection: true,
      RequiresSession: true,
    }),
  ).toEqual({
    name: 'q',
    duplicateWindowMs: 20_000,
    lockMs: 60_000,
    ttlMs: 3_600_000,
    maxDeliveryCount: 3,
    requiresSession: true,
    deadLettersExpired: true,
  })
  const off = queueOf({ DuplicateDetectionHistoryTimeWindow: 'PT20S' })
  expect(off).not.toHaveProperty('duplicateWindowMs')
})

test.each<[string, string, RegExp]>([
  ['no JSON', '{', /JSON/],
  ['no namespace', '{}', /exactly one namespace/],
  ['an odd duration', withQueue({ LockDuration: '1 minute' }), /ISO 8601/],
  [
    'dead letters that are forwarded',
    withQueue({ ForwardDeadLetteredMessagesTo: 'x' }),
    /emulated/,
  ],
  ['a queue without a name', withQueue({}, { Queues: [{}] }), /Name/],
  [
    'a filter that is none',
    withQueue(
      {},
      {
        Topics: [
          {
            Name: 't',
            Subscriptions: [
              {
                Name: 's',
                Rules: [
                  {
                    Name: 'r',
                    Properties: { FilterType: 'Sql', SqlFilter: { SqlExpression: 'a = ' } },
                  },
                ],
              },
            ],
          },
        ],
      },
    ),
    /rule r: Unexpected end/,
  ],
])('[B54] %s is an error that says so', (_, text, reason) => {
  expect(() => parseConfig(text)).toThrow(reason)
})
