/** What the client adds to an app's bundle stays within bounds, for each of its entry points for browsers. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, expect, test } from 'vitest'
import { weigh } from '../bench/bundle.ts'

const root = join(import.meta.dirname, '..')
const out = join(root, '.cache', 'size')

beforeEach(() => {
  rmSync(out, { recursive: true, force: true })
  mkdirSync(out, { recursive: true })
})

/** Writes a module of somebody's app, and answers with where it is. */
function write(name: string, code: string): string {
  const path = join(out, name)
  writeFileSync(path, code)
  return path
}

/** What is no code of ours. */
const others = ['dexie', 'react']

/** The smallest app that is of any use, and what it adds to that. */
const weighApp = (name: string, more = ''): Promise<number> => {
  const least = [
    `export { createClient } from '@tidemark/client'`,
    `export { model, topic } from '@tidemark/shared'`,
  ]
  return weigh(write(name, [...least, more].join('\n')), others)
}

test('[K2] the client, topic and model are at most 28 kB of our own code, minified and gzipped', async () => {
  expect(await weighApp('app.ts')).toBeLessThanOrEqual(28)
})

test.each([
  ['react', 0.3],
  ['refused', 0.5],
  ['rescue', 1.8],
  ['sign-out', 0.6],
  ['trace', 0.6],
  ['withdraw', 0.3],
])('[K2] @tidemark/client/%s adds at most %d kB to that', async (entry, kilobytesMax) => {
  const least = await weighApp('app.ts')
  const more = await weighApp(`${entry}.ts`, `export * from '@tidemark/client/${entry}'`)
  expect(more - least).toBeLessThanOrEqual(kilobytesMax)
})

test('[K2] the example of the README is at most 60 kB, with Dexie and its validator', async () => {
  const readme = readFileSync(join(root, 'README.md'), 'utf8')
  for (const [, name, code = ''] of readme.matchAll(
    /```ts\n\/\/ (events|app)\.ts.*\n([^`]+)```/g,
  )) {
    write(`${name}.ts`, code)
  }
  const kilobytes = await weigh(join(out, 'app.ts'))
  expect(kilobytes).toBeGreaterThan(40)
  expect(kilobytes).toBeLessThanOrEqual(60)
})
