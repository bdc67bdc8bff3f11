/**
 * `npm test`: everything but the long lanes, one after the other, so that no lane's load is another's
 * timeout. Ends with a line `N passed, N failed`.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'

const root = import.meta.dirname
const results = join(root, '.cache', 'results.json')
const bin = (name: string) => join(root, 'node_modules/.bin', name)
let passed = 0
let failed = 0

const run = (command: string, args: readonly string[]): boolean =>
  spawnSync(bin(command), args, { cwd: root, stdio: 'inherit' }).status === 0

/** A check that has one answer. */
function check(title: string, command: string, args: readonly string[]): void {
  console.log(`\n# ${title}`)
  if (run(command, args)) passed += 1
  else failed += 1
}

/** A lane of tests, counted one by one. A lane that dies without a count is a failure. */
function lane(project: string): void {
  console.log(`\n# ${project}`)
  rmSync(results, { force: true })
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${results}`]
  const succeeded = run('vitest', ['run', '--project', project, ...reporters])
  let counted = { numPassedTests: 0, numFailedTests: 0 }
  try {
    counted = JSON.parse(readFileSync(results, 'utf8')) as typeof counted
  } catch (error) {
    console.error(`The lane ${project} left no result:`, error)
  }
  passed += counted.numPassedTests
  failed += succeeded ? counted.numFailedTests : Math.max(1, counted.numFailedTests)
}

mkdirSync(join(root, '.cache'), { recursive: true })
check('types', 'tsc', ['-p', '.'])
check('lint', 'oxlint', ['--deny-warnings'])
check('format', 'oxfmt', ['--check'])
lane('unit')
lane('browser')
lane('e2e')
console.log(`\n${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
