/**
 * What tabs show, compared with their device's disk: the states of models with the log that the gateway
 * holds and the pending events laid over it, and the list of refused events. Only where nothing is
 * under way: a tab that is behind its disk is brought up to it first, as an app's own question does.
 */
import type { EventId } from '@tidemark/shared'
import type { Judge } from './checks.ts'
import type { Device, Tab } from './device.ts'
import { expectStates } from './expected.ts'
import { Violation } from './invariants.ts'
import { readEvent } from './lines.ts'
import type { History } from './history.ts'
import type { Random } from './random.ts'
import { inventory, inventoryLog, models } from './topics.ts'
import type { World } from './world.ts'

/** How it went: the tab was right, with events pending or at rest; or it could not be told, for something came between. */
export type Compared = 'right' | 'right amid work' | 'unsure'

const nobody = '00000000-0000-7000-8000-000000000000' as EventId

type Names = keyof typeof models

/** Compares what a tab shows with what its disk holds. Throws a `Violation`. */
export async function compareShown(judge: Judge, device: Device, tab: Tab): Promise<Compared> {
  const { disk } = device
  const { client, life } = tab
  const before = disk.version
  const isStill = () => disk.version === before && tab.waiting === 0 && !life.isOver
  if (!isStill()) return 'unsure'
  try {
    await client.withdraw(nobody)
  } catch {
    return 'unsure'
  }
  if (!isStill()) return 'unsure'
  const { rows, refused, logs } = await disk.read()
  const position = logs[0]?.cursor?.position ?? 0
  const confirmed = judge.entries(inventoryLog).slice(0, position)
  const pending = rows.filter(({ topic }) => topic === inventory.name)
  const events = [
    ...confirmed.map(({ event }) => event),
    ...pending.flatMap(({ lines }) => lines.map(readEvent)),
  ]
  const expected = expectStates(events)
  const names = Object.keys(models) as Names[]
  if (names.some((name) => client.model[name].list().getSnapshot().status === 'loading')) {
    return 'unsure'
  }
  for (const name of names) compareModel(tab, name, expected[name])
  compareRefused(tab, refused)
  return pending.length > 0 ? 'right amid work' : 'right'
}

/** A model shows the keys that it should, and for each the state that it should. */
function compareModel({ client, life }: Tab, name: Names, states: ReadonlyMap<string, unknown>) {
  const shown = client.model[name].list().getSnapshot().items
  const keys = shown.map(({ key }) => key).join()
  const expected = [...states.keys()].sort().join()
  if (keys !== expected) {
    throw new Violation('I20', `${life.name} lists ${name} of ${keys}, and not of ${expected}.`)
  }
  for (const [key, state] of states) {
    const found = JSON.stringify(client.model[name](key).get())
    if (found === JSON.stringify(state)) continue
    const what = `${life.name} shows ${found} for ${name} ${key}`
    throw new Violation('I20', `${what}, and the log says ${JSON.stringify(state)}.`)
  }
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
