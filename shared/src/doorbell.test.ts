import { getEventListeners } from 'node:events'
import { expect, test } from 'vitest'
import { Doorbell } from './doorbell.ts'

test('a ring before the wait is not lost', async () => {
  const bell = new Doorbell()
  bell.ring()
  await bell.wait()
})

test('many rings are one', async () => {
  const bell = new Doorbell()
  bell.ring()
  bell.ring()
  await bell.wait()
  let woken = false
  const waiting = bell.wait().then(() => (woken = true))
  await Promise.resolve()
  expect(woken).toBe(false)
  bell.ring()
  await waiting
})

test('an abort wakes the waiter', async () => {
  const stop = new AbortController()
  const waiting = new Doorbell().wait(stop.signal)
  stop.abort()
  await waiting
})

test('a signal that outlives many waits holds on to none of them', async () => {
  const bell = new Doorbell()
  const { signal } = new AbortController()
  for (let n = 0; n < 100; n += 1) {
    const waiting = bell.wait(signal)
    bell.ring()
    await waiting
  }
  expect(getEventListeners(signal, 'abort')).toEqual([])
})
