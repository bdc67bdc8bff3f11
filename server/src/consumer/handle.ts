/**
 * A batch of events to their effects. An attempt is counted and committed before the handler runs; then
 * effects, marks and resulting events commit together, each event between savepoints; only after that are
 * the messages settled. Whatever comes again finds its mark, and nothing happens.
 */
import { isTidemarkError, TidemarkError } from '@tidemark/shared'
import { attemptEvent, holdEvent, isLost, isOfEvent, noteFailure } from './attempt.ts'
import type { Delivery } from './delivery.ts'
import type { Result } from './emit.ts'
import type { Hold } from './processed/holds.ts'
import type { Standing, Unit } from './processed/processed.ts'
import type { Settings } from './settings.ts'

/** What became of a delivery, once that is committed: its messages may be completed, but for `uncounted`. */
type Fate = { readonly delivery: Delivery } & (
  | { readonly type: 'duplicate' | 'aside' | 'uncounted' }
  | { readonly type: 'processed'; readonly results: readonly Result[] }
  | { readonly type: 'held'; readonly hold: Hold }
)

/** Called for each delivery after the commit that made its messages superfluous. */
export type OnCommitted = (delivery: Delivery) => void

/** Handles a batch, in order. Throws `PROCESSED_UNAVAILABLE`: what was not committed is to be handed out again. */
export async function handleBatch<Tx>(
  settings: Settings<Tx>,
  batch: readonly Delivery[],
  onCommitted: OnCommitted,
): Promise<void> {
  const { duplicates, groups, counted } = await settings.processed.transaction(
    (unit) => beginAttempts(settings, unit, batch),
    { survives: 'process' },
  )
  conclude(settings, duplicates, onCommitted)
  for (const { type, deliveries } of groups) {
    switch (type) {
      case 'attempt':
        await handleGroup(settings, deliveries, counted, onCommitted)
        break
      case 'alone':
        await handleBatch(settings, deliveries, onCommitted)
        break
      case 'crashed':
        for (const delivery of deliveries) await holdCrashed(settings, delivery, onCommitted)
    }
  }
}

/** What is handled together: in one transaction, alone with a count of its own, or not at all any more. */
interface Group {
  readonly type: 'attempt' | 'alone' | 'crashed'
  readonly deliveries: Delivery[]
}

interface Begun {
  readonly duplicates: readonly Fate[]
  readonly groups: readonly Group[]
  readonly counted: ReadonlySet<string>
}

/**
 * Counts the attempts that begin. It writes nothing else: this commit has to survive the process alone,
 * and no message is settled for it. An event that was begun before and never ended may be one that kills
 * the process, so it is tried alone: the others must not pay for it.
 */
async function beginAttempts<Tx>(
  settings: Settings<Tx>,
  unit: Unit<Tx>,
  batch: readonly Delivery[],
): Promise<Begun> {
  const { name, attemptsMax } = settings
  const { standing, held } = await look(settings, unit, batch)
  const duplicates: Fate[] = []
  const groups: Group[] = []
  const counted = new Set<string>()
  const join = (type: Group['type'], delivery: Delivery): void => {
    const last = groups.at(-1)
    if (last?.type === type && type === 'attempt') last.deliveries.push(delivery)
    else groups.push({ type, deliveries: [delivery] })
  }
  for (const delivery of batch) {
    const before = standing.get(delivery.event.id)
    if (before?.done) {
      duplicates.push({ type: 'duplicate', delivery })
    } else if (held.has(delivery.key)) {
      join('attempt', delivery)
    } else if (before && endedAttempts(before) >= attemptsMax) {
      held.add(delivery.key)
      join('crashed', delivery)
    } else if (before && batch.length > 1) {
      join('alone', delivery)
    } else {
      counted.add(delivery.event.id)
      join('attempt', delivery)
    }
  }
  if (counted.size > 0) await unit.attempts.count(name, [...counted], batch.length > 1)
  return { duplicates, groups, counted }
}

/** Attempts that the event has to answer for: one in company may have been ended by its neighbours. */
const endedAttempts = ({ attempts, inCompany }: Standing): number => attempts - (inCompany ? 1 : 0)

async function look<Tx>(
  { name }: Settings<Tx>,
  unit: Unit<Tx>,
  batch: readonly Delivery[],
): Promise<{ standing: ReadonlyMap<string, Standing>; held: Set<string> }> {
  const standing = await unit.attempts.standing(
    name,
    batch.map(({ event }) => event.id),
  )
  const held = await unit.holds.held(
    name,
    batch.map(({ key }) => key),
  )
  return { standing, held: new Set(held.keys()) }
}

/** The fate of an event that is done, or whose stream is held; nothing where it is to be attempted. */
async function sortOut<Tx>(
  { name, system }: Settings<Tx>,
  unit: Unit<Tx>,
  delivery: Delivery,
  standing: Standing | undefined,
  held: ReadonlySet<string>,
): Promise<Fate | undefined> {
  if (standing?.done) return { type: 'duplicate', delivery }
  if (!held.has(delivery.key)) return undefined
  await unit.holds.setAside(name, delivery.key, delivery.kept, system.now())
  return { type: 'aside', delivery }
}

/** Makes the effects of counted events in one transaction. */
async function handleGroup<Tx>(
  settings: Settings<Tx>,
  group: readonly Delivery[],
  counted: ReadonlySet<string>,
  onCommitted: OnCommitted,
): Promise<void> {
  let current: Delivery | undefined
  try {
    const fates = await settings.processed.transaction((unit) =>
      makeEffects(settings, unit, group, counted, (delivery) => (current = delivery)),
    )
    conclude(settings, fates, onCommitted)
    for (const { type, delivery } of fates) {
      if (type === 'uncounted') await handleBatch(settings, [delivery], onCommitted)
    }
  } catch (error) {
    const isAlone = group.length === 1
    if (!isLost(error) || (isAlone && !current)) throw error
    // The transaction is lost with the handler that hangs in it, or by what one of them wrote: each does its own.
    const isKnown = isAlone || isTidemarkError(error, 'HANDLER_TIMEOUT')
    for (const delivery of group) {
      if (isKnown && delivery === current) await holdAlone(settings, delivery, error, onCommitted)
      else await handleBatch(settings, [delivery], onCommitted)
    }
  }
}

/** Looks again first: since the attempts were counted, another process may have been handed the same. */
async function makeEffects<Tx>(
  settings: Settings<Tx>,
  unit: Unit<Tx>,
  group: readonly Delivery[],
  counted: ReadonlySet<string>,
  onBegin: (delivery: Delivery) => void,
): Promise<readonly Fate[]> {
  const { name, owner, system } = settings
  const { standing, held } = await look(settings, unit, group)
  const fates: Fate[] = []
  for (const delivery of group) {
    const before = standing.get(delivery.event.id)
    const known = await sortOut(settings, unit, delivery, before, held)
    if (known || !counted.has(delivery.event.id)) {
      // Its stream was held when attempts were counted, and is not any more.
      fates.push(known ?? { type: 'uncounted', delivery })
      continue
    }
    onBegin(delivery)
    const attempt = before?.attempts ?? 1
    try {
      const results = await attemptEvent(settings, unit, delivery, attempt)
      fates.push({ type: 'processed', delivery, results })
    } catch (error) {
      if (!isOfEvent(error) || isTidemarkError(error, 'HANDLER_TIMEOUT')) throw error
      const hold = await holdEvent(settings, unit, delivery, error, attempt)
      held.add(delivery.key)
      fates.push({ type: 'held', delivery, hold })
    }
  }
  const done = fates.filter((fate) => fate.type === 'processed')
  await unit.attempts.finish(
    name,
    done.map(({ delivery }) => delivery.event.id),
    system.now(),
  )
  const results = done.flatMap((fate) => fate.results)
  await unit.outbox.enqueue(name, owner, results, system.now())
  return fates
}

/** Holds an event that ended the process with each of its attempts. */
function holdCrashed<Tx>(
  settings: Settings<Tx>,
  delivery: Delivery,
  onCommitted: OnCommitted,
): Promise<void> {
  const error = new TidemarkError('HANDLER_CRASHED', { attempts: settings.attemptsMax })
  return holdAlone(settings, delivery, error, onCommitted)
}

/** Holds an event whose attempt left no transaction behind, unless somebody else has dealt with it meanwhile. */
async function holdAlone<Tx>(
  settings: Settings<Tx>,
  delivery: Delivery,
  error: unknown,
  onCommitted: OnCommitted,
): Promise<void> {
  const fate = await settings.processed.transaction(async (unit): Promise<Fate> => {
    const { standing, held } = await look(settings, unit, [delivery])
    const before = standing.get(delivery.event.id)
    const known = await sortOut(settings, unit, delivery, before, held)
    if (known) return known
    const hold = await holdEvent(settings, unit, delivery, error, before?.attempts ?? 1)
    return { type: 'held', delivery, hold }
  })
  conclude(settings, [fate], onCommitted)
}

/** Counts and tells what is committed. */
function conclude<Tx>(
  settings: Settings<Tx>,
  fates: readonly Fate[],
  onCommitted: OnCommitted,
): void {
  const { counts, bells } = settings
  for (const fate of fates) {
    if (fate.type === 'uncounted') continue
    switch (fate.type) {
      case 'processed':
        counts.processed += 1
        bells.sagas.ring()
        if (fate.results.length > 0) bells.send.ring()
        break
      case 'duplicate':
        counts.duplicates += 1
        break
      case 'aside':
        counts.aside += 1
        break
      case 'held':
        noteFailure(settings, fate.delivery, fate.hold)
    }
    onCommitted(fate.delivery)
  }
}
