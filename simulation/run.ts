/**
 * The simulation's command: `npm run sim -- --from 1 --runs 2000`. Prints totals, and for a seed that
 * fails the one line that runs it again.
 */
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { runSeeds } from './pool.ts'
import type { Failure, Result } from './simulate.ts'

const { values } = parseArgs({
  options: {
    from: { type: 'string', default: '1' },
    runs: { type: 'string', default: '2000' },
    processes: { type: 'string', default: String(availableParallelism()) },
    bug: { type: 'string' },
    /** Mean ms between two faults of a kind, in place of what the seeds draw: `tabFreeze=15000,powerCut=0`. */
    rates: { type: 'string', default: '' },
    /** Goes on after a failure, and counts them. */
    all: { type: 'boolean', default: false },
    /** How many of the last lines of a failure's history are printed. */
    lines: { type: 'string', default: '40' },
  },
})

const from = Number(values.from)
const runs = Number(values.runs)
/** Of all seeds, this share is run twice, to see that the same seed gives the same history. */
const isDoubled = (seed: number): boolean => runs <= 3 || seed % 50 === 0

const startedAt = performance.now()
let done = 0
const results = await runSeeds({
  seeds: Array.from({ length: runs }, (_, index) => from + index),
  processes: Math.min(Number(values.processes), runs),
  ...(values.bug !== undefined && { bug: values.bug }),
  rates: Object.fromEntries(
    values.rates
      .split(',')
      .filter(Boolean)
      .map((each) => each.split('='))
      .map(([kind, ms]) => [kind, Number(ms)]),
  ),
  isDoubled,
  isBailing: !values.all,
  onResult(result) {
    done += 1
    if (result.failure) report(result, result.failure)
    if (done % 250 === 0) console.log(`${done} of ${runs} seeds`)
  },
})
summarize()

function report({ seed, steps, virtualMs, options }: Result, failure: Failure): void {
  const { invariant, message, lastLines } = failure
  console.log(
    `\nSeed ${seed} fails at step ${steps}, ${(virtualMs / 1_000).toFixed(3)} s: ${invariant}`,
  )
  console.log(message)
  if (!values.all) {
    console.log(lastLines.slice(-Number(values.lines)).join('\n'))
    console.log(JSON.stringify(options))
  }
  console.log(`Replay: npm run sim -- --from ${seed} --runs 1\n`)
}

function summarize(): void {
  const sum = (count: (result: Result) => number) =>
    results.reduce((all, one) => all + count(one), 0)
  const failed = results.filter(({ failure }) => failure)
  const seconds = (performance.now() - startedAt) / 1_000
  const healed = results.map(({ healedMs }) => healedMs).sort((a, b) => a - b)
  const at = (share: number) =>
    ((healed[Math.floor(healed.length * share)] ?? 0) / 1_000).toFixed(1)
  const count = (what: string) => sum(({ counts }) => counts[what] ?? 0).toLocaleString('en')
  const hours = sum(({ virtualMs }) => virtualMs) / 3_600_000
  console.log(
    [
      `${results.length} seeds, ${failed.length} failed, in ${seconds.toFixed(0)} s`,
      `${sum(({ steps }) => steps).toLocaleString('en')} steps`,
      `${sum(({ events }) => events).toLocaleString('en')} acts of people`,
      `${count('commands')} commands, ${count('denied')} denied, ${count('superseded')} superseded, ${count('withdrawn')} withdrawn, ${count('resolved')} refusals dealt with`,
      `tabs were looked at ${count('compared right')} times at rest and ${count('compared right amid work')} times with events pending`,
      `${hours.toFixed(1)} virtual hours (${Math.round((hours * 3_600) / seconds)} times real time)`,
      `together again after the last fault: p50 ${at(0.5)} s, p99 ${at(0.99)} s, max ${at(0.9999)} s`,
    ].join('\n'),
  )
  if (failed.length > 0) {
    console.log(
      `failed: ${failed.map(({ seed, failure }) => `${seed} ${failure?.invariant}`).join(', ')}`,
    )
    process.exitCode = 1
  }
}
