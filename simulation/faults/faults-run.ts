/** One run: starts the world, kills until every gap has had its share, heals, waits, and judges. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Random } from '../random.ts'
import { fileIn } from './child.ts'
import { type Evidence, readBooks, readLines, readLogs, readMarkers, readSeen } from './evidence.ts'
import type { Gap } from './gaps.ts'
import { healAndWait, mend, peekBroker } from './heal.ts'
import { setTargets, type Targets } from './plan.ts'
import type { BrokerProcess, End, Slot } from './slots.ts'
import { judge, judgeBalance } from './verdict.ts'
import { startWorld, type World } from './world.ts'

/** What a run is asked to do. */
export interface FaultsOptions {
  readonly kills: number
  readonly seed: number
  /** Kills in this gap alone. */
  readonly gap: Gap | undefined
  /** What is left out of the build. */
  readonly without: 'dedupe' | undefined
  /** How long it may go on killing, in ms. */
  readonly killMsMax: number
  readonly isKept: boolean
  readonly say: (line: string) => void
}

/** What a run came to. */
export interface FaultsResult {
  readonly gaps: readonly (readonly [Gap, { readonly target: number; readonly markers: number }])[]
  readonly counts: Readonly<Record<string, number>>
  /** Sentences that say what is wrong. Empty: all invariants hold. */
  readonly wrong: readonly string[]
  readonly ms: number
  /** Where the evidence is, if it was kept. */
  readonly folder: string | undefined
}

/** Every gap is hit so often at least in a run of 140 kills or more. */
const eachMin = 20
/** Something else goes wrong this often, in ms: connections are cut, a process stands still. */
const mishapMs = 7_000
/** Longer than a relay's lease lasts in the hasty world, in ms. */
const freezeMs = 3_000

/** Runs once. */
export async function runFaults(options: FaultsOptions): Promise<FaultsResult> {
  const began = performance.now()
  const { say, seed } = options
  let { isKept } = options
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-faults-'))
  const random = new Random(seed)
  const targets = setTargets(
    options.kills,
    options.gap,
    Math.min(eachMin, Math.ceil(options.kills / 7)),
  )
  const world = await startWorld({ ...options, folder, random, targets })
  say(`seed ${seed}: ${[...targets.values()].reduce((a, b) => a + b, 0)} kills, in ${folder}`)
  try {
    await killAll(world, options, targets)
    const found = await judgeWorld(world, options)
    const markers = readMarkers(folder)
    const wrong = [...found.wrong, ...judgeKills(world.ends, markers, targets)]
    isKept ||= wrong.length > 0
    return {
      gaps: [...targets].map(([gap, target]) => [gap, { target, markers: markers.get(gap) ?? 0 }]),
      counts: found.counts,
      wrong,
      ms: performance.now() - began,
      folder: isKept ? folder : undefined,
    }
  } finally {
    await world.close()
    if (!isKept) await rm(folder, { recursive: true, force: true })
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Goes on until every gap has had its share, or the time is over. */
async function killAll(world: World, options: FaultsOptions, targets: Targets): Promise<void> {
  const { folder, slots, broker } = world
  const random = new Random(options.seed).fork('mishaps')
  const end = performance.now() + options.killMsMax
  let mishapAt = performance.now() + mishapMs
  let sayAt = 0
  for (;;) {
    const now = performance.now()
    const hits = readMarkers(folder)
    if ([...targets].every(([gap, target]) => (hits.get(gap) ?? 0) >= target)) return
    if (now >= end) return
    if (now >= mishapAt) {
      mishap(random, slots, broker)
      mishapAt = now + mishapMs
    }
    if (now >= sayAt) {
      const sum = [...hits.values()].reduce((a, b) => a + b, 0)
      const left = [...targets].map(([gap, target]) => `${gap} ${hits.get(gap) ?? 0}/${target}`)
      options.say(`${sum} kills, ${world.load.pending} batches pending · ${left.join(' · ')}`)
      sayAt = now + 15_000
    }
    await pause(100)
  }
}

function mishap(random: Random, slots: readonly Slot[], broker: BrokerProcess): void {
  switch (random.below(3)) {
    case 0:
      return broker.do('cut')
    case 1:
      return broker.do('malform')
    default:
      random.pick(slots).freeze(freezeMs)
  }
}

/** Heals, judges the balance while streams are parked, mends the service, and judges everything. */
async function judgeWorld(
  world: World,
  { say }: FaultsOptions,
): Promise<{ wrong: readonly string[]; counts: FaultsResult['counts'] }> {
  const { folder, load, orders } = world
  world.hunter.rest()
  load.stop()
  say('healed: waiting until everything is at rest')
  const rest = { folder, load, connectionString: orders.connectionString }
  const wrong: string[] = []
  const first = await healAndWait(rest, say)
  if (first) wrong.push(`L5 At rest, but for parked streams: ${first}`)
  const parked = readBooks(folder).parked.length
  wrong.push(...judge(await gather(world), [judgeBalance]))
  await writeFile(fileIn(folder, 'mended'), '')
  wrong.push(...(await mend(folder, Date.now())))
  const second = await healAndWait(rest, say, { nothingParked: true })
  if (second) wrong.push(`L5 At rest, after a redrive: ${second}`)
  const evidence = await gather(world)
  wrong.push(...judge(evidence))
  return { wrong, counts: countAll(world, evidence, parked) }
}

async function gather({ folder, orders, verdicts }: World): Promise<Evidence> {
  return {
    ...(await peekBroker(orders.connectionString)),
    verdicts,
    appended: readLines(fileIn(folder, 'appended')),
    calls: readLines(fileIn(folder, 'calls')),
    terms: readLines(fileIn(folder, 'terms')),
    logs: readLogs(folder),
    books: readBooks(folder),
    seen: readSeen(folder),
  }
}

function countAll(world: World, evidence: Evidence, parked: number): FaultsResult['counts'] {
  const { logs, books, seen, verdicts, appended, terms, dead } = evidence
  return {
    killed: world.ends.length,
    appended: appended.reduce((sum, { lines }) => sum + lines.length, 0),
    verdicts: verdicts.length,
    entries: logs.reduce((sum, { lines }) => sum + lines.length, 0),
    messages: seen.length,
    'repeated messages': seen.length - new Set(seen.map(({ id }) => id)).size,
    effects: books.effects.length,
    answers: books.answers.length,
    sagas: books.sagas.length,
    compensated: books.sagas.filter(({ state }) => state === 'compensated').length,
    'parked and redriven': parked,
    'dead letters': dead.books.length + dead.gateway.length,
    'terms of leases': new Set(terms.map(({ scope, term }) => `${scope} ${term}`)).size,
  }
}

/** Every process that ended was killed, in a gap, and the markers say as many. */
function judgeKills(
  ends: readonly End[],
  markers: ReadonlyMap<string, number>,
  targets: Targets,
): readonly string[] {
  const wrong: string[] = []
  const others = ends.filter(({ how }) => how !== 'SIGKILL')
  if (others.length > 0) {
    wrong.push(
      `X1 ${others.length} processes ended by themselves, such as ${others[0]?.pid} with ${others[0]?.how}.`,
    )
  }
  const marked = [...markers.values()].reduce((a, b) => a + b, 0)
  const killed = ends.length - others.length
  if (marked !== killed) wrong.push(`${killed} processes were killed, and ${marked} left a marker.`)
  for (const [gap, target] of targets) {
    const hits = markers.get(gap) ?? 0
    if (hits < target) wrong.push(`${gap} was hit ${hits} times of ${target}: the time was over.`)
  }
  return wrong
}
