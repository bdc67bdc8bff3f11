/** Looks at the messages of a place without taking them, and picks one out of many by its number. */
import type { ServiceBusReceivedMessage, ServiceBusReceiver } from '@azure/service-bus'
import { pickedThroughMax, type Place, type Received, type Settlement } from './broker.ts'
import { answered, type Clients, endQuietly, type Settings } from './service-bus-client.ts'
import { toTidemarkError } from './service-bus-error.ts'
import { apply, fromServiceBus } from './service-bus-message.ts'

/** Messages that one call looks at. */
const peekedAtOnce = 250

/** How long a message that is there may take to be handed out, in ms. */
const pickMs = 3_000

/** What a look goes by. */
interface Means {
  readonly clients: Clients
  readonly settings: Settings
}

/** `PeekableBroker.peek`. */
export function peekAt(
  means: Means,
  place: Place,
  max: number,
  after: string,
): Promise<readonly Received[]> {
  return visit(means, place, async (receiver) => {
    const found: Received[] = []
    for await (const received of look(means.settings, receiver)) {
      if (isAfter(received.sequence, after)) found.push(received)
      if (found.length >= max) break
    }
    return found
  })
}

/** `PeekableBroker.pick`. */
export function pickFrom(
  means: Means,
  place: Place,
  sequence: string,
  work: (message: Received) => Promise<Settlement>,
): Promise<boolean> {
  return visit(means, place, async (receiver) => {
    // So many have to be taken to get at it; asking for more would mean waiting for them.
    let left = 0
    let isThere = false
    for await (const received of look(means.settings, receiver)) {
      left += 1
      isThere = received.sequence === sequence
      if (isThere || left === pickedThroughMax) break
    }
    return isThere && (await take(means.settings, receiver, left, sequence, work))
  })
}

async function take(
  settings: Settings,
  receiver: ServiceBusReceiver,
  count: number,
  sequence: string,
  work: (message: Received) => Promise<Settlement>,
): Promise<boolean> {
  const others: ServiceBusReceivedMessage[] = []
  try {
    while (others.length < count) {
      const max = count - others.length
      const taken = await receiver.receiveMessages(max, { maxWaitTimeInMs: pickMs })
      const found = taken.find((one) => String(one.sequenceNumber) === sequence)
      others.push(...taken.filter((one) => one !== found))
      // Somebody else holds it.
      if (taken.length === 0) return false
      if (!found) continue
      const settlement = await work(fromServiceBus(found)).catch((error: unknown) => {
        others.push(found)
        throw new WorkFailed('the work on a message failed', { cause: error })
      })
      await answered(settings, 'a settlement', apply(receiver, found, settlement))
      return true
    }
    return false
  } finally {
    // One after the other: rhea merges different settlements that are made in one tick.
    for (const other of others) await abandonQuietly(settings, receiver, other)
  }
}

/** What lies in a place, page by page. */
async function* look(settings: Settings, receiver: ServiceBusReceiver): AsyncGenerator<Received> {
  for (;;) {
    // Each peek of a connection goes on where its last one ended, and only at the end is there nothing.
    const page = await answered(settings, 'a peek', receiver.peekMessages(peekedAtOnce))
    if (page.length === 0) return
    yield* page.map(fromServiceBus)
  }
}

/** Opens a receiver that fetches nothing ahead, on a connection of its own, for as long as `run` takes. */
async function visit<T>(
  { clients, settings }: Means,
  { topic, subscription, deadLetters }: Place,
  run: (receiver: ServiceBusReceiver) => Promise<T>,
): Promise<T> {
  const client = clients.open()
  const receiver = client.createReceiver(topic, subscription, {
    receiveMode: 'peekLock',
    skipParsingBodyAsJson: true,
    maxAutoLockRenewalDurationInMs: 0,
    ...(deadLetters ? { subQueueType: 'deadLetter' as const } : {}),
  })
  try {
    return await run(receiver)
  } catch (error) {
    throw error instanceof WorkFailed ? error.cause : toTidemarkError(error, receiver.entityPath)
  } finally {
    await endQuietly(settings, client)
  }
}

const isAfter = (sequence = '0', other: string): boolean => BigInt(sequence) > BigInt(other)

/** Gives a message back. Where that fails, its lock ends by itself. */
async function abandonQuietly(
  settings: Settings,
  receiver: ServiceBusReceiver,
  original: ServiceBusReceivedMessage,
): Promise<void> {
  await answered(settings, 'giving back', receiver.abandonMessage(original)).catch(() => {})
}

/** Carries what the caller's own work threw past the translation of the SDK's errors. */
class WorkFailed extends Error {}
