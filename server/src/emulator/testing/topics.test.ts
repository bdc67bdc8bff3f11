import type { CorrelationRuleFilter, ServiceBusMessage } from '@azure/service-bus'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import {
  type BlackBox,
  because,
  bodies,
  empty,
  message,
  openBlackBox,
  receiverOf,
  send,
  take,
  takeOne,
} from './black-box.ts'

let box: BlackBox
const places = ['news/one', 'news/two', 'filtered/ruled', 'filtered/red', 'filtered/cheap']
beforeAll(async () => {
  box = await openBlackBox()
  await empty(box, ...places)
}, 30_000)
afterAll(() => box.close())

describe('a topic', () => {
  afterEach(() => empty(box, ...places), 30_000)

  test('[B48] every subscription gets every message', async () => {
    await send(box, 'news', message(1, { sessionId: 'x' }), message(2, { sessionId: 'x' }))
    for (const place of ['news/one', 'news/two']) {
      const receiver = receiverOf(box, place)
      expect(bodies(await take(receiver, 2))).toEqual([1, 2])
      await receiver.close()
    }
    const session = await box.client.acceptSession('news', 'by-session', 'x')
    expect(bodies(await take(session, 2))).toEqual([1, 2])
    for (const one of await session.peekMessages(2)) expect(one.sessionId).toBe('x')
    await session.close()
  })

  test('[B48] what becomes of a message in one subscription is nothing to the other', async () => {
    await send(box, 'news', message('it'))
    const one = receiverOf(box, 'news/one')
    const two = receiverOf(box, 'news/two')
    await one.deadLetterMessage(await takeOne(one), because('r'))
    const other = await takeOne(two)
    expect(other.deliveryCount).toBe(0)
    await two.abandonMessage(other, { mine: true })
    expect((await takeOne(two)).applicationProperties).toEqual({ mine: true })
    const dead = receiverOf(box, 'news/one', 'peekLock', 'deadLetter')
    expect((await takeOne(dead)).applicationProperties).not.toHaveProperty('mine')
    const none = receiverOf(box, 'news/two', 'peekLock', 'deadLetter')
    expect(await none.peekMessages(1)).toEqual([])
    for (const receiver of [one, two, dead, none]) await receiver.close()
  })

  test('[B48] a topic without subscriptions takes everything and keeps nothing', async () => {
    await send(box, 'nobody', message('into the wind'))
  })

  test('[B48] a topic is not received from, and a subscription not sent to', async () => {
    const receiver = receiverOf(box, 'news')
    await expect(receiver.receiveMessages(1, { maxWaitTimeInMs: 500 })).rejects.toMatchObject({
      code: 'MessagingEntityNotFound',
    })
    await receiver.close()
  })

  test('[B48] receivers of one subscription compete', async () => {
    await send(box, 'news', ...Array.from({ length: 20 }, (_, index) => message(index)))
    const receivers = [receiverOf(box, 'news/one'), receiverOf(box, 'news/one')]
    const all = await Promise.all(receivers.map((receiver) => take(receiver, 10)))
    expect(new Set(all.flatMap(bodies)).size).toBe(20)
    for (const receiver of receivers) await receiver.close()
  })

  test('[B49] the correlation filter of a Config.json lets in what fits all of it', async () => {
    const red = { subject: 'paint', applicationProperties: { colour: 'red' } }
    await send(
      box,
      'filtered',
      message(1, red),
      message(2, { ...red, subject: 'ink' }),
      message(3, { ...red, applicationProperties: { colour: 'blue' } }),
      message(4, { subject: 'paint' }),
      message(5, { ...red, applicationProperties: { colour: 'red', more: 1 } }),
    )
    const receiver = receiverOf(box, 'filtered/red')
    expect(bodies(await take(receiver, 2))).toEqual([1, 5])
    expect(await receiver.peekMessages(10)).toHaveLength(2)
    await receiver.close()
  })

  test('[B49] the SQL filter of a Config.json lets in what it is true of', async () => {
    const priced = (price: number) => message(price, { applicationProperties: { price } })
    await send(box, 'filtered', priced(9.5), priced(10), priced(-1), message('free'))
    const receiver = receiverOf(box, 'filtered/cheap')
    expect(bodies(await take(receiver, 2))).toEqual([9.5, -1])
    expect(await receiver.peekMessages(10)).toHaveLength(2)
    await receiver.close()
  })
})

/** Gives the subscription `ruled` one rule, and answers which messages come through. */
async function through(
  filter: { sqlExpression: string } | CorrelationRuleFilter,
  ...messages: readonly ServiceBusMessage[]
): Promise<unknown[]> {
  const rules = box.client.createRuleManager('filtered', 'ruled')
  for await (const { name } of rules.listRules()) await rules.deleteRule(name)
  await rules.createRule('it', filter)
  await send(box, 'filtered', ...messages)
  const receiver = receiverOf(box, 'filtered/ruled', 'receiveAndDelete')
  const seen = await receiver.receiveMessages(messages.length, { maxWaitTimeInMs: 15 })
  await receiver.close()
  return bodies(seen)
}

const full: Partial<ServiceBusMessage> = {
  messageId: 'm',
  sessionId: 's',
  correlationId: 'c',
  subject: 'l',
  to: 't',
  replyTo: 'r',
  replyToSessionId: 'rs',
  contentType: 'ct',
  applicationProperties: { text: 'abc', n: 5, f: 1.5, yes: true, 'odd name': 'x', "it's": 1 },
}

test.each<[keyof CorrelationRuleFilter & keyof ServiceBusMessage]>([
  ['messageId'],
  ['sessionId'],
  ['correlationId'],
  ['subject'],
  ['to'],
  ['replyTo'],
  ['replyToSessionId'],
  ['contentType'],
])('[B49] a correlation filter compares %s', async (name) => {
  const seen = await through(
    { [name]: full[name] },
    message('fits', full),
    message('does not', { ...full, [name]: 'other' }),
  )
  expect(seen).toEqual(['fits'])
})

test.each<[string, string | number | boolean, string | number | boolean]>([
  ['text', 'abc', 'abd'],
  ['n', 5, 6],
  ['f', 1.5, 1.25],
  ['yes', true, false],
])(
  '[B49] a correlation filter compares the application property %s',
  async (name, value, other) => {
    const seen = await through(
      { applicationProperties: { [name]: value } },
      message('fits', full),
      message('does not', { ...full, applicationProperties: { [name]: other } }),
      message('has none', { subject: 'x' }),
    )
    expect(seen).toEqual(['fits'])
  },
)

test.each<[string, boolean]>([
  ['1=1', true],
  ['1=0', false],
  ['n = 5', true],
  ['n <> 5', false],
  ['n != 4', true],
  ['n > 4 AND n < 6', true],
  ['n >= 6 OR n <= 4', false],
  ["text = 'abc'", true],
  ["text = 'ABC'", false],
  ["user.text = 'abc'", true],
  ["[odd name] = 'x'", true],
  ["sys.Label = 'l'", true],
  ["sys.MessageId = 'm' and sys.SessionId = 's'", true],
  ["sys.CorrelationId LIKE 'c%'", true],
  ["sys.To = 'x' OR sys.ReplyTo = 'r'", true],
  ["text LIKE 'a_c'", true],
  ["text LIKE '%b%'", true],
  ["text NOT LIKE 'b%'", true],
  ["text LIKE 'b%'", false],
  ["text IN ('x', 'abc')", true],
  ['n IN (1, 2, 3)', false],
  ['n NOT IN (1, 2, 3)', true],
  ['missing IS NULL', true],
  ['n IS NOT NULL', true],
  ['n IS NULL', false],
  ['EXISTS(n)', true],
  ['EXISTS(missing)', false],
  ['NOT EXISTS(missing)', true],
  ['missing = 5', false],
  ['NOT (missing = 5)', false],
  ['missing = 5 OR n = 5', true],
  ['yes = TRUE', true],
  ['yes = FALSE', false],
  ['NOT (n = 5)', false],
  ['n + 1 = 6', true],
  ['n * 2 - 4 > 5.5', true],
  ['n / 2 > 3', false],
  ['(n = 1 OR n = 5) AND f < 2', true],
  ['n = 1 OR n = 5 AND f > 2', false],
  ['-n < 0', true],
  ["text + 'd' = 'abcd'", true],
  ["[it's] = 1", true],
  ["text = 'it''s'", false],
])('[B50] the SQL filter %s is %s', async (sqlExpression, isTrue) => {
  const seen = await through({ sqlExpression }, message('it', full))
  expect(seen).toEqual(isTrue ? ['it'] : [])
})

test.each([
  'n =',
  'n = = 5',
  '(n = 5',
  'n = 5)',
  "text = 'abc",
  'SELECT 1',
  'n ~ 5',
  'sys.Nothing = 1',
])('[B50] the SQL filter %s is refused', async (sqlExpression) => {
  const rules = box.client.createRuleManager('filtered', 'ruled')
  await expect(rules.createRule('bad', { sqlExpression })).rejects.toThrow()
})

test('[B50] rules are listed as they were made', async () => {
  const rules = box.client.createRuleManager('filtered', 'ruled')
  for await (const { name } of rules.listRules()) await rules.deleteRule(name)
  await rules.createRule('sql', { sqlExpression: 'n = 5' })
  const filter = { subject: 'l', applicationProperties: { a: 'x', n: 1 } }
  await rules.createRule('correlation', filter)
  const found = []
  for await (const { name, filter: it } of rules.listRules()) found.push([name, it])
  expect(found).toEqual([
    ['sql', { sqlExpression: 'n = 5' }],
    ['correlation', expect.objectContaining(filter)],
  ])
})

test('[B50] a name of a rule is given once', async () => {
  const rules = box.client.createRuleManager('filtered', 'ruled')
  await rules.deleteRule('twice').catch(() => {})
  await rules.createRule('twice', { sqlExpression: '1=1' })
  await expect(rules.createRule('twice', { sqlExpression: '1=0' })).rejects.toThrow()
})

test('[B50] a rule that does not exist cannot be deleted', async () => {
  const rules = box.client.createRuleManager('filtered', 'ruled')
  await expect(rules.deleteRule('no-such-rule')).rejects.toThrow()
})

test('[B50] a subscription takes what fits any of its rules, once', async () => {
  const rules = box.client.createRuleManager('filtered', 'ruled')
  for await (const { name } of rules.listRules()) await rules.deleteRule(name)
  await rules.createRule('five', { sqlExpression: 'n = 5' })
  await rules.createRule('small', { sqlExpression: 'n < 10' })
  const numbered = (n: number) => message(n, { applicationProperties: { n } })
  await send(box, 'filtered', numbered(5), numbered(9), numbered(10))
  const receiver = receiverOf(box, 'filtered/ruled', 'receiveAndDelete')
  expect(bodies(await receiver.receiveMessages(5, { maxWaitTimeInMs: 100 }))).toEqual([5, 9])
  await receiver.close()
})

test('[B50] a subscription without rules takes nothing', async () => {
  const rules = box.client.createRuleManager('filtered', 'ruled')
  for await (const { name } of rules.listRules()) await rules.deleteRule(name)
  const left = []
  // The SDK lists one `undefined` where there is nothing to list.
  for await (const rule of rules.listRules()) if (rule) left.push(rule)
  expect(left).toEqual([])
  await send(box, 'filtered', message('it', full))
  const receiver = receiverOf(box, 'filtered/ruled')
  expect(await receiver.peekMessages(1)).toEqual([])
  await receiver.close()
})
