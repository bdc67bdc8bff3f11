/**
 * `npm run bench`: measures each row and prints a table, in Markdown so that it can be kept.
 * `--json FILE` writes the rows, `--only a,b` measures these, `--runs N` (default 7) pairs of runs,
 * `--profile DIR` keeps a CPU profile of each server.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { type Bench, type Goal, measure, type Row, toRatios } from './bench.ts'
import { profiling } from './process.ts'
import { ackBrokerDown, ackBrokerSlow, ackBrokerThrottling } from './rows/ack.ts'
import { boot, bootRaw, bootReads } from './rows/boot.ts'
import {
  appendBulk,
  appendConcurrent,
  appendOne,
  apply,
  applyModel,
  applyStates,
} from './rows/browser.ts'
import { catchUp } from './rows/catch-up.ts'
import { consume } from './rows/consume.ts'
import { failoverClosed, failoverCrashed, failoverFrozen } from './rows/failover.ts'
import { ingestBatch, ingestMany } from './rows/ingest.ts'
import { latencyIdle } from './rows/latency.ts'
import { idleMemory } from './rows/memory.ts'
import { modelUpdateKey, modelUpdateList } from './rows/model-update.ts'
import { publishLag } from './rows/publish-lag.ts'
import { relay } from './rows/relay.ts'
import { clientSize } from './rows/size.ts'

/** Every row there is, in the table's order. A new one is a file in rows/ and a line here. */
const benches: readonly Bench[] = [
  ingestBatch,
  ingestMany,
  latencyIdle,
  catchUp,
  idleMemory,
  relay,
  consume,
  publishLag,
  ackBrokerDown,
  ackBrokerSlow,
  ackBrokerThrottling,
  appendOne,
  appendConcurrent,
  appendBulk,
  apply,
  applyModel,
  applyStates,
  boot,
  bootRaw,
  bootReads,
  modelUpdateList,
  modelUpdateKey,
  failoverClosed,
  failoverCrashed,
  failoverFrozen,
  clientSize,
]

const { values: options } = parseArgs({
  options: {
    json: { type: 'string' },
    only: { type: 'string' },
    runs: { type: 'string', default: '7' },
    profile: { type: 'string' },
  },
})

function chosen(): readonly Bench[] {
  if (options.only === undefined) return benches
  const names = options.only.split(',')
  const unknown = names.filter((name) => !benches.some((bench) => bench.name === name))
  if (unknown.length > 0) {
    throw new Error(`no row is called ${unknown}; there are ${benches.map(({ name }) => name)}`)
  }
  return benches.filter(({ name }) => names.includes(name))
}

/** What the numbers were made on, so that nobody compares them with those of another machine. */
function describeMachine(): string {
  const git = (...args: string[]): string => execFileSync('git', args, { encoding: 'utf8' }).trim()
  const changed = git('status', '--porcelain') === '' ? '' : ' with changes'
  const gib = Math.round(totalmem() / 2 ** 30)
  return `commit ${git('rev-parse', '--short', 'HEAD')}${changed}, Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model.trim()}, ${gib} GiB, ${new Date().toISOString().slice(0, 10)}`
}

const describeGoal = (goal: Goal | undefined): string => {
  if (!goal) return ''
  return 'atLeast' in goal ? `≥ ${goal.atLeast}` : `≤ ${goal.atMost}`
}

const number = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 })
const spread = (samples: readonly number[]): string =>
  `${number.format(Math.min(...samples))}–${number.format(Math.max(...samples))}`

function writeLine(row: Row): string {
  const { name, value, values, limit, limits, unit, ratio, goal, reached } = row
  const cells = [
    name,
    `${number.format(value)} (${spread(values)})`,
    `${number.format(limit)} (${spread(limits)})`,
    unit,
    `${ratio.toFixed(2)} (${spread(toRatios(row))})`,
    `${describeGoal(goal)}${reached === undefined ? '' : reached ? ' ✓' : ' ✗'}`,
  ]
  return `| ${cells.join(' | ')} |`
}

const runs = Number(options.runs)
if (!Number.isSafeInteger(runs) || runs < 1) throw new Error(`--runs ${options.runs}: not a count`)
if (options.profile !== undefined) {
  mkdirSync(options.profile, { recursive: true })
  profiling.directory = resolve(options.profile)
}

console.log(`${describeMachine()}, ${runs} pairs of runs\n`)
console.log(
  '| row | ours: median (spread) | limit: median (spread) | unit | ratio of pairs | goal |',
)
console.log('|---|---|---|---|---|---|')
const rows: Row[] = []
for (const bench of chosen()) {
  try {
    const row = await measure(bench, runs)
    rows.push(row)
    console.log(writeLine(row))
  } catch (error) {
    // The other rows are worth having all the same.
    console.error(`${bench.name} failed:`, error)
    process.exitCode = 1
  }
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(rows, null, 2)}\n`)
}
const notes = rows.flatMap(({ name, note }) => (note === undefined ? [] : `- \`${name}\`: ${note}`))
if (notes.length > 0) console.log(`\n${notes.join('\n')}`)
