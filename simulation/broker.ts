/**
 * The broker with its real holes, around the memory broker: it stores and says that it failed, says
 * that it settled and forgets, hands out again what is done with, throttles, and keeps what a dead
 * process held until the lock ends.
 */
import {
  type Broker,
  type Message,
  type PeekableBroker,
  type PublishResult,
  type Received,
  type Receiver,
  type ReceiverOptions,
  resendProperty,
  type Settlement,
} from '@tidemark/server/broker/broker'
import { createMemoryBroker, createNamespace } from '@tidemark/server/broker/memory'
import { parseLogKey, TidemarkError } from '@tidemark/shared'
import type { History } from './history.ts'
import type { BrokerFaults, ServiceOptions } from './options.ts'
import type { Random } from './random.ts'
import { audit, inventory } from './topics.ts'
import { type Life, Machine, type World } from './world.ts'

/** A broker without faults. */
export const soundBroker: BrokerFaults = {
  delayMs: 5,
  failShare: 0,
  unknownShare: 0,
  forgetShare: 0,
  repeatShare: 0,
  silentShare: 0,
  throttleShare: 0,
  duplicateWindowMs: 0,
}

/** What the broker is made of. */
export interface BrokerHostOptions {
  readonly world: World
  readonly random: Random
  readonly history: History
  readonly faults: BrokerFaults
  readonly service: ServiceOptions
}

/** Locks of messages last this long, in ms. */
const lockMs = 30_000
/** No message is given up: then it would be the operators' to look for it. */
const maxDeliveryCount = 1_000_000

/** Where the gateway hears what services publish. */
export const gatewaySubscription = 'tidemark'
/** Where somebody else's service listens. */
export const otherSubscription = 'reports'
/** Where the answering service listens. */
export const serviceSubscription = 'answers'

const servicePath = `${inventory.name}/Subscriptions/${serviceSubscription}`

/** A broker that gateways and services connect to. */
export class BrokerHost {
  faults: BrokerFaults
  /** Nothing gets through. */
  isDown = false
  /** The epochs of logs that are lost: what those have published is not handed to a gateway any more. */
  readonly lostEpochs = new Set<string>()
  /** Somebody has deleted the topic. */
  isMissing = false
  readonly #options: BrokerHostOptions
  readonly #namespace: ReturnType<typeof createNamespace>
  readonly #clients = new Map<Life, Broker>()

  constructor(options: BrokerHostOptions) {
    this.#options = options
    this.faults = options.faults
    const { world, faults, service } = options
    const { duplicateWindowMs } = faults
    const system = new Machine('broker').begin(world).system
    const forGateway = {
      name: gatewaySubscription,
      lockMs,
      maxDeliveryCount,
      requiresSession: true,
    }
    const forService = {
      name: serviceSubscription,
      lockMs,
      maxDeliveryCount: service.deliveriesMax,
      requiresSession: service.ordered,
    }
    this.#namespace = createNamespace(system, {
      topics: [
        {
          name: inventory.name,
          duplicateWindowMs,
          subscriptions: [forGateway, forService, { name: otherSubscription, lockMs }],
        },
        { name: audit.name, duplicateWindowMs, subscriptions: [forGateway] },
      ],
    })
  }

  /** The port for a process. `isRelay` says that what it publishes comes from the log. */
  brokerFor(life: Life, isRelay: boolean): Broker {
    const inner = createMemoryBroker({ system: life.system, namespace: this.#namespace })
    this.#clients.set(life, inner)
    return {
      limits: inner.limits,
      publish: (topic, messages) => this.#publish(life, inner, topic, messages, isRelay),
      receiver: (options) => this.#receiver(life, inner.receiver(options), options, isRelay),
      close: () => inner.close(),
    }
  }

  /** The port as an operator's tool has it, who looks into dead letters: at once, and without faults. */
  brokerForOperator(life: Life): PeekableBroker {
    return createMemoryBroker({ system: life.system, namespace: this.#namespace })
  }

  /** Somebody else's service reads what there is. It fails at what our service fails at, but at nothing that is sent again. */
  async readElsewhere(life: Life): Promise<void> {
    const place = { topic: inventory.name, subscription: otherSubscription }
    const receiver = this.brokerForOperator(life).receiver(place)
    const dead = new Set(this.deadLetters())
    const givenUp = { type: 'deadLetter', reason: 'Failed', description: '' } as const
    const isFailure = ({ attributes, properties }: Received): boolean =>
      dead.has(String(attributes['id'])) && properties[resendProperty] === undefined
    for (;;) {
      const messages = await receiver.receive(1_000, 0)
      if (messages.length === 0) break
      for (const message of messages) {
        await receiver.settle(message, isFailure(message) ? givenUp : { type: 'complete' })
      }
    }
    await receiver.close()
  }

  /** A process is gone. Its links are dropped when the broker notices; what it held stays locked till then. */
  drop(life: Life): void {
    const client = this.#clients.get(life)
    this.#clients.delete(life)
    const { world, random } = this.#options
    world.after(random.exponential(5_000), () => void client?.close())
  }

  /** How many messages the service has not settled. */
  get waiting(): number {
    return this.#namespace.mailbox(servicePath)?.size ?? 0
  }

  /** The ids of events that the broker has given up to hand to the service. */
  deadLetters(): readonly string[] {
    const letters = this.#namespace.mailbox(`${servicePath}/$DeadLetterQueue`)?.peek(1, 1_000) ?? []
    return letters.map(({ envelope }) => String(envelope.properties['id']))
  }

  async #publish(
    life: Life,
    inner: Broker,
    topic: string,
    messages: readonly Message[],
    isRelay: boolean,
  ): Promise<readonly PublishResult[]> {
    const { random } = this.#options
    await life.pause(this.#delay())
    const wrong = this.#wrong(topic)
    if (wrong) return messages.map(() => wrong)
    const results = await inner.publish(topic, messages)
    this.#tellPublished(messages, results, isRelay)
    await life.pause(this.#delay())
    if (!random.chance(this.faults.unknownShare)) return results
    const from = random.below(messages.length)
    const lost = new TidemarkError('BROKER_UNAVAILABLE', { reason: 'the answer was lost' })
    return results.map((result, at) => (at >= from ? lost : result))
  }

  #receiver(life: Life, inner: Receiver, { topic }: ReceiverOptions, isIngest: boolean): Receiver {
    const { random } = this.#options
    const originals = new WeakMap<Received, Received>()
    const repeats: Received[] = []
    let silentUntil = 0
    return {
      receive: async (max, waitMs) => {
        await life.pause(this.#delay())
        const wrong = this.#wrong(topic)
        if (wrong) throw wrong
        if (random.chance(this.faults.silentShare)) {
          silentUntil = this.#options.world.now + random.exponential(60_000)
          // Either it hands out nothing for a while, or this call is never answered at all.
          if (random.chance(0.5)) await life.pause(Number.MAX_SAFE_INTEGER)
        }
        if (silentUntil > this.#options.world.now && this.faults.silentShare > 0) {
          await life.pause(waitMs)
          return []
        }
        const again = repeats.shift()
        const taken = again ? [again] : await inner.receive(max, waitMs)
        const isLost = ({ attributes }: Received) =>
          isIngest && this.lostEpochs.has(String(attributes['epoch']))
        for (const message of taken.filter(isLost))
          await inner.settle(message, { type: 'complete' })
        return taken
          .filter((message) => !isLost(message))
          .map((message) => {
            // The count that a broker tells is not to be relied on.
            const told = { ...message, deliveries: random.chance(0.5) ? 1 : message.deliveries }
            originals.set(told, message)
            if (!isIngest) this.#tellHanded(message)
            return told
          })
      },
      settle: async (message, settlement) => {
        const original = originals.get(message) ?? message
        await this.#settle(life, inner, original, settlement, isIngest)
        // Done is done, but now and then a message comes once more all the same.
        if (random.chance(this.faults.repeatShare)) repeats.push(original)
      },
      close: () => inner.close(),
    }
  }

  async #settle(
    life: Life,
    inner: Receiver,
    message: Received,
    settlement: Settlement,
    isIngest: boolean,
  ): Promise<void> {
    const { random, history } = this.#options
    if (isIngest && settlement.type !== 'abandon') {
      history.note(`${life.name} settles ${message.id} ${settlement.type}`)
      // A message that was redriven has an id of its own.
      history.state({ type: 'settled', id: String(message.attributes['id'] ?? message.id) })
    }
    await life.pause(this.#delay())
    const isForgotten = random.chance(this.faults.forgetShare)
    const isLost = random.chance(this.faults.failShare)
    if (this.isDown || isForgotten || isLost) this.#handOutAgain(inner, message)
    if (this.isDown) throw unavailable()
    if (isLost) throw new TidemarkError('LOCK_LOST')
    if (isForgotten) return
    await inner.settle(message, settlement)
    await life.pause(this.#delay())
  }

  /** What the broker does not know to be settled comes again when its lock ends, whoever holds it. */
  #handOutAgain(inner: Receiver, message: Received): void {
    const { world, random } = this.#options
    world.after(random.between(0, lockMs), () => {
      inner.settle(message, { type: 'abandon' }).catch(() => {})
    })
  }

  #tellHanded({ attributes, sequence }: Received): void {
    const id = String(attributes['id'])
    this.#options.history.state({ type: 'handed', id, sequence: Number(sequence) })
  }

  #wrong(topic: string): TidemarkError | undefined {
    const { random } = this.#options
    if (this.isDown || random.chance(this.faults.failShare)) return unavailable()
    if (this.isMissing) return new TidemarkError('ENTITY_MISSING', { entity: topic })
    if (!random.chance(this.faults.throttleShare)) return undefined
    return new TidemarkError('BROKER_BUSY', { retryAfterMs: 2_000 })
  }

  #delay(): number {
    return this.#options.random.exponential(this.faults.delayMs)
  }

  #tellPublished(
    messages: readonly Message[],
    results: readonly PublishResult[],
    isRelay: boolean,
  ): void {
    const { history } = this.#options
    for (const [at, message] of messages.entries()) {
      if (results[at]) continue
      history.note(`broker stores ${message.id} of ${message.key}`)
      if (!isRelay) continue
      const source = String(message.attributes['source'])
      history.state({ type: 'published', log: parseLogKey(source.slice(1)), id: message.id })
    }
  }
}

const unavailable = () => new TidemarkError('BROKER_UNAVAILABLE', { reason: 'not there' })
