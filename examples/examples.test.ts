/** The examples stay small, and the scripts inside their .vue and .svelte files are right by their types. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const root = join(import.meta.dirname, '..')
const read = (path: string): string => readFileSync(join(import.meta.dirname, path), 'utf8')
const linesOf = (path: string) => read(path).trimEnd().split('\n')

/** The app of each framework, and what it takes to follow a live value there. */
const examples: readonly (readonly [app: string, beside: readonly string[]])[] = [
  ['react/app.tsx', []],
  ['vue/App.vue', ['vue/use-live.ts']],
  ['svelte/App.svelte', ['svelte/from-live.ts']],
]

test.each(examples)('%s has fewer than 60 lines', (app, beside) => {
  expect(linesOf(app).length).toBeLessThan(60)
  const code = [app, ...beside].flatMap((path) => linesOf(path).filter((line) => line.trim()))
  expect(code.length).toBeLessThan(60)
})

test('the guide shows them as they are', () => {
  for (const path of examples.flatMap(([, beside]) => beside)) {
    expect(read('../docs/client.md')).toContain(read(path))
  }
})

test('the scripts of the Vue and Svelte apps compile', () => {
  const out = join(root, '.cache', 'examples')
  rmSync(out, { recursive: true, force: true })
  for (const path of ['vue/App.vue', 'svelte/App.svelte']) {
    const [, script = ''] = /<script[^>]*>([\s\S]*?)<\/script>/.exec(read(path)) ?? []
    expect(script).toContain('client.model.item')
    mkdirSync(join(out, path, '..'), { recursive: true })
    writeFileSync(join(out, `${path}.ts`), script)
  }
  const compilerOptions = { rootDirs: ['.', '../../examples'], types: ['svelte', 'vite/client'] }
  const config = { extends: '../../tsconfig.json', compilerOptions, include: ['.'], exclude: [] }
  writeFileSync(join(out, 'tsconfig.json'), JSON.stringify(config))
  let wrong = ''
  try {
    execFileSync(join(root, 'node_modules/.bin/tsc'), ['-p', out], { encoding: 'utf8' })
  } catch (error) {
    wrong = (error as { readonly stdout: string }).stdout
  }
  expect(wrong).toBe('')
})
