import { expect, test } from 'vitest'
import { createGateway } from './gateway.ts'
import { memoryLog } from './log/memory.ts'
import { createClock } from './testing/clock.ts'

test('[N10] limits are made to fit each other, so that nothing allowed is sent away', async () => {
  const { system } = createClock()
  const gateway = createGateway({
    log: memoryLog({ system }),
    topics: [],
    authenticate: () => ({ author: 'ann' }),
    authorize: () => 'allow',
    limits: {
      unansweredEventsMax: 20,
      submitEventsMax: 50,
      batchEventsMax: 80,
      frameBytesMax: 9_000,
    },
    system,
  })
  expect(gateway.limits).toMatchObject({
    unansweredEventsMax: 20,
    submitEventsMax: 20,
    batchEventsMax: 20,
    frameBytesMax: 9_000,
    eventBytesMax: 8_488,
  })
  await gateway.close()
})
