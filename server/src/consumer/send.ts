/**
 * Resulting events to the broker. A row is deleted after the broker confirmed it, so a crash repeats and
 * never skips; one topic that cannot be published to holds up no other.
 */
import {
  backoffMs,
  type BackoffOptions,
  isTidemarkError,
  recoveryOf,
  type TidemarkError,
} from '@tidemark/shared'
import type { PublishResult } from '../broker/broker.ts'
import type { Outgoing } from './processed/outbox.ts'
import type { Unit } from './processed/processed.ts'
import type { Settings } from './settings.ts'

/** Resulting events that one look takes. */
const sendMax = 100
/** What another run of this consumer has left behind for so long is taken over, in milliseconds. */
const strayMs = 5_000
const backoff: BackoffOptions = { firstMs: 200, maxMs: 30_000 }

interface Rest {
  readonly failures: number
  readonly until: number
}

/** Builds what publishes resulting events: called again and again, it returns when to call it next, in ms. */
export function createSender<Tx>(settings: Settings<Tx>): () => Promise<number | undefined> {
  const { name, owner, broker, processed, system, logger, counts } = settings
  /** Topics that could not be published to, and until when they rest (monotonic ms). */
  const resting = new Map<string, Rest>()

  async function publish(topic: string, items: readonly Outgoing[]): Promise<void> {
    const results = await broker.publish(
      topic,
      items.map(({ message }) => message),
    )
    const confirmed = items.filter((_, at) => results[at] === undefined)
    const refused = items.flatMap((item, at) => {
      const error = results[at]
      return isFinal(error) ? [{ item, error }] : []
    })
    const note = async ({ outbox }: Unit<Tx>): Promise<void> => {
      if (confirmed.length > 0) await outbox.confirm(confirmed.map(({ seq }) => seq))
      for (const { item, error } of refused) await outbox.refuse(item.seq, error.code)
    }
    // What is forgotten of this is published once more.
    await processed.transaction(note, { survives: 'process' })
    counts.published += confirmed.length
    for (const { item, error } of refused) {
      const fields = { event: 'consumer-result-refused', consumer: name, topic, code: error.code }
      logger.error({ ...fields, id: item.message.id }, 'the broker can never take this result')
    }
    rest(
      topic,
      results.find((error) => error && !isFinal(error)),
    )
  }

  function rest(topic: string, error: PublishResult): void {
    if (!error) return void resting.delete(topic)
    const failures = (resting.get(topic)?.failures ?? 0) + 1
    const retryAfterMs = isTidemarkError(error, 'BROKER_BUSY') ? error.details.retryAfterMs : 0
    const waitMs = backoffMs(backoff, failures - 1, system.random, retryAfterMs)
    resting.set(topic, { failures, until: system.mono() + waitMs })
    if (failures > 1) return
    const fields = { event: 'consumer-results-waiting', consumer: name, topic, err: error }
    logger.warn(fields, 'results cannot be published for now')
  }

  return async () => {
    const mono = system.mono()
    const asleep = [...resting].filter(([, { until }]) => until > mono)
    const filter = {
      consumer: name,
      owner,
      strayBefore: system.now() - strayMs,
      exceptTopics: asleep.map(([topic]) => topic),
      max: sendMax,
    }
    const items = await processed.transaction(({ outbox }) => outbox.pending(filter), {
      survives: 'process',
    })
    for (const topic of new Set(items.map((item) => item.topic))) {
      await publish(
        topic,
        items.filter((item) => item.topic === topic),
      )
    }
    if (items.length > 0) return 0
    const waits = asleep.map(([, { until }]) => Math.max(1, until - mono))
    return waits.length === 0 ? undefined : Math.min(...waits)
  }
}

/** Would the broker say the same for ever? A topic that is missing may be made yet. */
const isFinal = (error: PublishResult): error is TidemarkError =>
  error !== undefined && recoveryOf(error) === 'never' && error.code !== 'ENTITY_MISSING'
