/** Who is to die where next: the gap that lacks most, after a number of passes that the seed decides. */
import type { Random } from '../random.ts'
import type { Plan } from './fuse.ts'
import { type Gap, gapNames, gapsOf, isRelays, type Kind } from './gaps.ts'

/** Of all kills, the share of each gap. A relay that died keeps its lease for a while, so those take longest. */
const shares: Readonly<Record<Gap, number>> = {
  'commit/verdict': 0.22,
  'commit/publish': 0.075,
  'publish/cursor': 0.075,
  'append/settle': 0.09,
  'attempt/effect': 0.2,
  'effect/settle': 0.2,
  'step/compensation': 0.14,
}

/** A process dies after so many passes at most. */
const passesMax: Readonly<Record<Gap, number>> = {
  'commit/verdict': 30,
  'commit/publish': 6,
  'publish/cursor': 6,
  'append/settle': 6,
  'attempt/effect': 16,
  'effect/settle': 16,
  'step/compensation': 8,
}

/** How often each gap is to be hit. */
export type Targets = ReadonlyMap<Gap, number>

/** The targets of a run: `kills` over all gaps, or over the one that is named. */
export function setTargets(kills: number, only: Gap | undefined, eachMin: number): Targets {
  if (only) return new Map([[only, kills]])
  return new Map(gapNames.map((gap) => [gap, Math.max(eachMin, Math.ceil(kills * shares[gap]))]))
}

/**
 * The plan for a process of this kind: the gap that lacks most. One that has not come by that gap for a
 * while may die in any that lacks something.
 */
export function makePlan(
  random: Random,
  kind: Kind,
  targets: Targets,
  hits: ReadonlyMap<string, number>,
  isPatient: boolean,
): Plan {
  const lack = (gap: Gap): number => {
    const target = targets.get(gap) ?? 0
    return target === 0 ? 0 : 1 - (hits.get(gap) ?? 0) / target
  }
  const lacking = gapsOf[kind]
    .filter((gap) => lack(gap) > 0)
    .toSorted((one, other) => lack(other) - lack(one))
  const [first] = lacking
  if (!first || !isPatient) return toPlan(random, lacking)
  // Only the gateway that has the lease passes the relay's gaps, so the other one dies elsewhere, a little later.
  const other = isRelays(first) ? lacking.filter((gap) => !isRelays(gap)).slice(0, 1) : []
  return { ...toPlan(random, other, 1), ...toPlan(random, [first]) }
}

const toPlan = (random: Random, gaps: readonly Gap[], later = 0): Plan =>
  Object.fromEntries(
    gaps.map((gap) => [gap, 1 + later * passesMax[gap] + random.below(passesMax[gap])]),
  )
