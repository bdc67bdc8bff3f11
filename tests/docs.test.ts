/** The code in the documents compiles, so what a newcomer copies works. */
import { execFileSync } from 'node:child_process'
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const root = join(import.meta.dirname, '..')
const out = join(root, '.cache', 'docs')

interface Snippet {
  readonly language: string
  readonly code: string
}

/** The fenced blocks of a document; those inside a list are indented. */
const snippetsOf = (text: string): readonly Snippet[] =>
  [...text.matchAll(/^( *)```(tsx?)\n([\s\S]*?)^\1```/gm)].map(
    ([, indent = '', language = '', code = '']) => ({
      language,
      code: code.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
    }),
  )

/** Blocks that open with `// name.ts` can be imported by the others of their document. */
const nameOf = ({ code, language }: Snippet, index: number): string =>
  /^\/\/ ([\w-]+\.tsx?)\b/.exec(code)?.[1] ?? `snippet-${index}.${language}`

test('every TypeScript block in the documents compiles', () => {
  rmSync(out, { recursive: true, force: true })
  let count = 0
  for (const document of globSync('{README.md,docs/**/*.md}', { cwd: root })) {
    const folder = join(out, document.replaceAll(/[^\w]+/g, '-'))
    mkdirSync(folder, { recursive: true })
    for (const [index, snippet] of snippetsOf(
      readFileSync(join(root, document), 'utf8'),
    ).entries()) {
      writeFileSync(join(folder, nameOf(snippet, index)), `${snippet.code}\nexport {}\n`)
      count += 1
    }
  }
  expect(count).toBeGreaterThanOrEqual(3)
  const config = { extends: '../../tsconfig.json', include: ['.'], exclude: [] }
  writeFileSync(join(out, 'tsconfig.json'), JSON.stringify(config))
  let wrong = ''
  try {
    execFileSync(join(root, 'node_modules/.bin/tsc'), ['-p', out], { encoding: 'utf8' })
  } catch (error) {
    wrong = (error as { readonly stdout: string }).stdout
  }
  expect(wrong).toBe('')
})

test('the example of the README is at most 25 lines, and its gateway at most 12', () => {
  const [events, app, server] = snippetsOf(readFileSync(join(root, 'README.md'), 'utf8'))
  const lines = (snippet: Snippet | undefined) =>
    (snippet?.code ?? '').split('\n').filter((line) => line.trim() && !line.startsWith('//')).length
  expect(lines(events) + lines(app)).toBeLessThanOrEqual(25)
  expect(lines(server)).toBeLessThanOrEqual(12)
})
