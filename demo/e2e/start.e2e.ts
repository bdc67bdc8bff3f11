import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { findPort } from './rig.ts'

let folder: string
let started: ChildProcess | undefined

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidemark-start-'))
})
afterEach(async () => {
  if (started && started.exitCode === null) started.kill('SIGKILL')
  started = undefined
  await rm(folder, { recursive: true, force: true })
})

/** Runs what `npm start` and `npm run seed` run. */
function run(script: string, ...args: string[]) {
  const path = join(import.meta.dirname, '..', script)
  const child = spawn(process.execPath, ['-C', '@tidemark/source', path, ...args])
  started = child
  let output = ''
  const said = new Map<string, () => void>()
  const hear = (chunk: Buffer): void => {
    output += chunk
    for (const [text, resolve] of said) if (output.includes(text)) resolve()
  }
  child.stdout.on('data', hear)
  child.stderr.on('data', hear)
  const ended = once(child, 'exit').then(([code]) => ({ code, output }))
  const says = (text: string) =>
    Promise.race([
      new Promise<void>((resolve) => void said.set(text, resolve)),
      ended.then(() => Promise.reject(new Error(`It ended without saying "${text}":\n${output}`))),
    ])
  return { child, ended, says }
}

test('one command builds and starts everything, prints an address that works, and Ctrl-C ends it', async () => {
  const port = await findPort()
  const demo = run('start.ts', '--port', String(port), '--data', folder)
  await demo.says(`Tidemark is running at  http://127.0.0.1:${port}`)
  const page = await fetch(`http://127.0.0.1:${port}`)
  expect(page.status).toBe(200)
  expect(await page.text()).toContain('<title>Tidemark')

  const url = `ws://127.0.0.1:${port}/sync`
  const { output } = await run('seed.ts', '--url', url).ended
  expect(output).toContain('0 items imported, 1157 were there already.')

  demo.child.kill('SIGINT')
  expect((await demo.ended).code).toBe(0)
  await expect(fetch(`http://127.0.0.1:${port}`)).rejects.toThrow()
})

test('a taken port is said in a sentence, with what to do', async () => {
  const port = await findPort()
  const other = createServer().listen(port, '127.0.0.1')
  await once(other, 'listening')
  const { code, output } = await run('start.ts', '--port', String(port), '--data', folder).ended
  other.close()
  expect(code).toBe(1)
  expect(output.trim()).toBe(`Port ${port} is taken. Try another: npm start -- --port ${port + 1}`)
})
