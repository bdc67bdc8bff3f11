/** docs/faults.md names a defence and tests for each fault of a device; this holds it to that. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const root = join(import.meta.dirname, '..')
const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const rows = read('docs/faults.md')
  .split('\n')
  .filter((line) => /^\| C\d+ /.test(line))

test('all 24 faults of a device have a row with a defence and a test', () => {
  const named = rows.map((row) => row.split('|').map((cell) => cell.trim()))
  expect(named.map(([, id]) => id)).toEqual(Array.from({ length: 24 }, (_, at) => `C${at + 1}`))
  for (const [, id, fault, answer, happens, defence, shown] of named) {
    expect([id, fault, answer, happens, defence, shown]).not.toContain('')
    expect([id, shown?.includes('” in [')]).toEqual([id, true])
    // What is missing is said.
    expect([id, ['**Y**', '**P**', '**-**'].includes(answer ?? '')]).toEqual([id, true])
  }
})

test('every test that the faults name exists, in the file that is linked', () => {
  const named = [...read('docs/faults.md').matchAll(/“(\[[^”]+)” in \[[^\]]+\]\(\.\.\/([^)]+)\)/g)]
  expect(named.length).toBeGreaterThan(40)
  const missing = named.filter(
    ([, title = '', path = '']) => !existsSync(join(root, path)) || !read(path).includes(title),
  )
  expect(missing.map(([text]) => text)).toEqual([])
})
