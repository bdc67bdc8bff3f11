import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { system } from '@tidemark/shared'
import { afterAll, expect, test } from 'vitest'
import { runCommand } from './commands.ts'

const here = join(import.meta.dirname, 'testing')
const empty = mkdtempSync(join(tmpdir(), 'tidemark-cli-'))
afterAll(() => rmSync(empty, { recursive: true, force: true }))

/** Runs a command in this process. */
async function run(line: string, cwd = here) {
  let out = ''
  let err = ''
  const code = await runCommand(line === '' ? [] : line.split(' '), {
    out: (text) => (out += text),
    err: (text) => (err += text),
    cwd,
    env: {},
    user: 'ann',
    system,
    signal: new AbortController().signal,
  })
  return { code, out, err }
}

const names = [
  'dev',
  'gateway',
  'emulator',
  'dead-letters',
  'replay',
  'rescue',
  'schema',
  'provision',
  'doctor',
]

test('[O12] --help lists the commands, and each explains itself', async () => {
  const { code, out } = await run('--help')
  expect(code).toBe(0)
  for (const name of names) {
    expect(out).toContain(`  ${name} `)
    const help = await run(`${name} --help`)
    expect(help).toMatchObject({ code: 0, err: '' })
    expect(help.out).toMatch(new RegExp(`^tidemark ${name} `))
    expect((await run(`help ${name}`)).out).toBe(help.out)
    for (const line of help.out.split('\n')) expect(line.length).toBeLessThanOrEqual(110)
  }
})

test('nothing typed shows the help, and is not a success', async () => {
  expect(await run('')).toMatchObject({
    code: 2,
    out: expect.stringContaining('tidemark <command>'),
  })
})

test('--version says the version', async () => {
  expect((await run('--version')).out).toMatch(/^\d+\.\d+\.\d+/)
})

const wrong: readonly [string, RegExp][] = [
  ['dead-leters', /no command "dead-leters"/],
  ['toString', /no command "toString"/],
  ['dead-letters', /list or show or redrive/],
  ['dead-letters lst', /not "lst"/],
  ['dead-letters list extra', /"extra" is not expected/],
  ['dead-letters list --max many', /--max is a whole number/],
  ['dead-letters list --verbose', /Unknown option '--verbose'/],
  ['dead-letters show', /show takes one REF/],
  ['dead-letters redrive relay/a/b/c/1', /--why says the reason/],
  ['dead-letters redrive --why because', /redrive takes REFs/],
  ['dead-letters redrive --all --why because', /--all goes with redrive and with --source/],
  ['dead-letters discard --all --source relay --why because', /--all goes with redrive/],
  ['dead-letters list --config nowhere.ts', /There is no file nowhere\.ts/],
  ['replay', /one subscription/],
  ['replay --scope a --topic inventory reporting', /--why says the reason/],
  ['replay --topic inventory --why because reporting', /--scope names a scope/],
  ['replay --scope a --all-scopes --why because reporting', /--scope names a scope/],
  ['replay --scope a --from 0 --why because reporting', /--from is a whole number from 1/],
  ['replay --scope a --from 5 --to 4 --why because reporting', /--to is a whole number from 5/],
  ['replay --scope a --topic nothing --why because reporting', /--topic is one of inventory/],
  ['rescue', /The command is import/],
  ['rescue import', /import takes one FILE/],
  ['rescue import nowhere.ndjson', /--why says the reason/],
  ['rescue import nowhere.ndjson --why lost', /There is no file nowhere\.ndjson/],
  [
    'rescue import tidemark.config.ts --why lost',
    /tidemark\.config\.ts cannot be imported: it is no rescue file of Tidemark/,
  ],
  ['schema', /The command is export/],
  ['schema export --format xml', /--format is json-schema or asyncapi, not "xml"/],
  ['schema export --topic nothing', /--topic is one of inventory/],
  ['provision', /--print is bicep or config/],
  ['provision --print terraform', /not "terraform"/],
  ['doctor', /--connection-string or --namespace/],
  ['doctor --connection-string nonsense', /The connection string is none/],
  ['emulator --port 99999', /--port is a whole number from 0 to 65535/],
  ['emulator --config nowhere.json', /There is no file nowhere\.json/],
  ['gateway extra', /"extra" is not expected/],
  ['dev', /dev takes one FILE/],
  ['dev a.ts b.ts', /dev takes one FILE/],
  ['dev a.ts --port much', /--port is a whole number/],
  ['dev a.ts --consumer a/b', /--consumer is a name/],
]

test.each(wrong)(
  '[O12] bad input, tidemark %s, gets a sentence and code 2',
  async (line, sentence) => {
    const { code, out, err } = await run(line)
    expect(err).toMatch(sentence)
    expect(err.split('\n').length).toBeLessThanOrEqual(3)
    expect({ code, out }).toEqual({ code: 2, out: '' })
  },
)

test('[O12] a configuration that is missing, broken or empty is said so', async () => {
  expect(await run('provision --print bicep', empty)).toMatchObject({
    code: 2,
    err: expect.stringContaining('There is no tidemark.config.ts in'),
  })
  const files: readonly [string, string, RegExp][] = [
    ['broken.mjs', 'export const config = {', /could not be imported/],
    ['nothing.mjs', 'export const other = 1', /exports no `config` with `topics`/],
    ['none.mjs', 'export const config = { topics: [] }', /exports no `config` with `topics`/],
    [
      'odd.mjs',
      'export const config = { topics: [{ name: "a" }], duplicateWindow: "10m" }',
      /The configuration is wrong: "10m"/,
    ],
  ]
  for (const [name, text, sentence] of files) {
    writeFileSync(join(empty, name), text)
    const { code, err } = await run(`provision --print bicep --config ${name}`, empty)
    expect(err).toMatch(sentence)
    expect(code).toBe(1)
  }
})

test('[O12] a Config.json that is none gets a sentence and code 2', async () => {
  for (const text of ['{', '{}', '{"UserConfig":{"Namespaces":7}}']) {
    writeFileSync(join(empty, 'Config.json'), text)
    const { code, err } = await run('emulator --port 0 --config Config.json', empty)
    expect(err).toMatch(/The Config\.json is none: /)
    expect(code).toBe(2)
  }
})

test('[O12] a log that does not exist is not made by looking for it', async () => {
  const { code, err } = await run('dead-letters list')
  expect(err).toMatch(/There is no log at .*tidemark\.db/)
  expect(code).toBe(1)
})

test('[O4] schema export prints both documents', async () => {
  const json = await run('schema export')
  expect(Object.keys(JSON.parse(json.out).$defs)).toEqual(['inventory.StockReceived.1'])
  const async = await run('schema export --format asyncapi --title Shop --version 3.1.0')
  expect(JSON.parse(async.out)).toMatchObject({
    asyncapi: '3.0.0',
    info: { title: 'Shop', version: '3.1.0' },
  })
})

test('[O5] provision prints Bicep, and a Config.json that the emulator reads', async () => {
  expect((await run('provision --print bicep')).out).toContain("name: 'reporting'")
  const { out } = await run('provision --print config')
  const [namespace] = JSON.parse(out).UserConfig.Namespaces
  const [made] = namespace.Topics
  expect(made.Subscriptions.map(({ Name }: { Name: string }) => Name)).toEqual([
    'gateway',
    'purchasing',
    'reporting',
  ])
})
