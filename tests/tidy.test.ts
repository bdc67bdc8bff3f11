/**
 * The rules of the tree that a reader should not have to remember: who may import whom, where the
 * ambient world may be touched, and that documents and code name the same things.
 */
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { expect, test } from 'vitest'

const root = join(import.meta.dirname, '..')
const read = (path: string) => readFileSync(join(root, path), 'utf8')
const sources = globSync('{shared,client,server}/src/**/*.{ts,tsx}', { cwd: root }).sort()
const tests = globSync(
  '{shared,client,server,simulation,demo,examples,bench,tests}/**/*.{test,contract,e2e}.{ts,tsx}',
  {
    cwd: root,
    exclude: (path) => path.includes('node_modules'),
  },
)
const isTest = (path: string) => /\.(test|contract)\.tsx?$/.test(path) || /\/testing\//.test(path)
const product = sources.filter((path) => !isTest(path))

const withoutComments = (source: string) =>
  source.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '$1')

const importsOf = (path: string): readonly string[] =>
  [...withoutComments(read(path)).matchAll(/(?:from|import\()\s*'([^']+)'/g)].map(([, name = '']) =>
    name.startsWith('.') ? relative(root, join(root, dirname(path), name)) : name,
  )

/** Each `[path, what]` that breaks a rule, as one readable list. */
const offenders = (
  paths: readonly string[],
  find: (path: string, source: string) => readonly string[],
): readonly string[] =>
  paths.flatMap((path) => find(path, withoutComments(read(path))).map((what) => `${path}: ${what}`))

test('the world comes in as an argument: only system.ts touches clocks, timers and randomness', () => {
  const ambient =
    /\b(?:Date\.now|new Date\(\)|performance\.now|setTimeout|setInterval|setImmediate|queueMicrotask|process\.nextTick|Math\.random|randomUUID|getRandomValues|AbortSignal\.timeout)\b/g
  const found = offenders(
    product.filter((path) => path !== 'shared/src/system.ts'),
    (_path, source) => source.match(ambient) ?? [],
  )
  expect(found).toEqual([])
})

test('shared imports neither side, and the sides never meet', () => {
  const mayNotImport: Readonly<Record<string, RegExp>> = {
    shared: /^(@tidemark\/|client\/|server\/)/,
    client: /^(@tidemark\/server|server\/|shared\/)/,
    server: /^(@tidemark\/client|client\/|shared\/)/,
  }
  const found = offenders(product, (path) =>
    importsOf(path).filter((name) => mayNotImport[path.split('/')[0] ?? '']?.test(name)),
  )
  expect(found).toEqual([])
})

/** Compositions wire adapters together; hops and primitives know ports alone. */
const compositions = new Set([
  'client/src/client.ts',
  'client/src/index.ts',
  'server/src/gateway.ts',
  'server/src/index.ts',
  'server/src/main.ts',
])

test('hops import ports, never adapters', () => {
  const found = offenders(
    product.filter((path) => /^(client|server)\/src\/[^/]+$/.test(path) && !compositions.has(path)),
    (path) =>
      importsOf(path).filter((name) => {
        const [, folder, file] = /^(?:client|server)\/src\/([^/]+)\/([^/]+)\.ts$/.exec(name) ?? []
        const composed = ['consumer', 'emulator', 'cli', 'operate', 'testing'].includes(
          folder ?? '',
        )
        return folder !== undefined && file !== folder && !composed && !path.includes('/cli')
      }),
  )
  expect(found).toEqual([])
})

test('a driver is named in one place, so that nobody loads it who does not ask for it', () => {
  const homes: Readonly<Record<string, readonly string[]>> = {
    dexie: ['client/src/store/dexie-database.ts'],
    'node:sqlite': [
      'server/src/log/sqlite.ts',
      'server/src/consumer/processed/sqlite.ts',
      'client/src/store/sqlite.ts',
      'client/src/store/sqlite-states.ts',
    ],
    pg: ['server/src/consumer/processed/postgres.ts'],
    '@azure/service-bus': [
      'server/src/broker/service-bus.ts',
      'server/src/broker/service-bus-client.ts',
      'server/src/broker/service-bus-inspect.ts',
      'server/src/broker/service-bus-locks.ts',
      'server/src/broker/service-bus-look.ts',
      'server/src/broker/service-bus-message.ts',
      'server/src/broker/service-bus-receiver.ts',
      'server/src/broker/service-bus-senders.ts',
    ],
    react: ['client/src/react.ts'],
  }
  const found = offenders(product, (path) =>
    importsOf(path).filter((name) => Object.hasOwn(homes, name) && !homes[name]?.includes(path)),
  )
  expect(found).toEqual([])
})

test('no default exports, no export *, no `any`, no promises of later', () => {
  const banned =
    /^export default|^export \*|\bas any\b|: any(?=[,;)>\n]| =)|<any>|@ts-ignore|\b(?:TODO|FIXME|XXX)\b/gm
  const found = offenders(product, (_path, source) => source.match(banned) ?? [])
  expect(found).toEqual([])
})

test('no file is called by a word that says nothing', () => {
  const vague =
    /(?:^|[-/.])(utils?|helpers?|common|misc|managers?|services?|types|constants)\.tsx?$/
  expect(product.filter((path) => vague.test(path))).toEqual([])
})

test('every exported declaration says what it is', () => {
  const declaration =
    /^export (?:declare )?(?:abstract )?(?:async )?(?:function\*?|class|interface|type|const) (\w+)/
  const found = product.flatMap((path) => {
    const lines = read(path).split('\n')
    const documented = new Map<string, boolean>()
    for (const [at, line] of lines.entries()) {
      const [, name] = declaration.exec(line) ?? []
      if (name === undefined) continue
      let above = at - 1
      while (/^\s*\/\/ oxlint/.test(lines[above] ?? '')) above -= 1
      // Overloads share the sentence of the first.
      documented.set(name, documented.get(name) || /\*\/\s*$/.test(lines[above] ?? ''))
    }
    return [...documented].filter(([, said]) => !said).map(([name]) => `${path}: ${name}`)
  })
  expect(found).toEqual([])
})

test('every file opens with a sentence that says what it is', () => {
  const found = product.filter((path) => !/^(#!.*\n)?\/\*\*/.test(read(path)))
  expect(found).toEqual([])
})

test('every adapter of a port runs the port’s contract', () => {
  const contracts = globSync('{client,server}/src/**/*.contract.ts', { cwd: root })
  expect(contracts.length).toBeGreaterThanOrEqual(3)
  const callers = tests.map((path) => [path, read(path)] as const)
  const unproven = contracts.filter(
    (contract) =>
      callers.filter(
        ([path, source]) => path !== contract && source.includes(contract.split('/').at(-1) ?? ''),
      ).length === 0,
  )
  expect(unproven).toEqual([])
})

const guarantees = [...read('docs/guarantees.md').matchAll(/^\| \*\*([A-Z]+\d+)\*\* /gm)].map(
  ([, id = '']) => id,
)
const cited = new Map<string, string>()
for (const path of tests) {
  for (const [, ids = ''] of read(path).matchAll(/['"`]\[([A-Z]+\d+(?:, ?[A-Z]+\d+)*)\]/g)) {
    for (const id of ids.split(/, ?/)) cited.set(id, path)
  }
}

test('every guarantee is cited by a test', () => {
  expect(guarantees.length).toBeGreaterThan(20)
  expect(new Set(guarantees).size).toBe(guarantees.length)
  expect(guarantees.filter((id) => !cited.has(id))).toEqual([])
})

test('no test cites a guarantee that is not written down', () => {
  const unknown = [...cited].filter(([id]) => !guarantees.includes(id))
  expect(unknown).toEqual([])
})

test('docs/errors.md explains every code, and no other', () => {
  const table = read('shared/src/errors.ts')
  const codes = [...table.matchAll(/^ {2}([A-Z_]+): (?:undefined|\{)/gm)].map(([, code]) => code)
  const others = [...table.matchAll(/^ {2}([A-Z_]+): '(\w+)'/gm)]
  const recoveries = new Map(others.map(([, code, recovery]) => [code, recovery]))
  const documented = [...read('docs/errors.md').matchAll(/^\| `([A-Z_]+)` \| (\w+) /gm)]
  expect(documented.map(([, code, recovery]) => `${code} ${recovery}`).sort()).toEqual(
    codes.map((code) => `${code} ${recoveries.get(code) ?? 'never'}`).sort(),
  )
})

test('the default limits that the protocol names are those of the code', () => {
  const table = [...read('docs/protocol.md').matchAll(/^\| `(\w+Max)` \| [^|]+ \| ([\d,]+) \|/gm)]
  const code = [...read('shared/src/limits.ts').matchAll(/^ {2}(\w+Max): ([\d_]+),/gm)]
  const numbers = new Map(
    code.map(([, name = '', value = '']) => [name, Number(value.replaceAll('_', ''))]),
  )
  expect(table.length).toBe(10)
  for (const [, name = '', value = ''] of table) {
    expect([name, Number(value.replaceAll(',', ''))]).toEqual([name, numbers.get(name)])
  }
})

test('relative links in the documents lead somewhere', () => {
  const documents = globSync('{*.md,docs/**/*.md,bench/*.md}', { cwd: root })
  const dead = documents.flatMap((path) =>
    [...read(path).matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)(?:#[^)]*)?\)/g)]
      .map(([, to = '']) => to)
      .filter(
        (to) => globSync(relative(root, join(root, dirname(path), to)), { cwd: root }).length === 0,
      )
      .map((to) => `${path} -> ${to}`),
  )
  expect(dead).toEqual([])
})

test('the lock file names no download host', () => {
  expect(read('package-lock.json').match(/"resolved": "http/g) ?? []).toEqual([])
})
