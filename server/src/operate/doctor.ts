/**
 * Compares what the code declares with what is there, and says the difference in sentences. It changes nothing
 * and sends nothing. What it could not find out it says too: silence is not health.
 */
import { sayWhy } from './dead-letters.ts'
import type { PlannedSubscription, PlannedTopic } from './provision.ts'

/** A topic as it is. What could not be found out is left out. */
export interface FoundTopic {
  readonly requiresDuplicateDetection?: boolean
  /** As ISO 8601. */
  readonly duplicateWindow?: string
  /** The largest message, in bytes. */
  readonly messageBytesMax?: number
  /** The names of all subscriptions. */
  readonly subscriptions?: readonly string[]
}

/** A subscription as it is. What could not be found out is left out. */
export interface FoundSubscription {
  readonly requiresSession?: boolean
  /** As SQL; a filter that is not written in SQL is named in words. */
  readonly filters?: readonly string[]
  readonly maxDeliveryCount?: number
  readonly deadLettersExpired?: boolean
  /** Dead letters that lie there; where `isAtLeast`, perhaps more. */
  readonly deadLetters?: { readonly count: number; readonly isAtLeast: boolean }
}

/** Looks at a namespace. `undefined`: there is no such thing. Throws where it may not look, or cannot. */
export interface Inspector {
  /** What it looks with, for people. */
  readonly means: string
  topic(name: string): Promise<FoundTopic | undefined>
  subscription(topic: string, name: string): Promise<FoundSubscription | undefined>
}

/** `wrong` has to be changed, `look` is for a person to look at, `unknown` could not be found out. */
export type Severity = 'fine' | 'look' | 'unknown' | 'wrong'

/** One sentence about one entity. */
export interface Finding {
  readonly severity: Severity
  /** `inventory`, `inventory/purchasing`. */
  readonly entity: string
  readonly sentence: string
}

/** What a namespace is held against. */
export interface DoctorOptions {
  readonly plan: readonly PlannedTopic[]
  readonly inspector: Inspector
  /** The largest message that the gateway counts on, in bytes. */
  readonly messageBytesMax?: number | undefined
}

/** Examines a namespace. Never throws for what it finds there. */
export async function examine(options: DoctorOptions): Promise<readonly Finding[]> {
  const findings: Finding[] = []
  for (const planned of options.plan) findings.push(...(await examineTopic(options, planned)))
  return findings
}

async function examineTopic(
  { inspector, messageBytesMax }: DoctorOptions,
  planned: PlannedTopic,
): Promise<readonly Finding[]> {
  const { name, subscriptions } = planned
  let found: FoundTopic | undefined
  try {
    found = await inspector.topic(name)
  } catch (error) {
    return [say('unknown', name, `It could not be looked at: ${sayWhy(error)}.`)]
  }
  if (!found) {
    return [
      say('wrong', name, 'The topic does not exist. The relay parks its streams until it is made.'),
    ]
  }
  const findings = [...judgeTopic(planned, found, messageBytesMax)]
  for (const subscription of subscriptions) {
    findings.push(...(await examineSubscription(inspector, name, subscription)))
  }
  return findings
}

function* judgeTopic(
  { name, subscriptions }: PlannedTopic,
  found: FoundTopic,
  counted: number | undefined,
): Generator<Finding> {
  const { requiresDuplicateDetection, messageBytesMax } = found
  if (requiresDuplicateDetection === undefined) {
    const sentence =
      'Whether it detects duplicates cannot be seen without management rights. If it does not, a repeated send reaches every consumer twice; Tidemark’s own consumers pass over it.'
    yield say('unknown', name, sentence)
  } else if (!requiresDuplicateDetection) {
    const sentence =
      'It does not detect duplicates, and that can only be set when a topic is made. A repeated send reaches every consumer twice; Tidemark’s own consumers pass over it.'
    yield say('wrong', name, sentence)
  } else {
    yield say(
      'fine',
      name,
      `It detects duplicates within ${found.duplicateWindow ?? 'its window'}.`,
    )
  }
  if (messageBytesMax !== undefined && counted !== undefined && messageBytesMax < counted) {
    const sentence = `It takes messages of ${messageBytesMax} bytes, and the gateway counts on ${counted}: larger events would be accepted and then parked. Set \`messageBytesMax\` of the broker.`
    yield say('wrong', name, sentence)
  }
  const declared = new Set(subscriptions.map((one) => one.name.toLowerCase()))
  for (const other of found.subscriptions ?? []) {
    if (declared.has(other.toLowerCase())) continue
    const sentence =
      'The subscription is not declared. If nobody reads it, it fills up until the topic takes nothing more.'
    yield say('look', `${name}/${other}`, sentence)
  }
}

async function examineSubscription(
  inspector: Inspector,
  topic: string,
  planned: PlannedSubscription,
): Promise<readonly Finding[]> {
  const entity = `${topic}/${planned.name}`
  try {
    const found = await inspector.subscription(topic, planned.name)
    if (found) return [...judgeSubscription(entity, planned, found)]
    const sentence =
      'The subscription does not exist. What is published until it is made never reaches it; `tidemark replay` brings it afterwards.'
    return [say('wrong', entity, sentence)]
  } catch (error) {
    return [say('unknown', entity, `It could not be looked at: ${sayWhy(error)}.`)]
  }
}

function* judgeSubscription(
  entity: string,
  planned: PlannedSubscription,
  found: FoundSubscription,
): Generator<Finding> {
  yield judgeSessions(entity, planned, found)
  yield judgeFilters(entity, planned, found)
  const { maxDeliveryCount, deadLettersExpired, deadLetters } = found
  if (maxDeliveryCount !== undefined && maxDeliveryCount < planned.maxDeliveryCount) {
    const sentence = `It dead-letters after ${maxDeliveryCount} deliveries, and ${planned.maxDeliveryCount} were declared.`
    yield say('look', entity, sentence)
  }
  if (deadLettersExpired === false) {
    yield say('look', entity, 'What expires in it is dropped without a trace, not dead-lettered.')
  }
  if (deadLetters && deadLetters.count > 0) {
    const count = `${deadLetters.isAtLeast ? 'at least ' : ''}${deadLetters.count}`
    const sentence = `It has ${count} dead letters. See \`tidemark dead-letters list --source broker/${entity}\`.`
    yield say('look', entity, sentence)
  }
}

function judgeSessions(
  entity: string,
  { requiresSession: wanted }: PlannedSubscription,
  { requiresSession: found }: FoundSubscription,
): Finding {
  if (found === undefined) return say('unknown', entity, 'Whether it has sessions is not known.')
  if (found === wanted) {
    return say('fine', entity, wanted ? 'It has sessions.' : 'It has no sessions, as declared.')
  }
  const sentence = wanted
    ? 'It has no sessions, and they can only be set when it is made: its reader fails, or loses the order of streams. Make it anew.'
    : 'It requires sessions, and its reader does not accept any: it receives nothing. Declare it `ordered`, or make it anew.'
  return say('wrong', entity, sentence)
}

function judgeFilters(
  entity: string,
  { filter: wanted }: PlannedSubscription,
  { filters }: FoundSubscription,
): Finding {
  if (filters === undefined) return say('unknown', entity, 'Its rules could not be read.')
  if (filters.length === 0) return say('wrong', entity, 'It has no rule, so it gets nothing.')
  if (filters.length === 1 && filters[0] === wanted) {
    return say('fine', entity, 'Its rule passes by what is sent again for others.')
  }
  if (filters.length === 1 && filters[0] === everything) {
    const sentence =
      'It takes everything, also what is replayed or redriven for another subscription. Tidemark’s own consumers pass over that; for any other, `tidemark provision` writes a rule.'
    return say('look', entity, sentence)
  }
  return say('look', entity, `It has rules of its own: ${filters.join('; ')}.`)
}

/** The filter that a subscription has when it is made without one. */
export const everything = '1=1'

const say = (severity: Severity, entity: string, sentence: string): Finding => ({
  severity,
  entity,
  sentence,
})
