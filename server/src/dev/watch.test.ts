import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { system } from '@tidemark/shared'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createWatch, type Watch } from './watch.ts'

let folder: string
let watch: Watch
let file: string
const life = new AbortController()

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tidemark-watch-'))
  file = join(folder, 'events.ts')
  writeFileSync(file, 'one')
  watch = createWatch(system)
})
afterEach(() => {
  watch.close()
  rmSync(folder, { recursive: true, force: true })
})

const changed = (text: string | undefined, path = file) =>
  watch.changed(new Map([[path, text]]), life.signal)

test('a save by renaming another file over it is heard', async () => {
  const heard = changed('one')
  writeFileSync(join(folder, '.events.ts.swp'), 'two')
  renameSync(join(folder, '.events.ts.swp'), file)
  await heard
})

test('what was saved before anybody watched is noticed', async () => {
  await changed('zero')
})

test('a file that was missing is noticed when it is there', async () => {
  const path = join(folder, 'other.ts')
  const heard = changed(undefined, path)
  writeFileSync(path, 'here')
  await heard
})

test('a save in several writes is one, and a file that is touched is none', async () => {
  let count = 0
  const heard = changed('one').then(() => (count += 1))
  writeFileSync(file, 'one')
  writeFileSync(file, '')
  writeFileSync(file, 'tw')
  writeFileSync(file, 'two')
  await heard
  const again = new AbortController()
  const quiet = watch
    .changed(new Map([[file, 'two']]), again.signal)
    .then(() => again.signal.aborted)
  writeFileSync(file, 'two')
  await system.breathe()
  again.abort()
  expect([count, await quiet]).toEqual([1, true])
})
