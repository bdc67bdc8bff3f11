/** Composes the view of dead letters from what a gateway or a configuration names. */
import type { System, Topic } from '@tidemark/shared'
import type { Broker, PeekableBroker } from '../broker/broker.ts'
import type { Processed } from '../consumer/processed/processed.ts'
import type { Log } from '../log/log.ts'
import { brokerDeadLetters } from './broker-dead-letters.ts'
import { createDeadLetters, type DeadLetters, type DeadLetterSource } from './dead-letters.ts'
import { parkedStreams } from './parked-streams.ts'
import type { ConsumerDeclaration } from './provision.ts'
import { setAside } from './set-aside.ts'

/** A service that reads a topic; with its database, where dead letters can be seen and acted on from here. */
export interface DeclaredConsumer extends ConsumerDeclaration {
  /** Where the consumer keeps its marks. Left out: a foreign service, whose dead letters lie at the broker only. */
  readonly processed?: Processed<unknown>
}

/** What dead letters are looked for in. */
export interface ViewOptions {
  readonly log: Log
  readonly topics: readonly Topic[]
  readonly broker?: Broker | undefined
  readonly consumers?: readonly DeclaredConsumer[] | undefined
  /** The gateway's own subscription, where it has one. */
  readonly gatewaySubscription?: string | undefined
  readonly system: System
}

/** Builds the view. */
export function createView(options: ViewOptions): DeadLetters {
  const { log, system } = options
  const sources: readonly DeadLetterSource[] = [
    parkedStreams({ log, system }),
    ...consumerSources(options),
    ...brokerSources(options),
  ]
  return createDeadLetters(sources, system)
}

/** Can this broker be looked into? */
export const isPeekable = (broker: Broker | undefined): broker is PeekableBroker =>
  broker !== undefined && 'peek' in broker && 'pick' in broker

/** One source for each name: consumers that compete have one database, and several topics may have one consumer. */
function consumerSources({ consumers = [], system }: ViewOptions): readonly DeadLetterSource[] {
  const sources = new Map<string, DeadLetterSource>()
  const databases = new Set<Processed<unknown>>()
  for (const { name, processed } of consumers) {
    if (!processed || sources.has(name)) continue
    const sagas = !databases.has(processed)
    databases.add(processed)
    sources.set(name, setAside({ name, processed, system, sagas }))
  }
  return [...sources.values()]
}

function brokerSources(options: ViewOptions): readonly DeadLetterSource[] {
  const { broker, topics, consumers = [], gatewaySubscription, log, system } = options
  if (!isPeekable(broker)) return []
  const own = gatewaySubscription === undefined ? [] : [gatewaySubscription]
  return topics.flatMap(({ name: topic }) => {
    const others = consumers
      .filter((consumer) => consumer.topic.name === topic)
      .map(({ name, subscription = name }) => subscription)
    return [...new Set([...own, ...others])].map((subscription) =>
      brokerDeadLetters({ broker, topic, subscription, log, system }),
    )
  })
}
