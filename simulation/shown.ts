/**
 * What tabs show, compared with their device's disk: the states of models with the log that the gateway
 * holds and the pending events laid over it, and the list of refused events. Only where nothing is
 * under way: a tab that is behind its disk is brought up to it first, as an app's own question does.
 */
import { withdraw } from '@tidemark/client/withdraw'
import type { EventId } from '@tidemark/shared'
import type { Judge } from './checks.ts'
import type { Device, Tab } from './device.ts'
import { expectStates } from './expected.ts'
import { Violation } from './invariants.ts'
import { readEvent } from './lines.ts'
import type { History } from './history.ts'
import type { Random } from './random.ts'
import { inventory, inventoryLog, type modelsOf } from './topics.ts'
import type { World } from './world.ts'

/** A state that is not in memory is looked for this often, and so long lies between two looks, in ms. */
const looksMax = 100
const lookAgainMs = 20

/** How it went: the tab was right, with events pending or at rest; or it could not be told, for something came between. */
export type Compared = 'right' | 'right amid work' | 'unsure'

const nobody = '00000000-0000-7000-8000-000000000000' as EventId

type Names = keyof ReturnType<typeof modelsOf>

/** Compares what a tab shows with what its disk holds. Throws a `Violation`. */
export async function compareShown(judge: Judge, device: Device, tab: Tab): Promise<Compared> {
  const { disk } = device
  const { client, life } = tab
  const before = disk.version
  const isStill = () => disk.version === before && tab.waiting === 0 && !life.isOver
  if (!isStill()) return 'unsure'
  try {
    await withdraw(client, nobody)
  } catch {
    return 'unsure'
  }
  if (!isStill()) return 'unsure'
  const { rows, refused, logs } = await disk.read()
  const position = logs[0]?.cursor?.position ?? 0
  const confirmed = judge.entriesOn(device.name, inventoryLog).slice(0, position)
  const pending = rows.filter(({ topic }) => topic === inventory.name)
  const events = [
    ...confirmed.map(({ event }) => event),
    ...pending.flatMap(({ lines }) => lines.map(readEvent)),
  ]
  const expected = expectStates(events, tab.release)
  for (const [name, states] of Object.entries(expected)) {
    if (!(await compareModel(tab, name as Names, states, isStill))) return 'unsure'
  }
  compareRefused(tab, refused)
  return pending.length > 0 ? 'right amid work' : 'right'
}

/** A model shows the keys that it should, and for each the state that it should. False where that cannot be told. */
async function compareModel(
  tab: Tab,
  name: Names,
  states: ReadonlyMap<string, unknown>,
  isStill: () => boolean,
): Promise<boolean> {
  const { client, life } = tab
  const list = client.model[name].list()
  const toText = (keys: Iterable<string>) => [...keys].sort().join()
  const listed = () => toText(list.getSnapshot().items.map(({ key }) => key))
  // A list that somebody looks at is completed with what has to be read first.
  const stop = list.subscribe(() => {})
  const isListed = () => list.getSnapshot().status === 'ready' && listed() === toText(states.keys())
  const isComplete = await become(tab, isListed, isStill)
  stop()
  if (!isStill()) return false
  const { status, items } = list.getSnapshot()
  const strange = items.find(({ key }) => !states.has(key))
  if (strange && status === 'ready') {
    throw new Violation(
      'I20',
      `${life.name} lists ${strange.key} of ${name}, which no event has made.`,
    )
  }
  // What the disk does not give yet is missing; after everything has healed it may not be.
  if (!isComplete) return false
  for (const [key, state] of states) {
    const cell = client.model[name](key)
    const isThere = () => !['loading', 'rebuilding'].includes(cell.getSnapshot().status)
    if (!(await become(tab, isThere, isStill))) return false
    const found = JSON.stringify(cell.get())
    if (found === JSON.stringify(state)) continue
    const what = `${life.name} shows ${found} for ${name} ${key}`
    throw new Violation('I20', `${what}, and the log says ${JSON.stringify(state)}.`)
  }
  return true
}

/** Waits for what has to be read from the disk first. False where it does not come, or something else came between. */
async function become(tab: Tab, isIt: () => boolean, isStill: () => boolean): Promise<boolean> {
  for (let times = 0; times < looksMax && isStill(); times++) {
    if (isIt()) return true
    await tab.life.pause(lookAgainMs)
  }
  return false
}

interface Kept {
  readonly id: string
  readonly refusal: { readonly code: string }
}

function compareRefused({ client, life }: Tab, held: readonly Kept[]): void {
  const toText = (list: readonly Kept[]) =>
    list
      .map(({ id, refusal }) => `${id} ${refusal.code}`)
      .sort()
      .join()
  const shown = toText(client.refused.getSnapshot())
  if (shown === toText(held)) return
  throw new Violation('I23', `${life.name} shows ${shown}, and the disk has ${toText(held)}.`)
}

/** What looking at tabs now and then needs. */
export interface ComparePorts {
  readonly world: World
  readonly random: Random
  readonly history: History
  readonly judge: Judge
  readonly devices: readonly Device[]
}

/** Between two looks, in ms. */
const lookMsMean = 15_000

/** Looks at some tab now and then, while things break. The answer ends it. */
export function startComparing({
  world,
  random,
  history,
  judge,
  devices,
}: ComparePorts): () => void {
  let isOver = false
  const look = () => {
    if (isOver) return
    const device = random.pick(devices)
    if (device.tabs.length > 0) {
      compareShown(judge, device, random.pick(device.tabs)).then(
        (compared) => history.count(`compared ${compared}`),
        (error: unknown) => history.complain(error),
      )
    }
    world.after(random.exponential(lookMsMean), look)
  }
  world.after(random.exponential(lookMsMean), look)
  return () => {
    isOver = true
  }
}
