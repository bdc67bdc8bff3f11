/**
 * Kills gateways, relays and consumers in every named gap while devices append, and judges what is left:
 * `npm run test:faults -- --kills 300 --seed 1`. With `--without dedupe` it runs a build that does not
 * know an id again, which must fail. With `--gap commit/verdict` all kills are in one gap.
 */
import { parseArgs } from 'node:util'
import { type Gap, gapNames, gaps } from './gaps.ts'
import { runFaults } from './faults-run.ts'

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '300' },
    seed: { type: 'string', default: '1' },
    gap: { type: 'string' },
    without: { type: 'string' },
    /** The longest time for the kills, in seconds. What comes after it is bounded too. */
    seconds: { type: 'string', default: '480' },
    /** Keeps the folder with all evidence. */
    keep: { type: 'boolean', default: false },
  },
})

const isGap = (name: string): name is Gap => Object.hasOwn(gaps, name)
const { gap, without } = values
if (gap !== undefined && !isGap(gap)) throw new Error(`A gap is one of ${gapNames.join(', ')}`)
if (without !== undefined && without !== 'dedupe') throw new Error('Only dedupe can be left out')

const result = await runFaults({
  kills: Number(values.kills),
  seed: Number(values.seed),
  gap,
  without,
  killMsMax: Number(values.seconds) * 1_000,
  isKept: values.keep,
  say: (line) => console.log(line),
})

console.log(`\n${'gap'.padEnd(20)}${'target'.padStart(8)}${'markers'.padStart(9)}`)
for (const [name, { target, markers }] of result.gaps) {
  console.log(`${name.padEnd(20)}${String(target).padStart(8)}${String(markers).padStart(9)}`)
}
console.log(
  `\n${Object.entries(result.counts)
    .map(([name, count]) => `${count} ${name}`)
    .join(', ')}`,
)
for (const sentence of result.wrong) console.log(`FAILED ${sentence}`)
const seconds = (result.ms / 1_000).toFixed(0)
console.log(
  result.wrong.length === 0
    ? `Passed: seed ${values.seed}, ${seconds} s. 0 lost, 0 double effects.`
    : `Failed: seed ${values.seed}, ${seconds} s.${result.folder ? ` Evidence: ${result.folder}` : ''}`,
)
process.exit(result.wrong.length === 0 ? 0 : 1)
