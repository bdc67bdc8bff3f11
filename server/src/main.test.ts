import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Claim, system } from '@tidemark/shared'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { name, someClaim, submit } from './testing/client.ts'
import { rawUpgrade, statusLineOf } from './testing/raw-upgrade.ts'
import { SocketClient } from './testing/socket-client.ts'

let folder: string
let child: ChildProcess | undefined
let output: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tidemark-'))
})
afterEach(async () => {
  await kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})

/** Starts the gateway as a process of its own. Resolves with its address. */
async function start(env: Readonly<Record<string, string>> = {}): Promise<string> {
  output = ''
  const main = join(import.meta.dirname, 'main.ts')
  const config = join(import.meta.dirname, 'testing/tidemark.config.ts')
  child = spawn(process.execPath, ['-C', '@tidemark/source', main, config], {
    env: { ...process.env, PORT: '0', TIDEMARK_LOG: join(folder, 'log.db'), ...env },
  })
  return await new Promise((resolve, reject) => {
    const heard = (data: Buffer): void => {
      output += data.toString()
      const [, address] = /listening at (http:[^"]+)"/.exec(output) ?? []
      if (address) resolve(address)
    }
    child?.stdout?.on('data', heard)
    child?.stderr?.on('data', heard)
    child?.once('exit', (code) => reject(new Error(`ended with ${code}: ${output}`)))
  })
}

/** Ends the process. Resolves with how it ended. */
async function kill(signal: NodeJS.Signals): Promise<number | NodeJS.Signals | null> {
  const ending = child
  child = undefined
  if (!ending || ending.exitCode !== null || ending.signalCode !== null) return null
  const ended = new Promise<number | NodeJS.Signals | null>((resolve) => {
    ending.once('exit', (code, signal) => resolve(code ?? signal))
  })
  ending.kill(signal)
  return await ended
}

const connect = (address: string): SocketClient =>
  new SocketClient(`${address.replace('http', 'ws')}/sync`)

test('[G10] kill -9 under load loses nothing that was answered, and doubles nothing', async () => {
  const claims = Array.from({ length: 3_000 }, (_, at) =>
    someClaim(system, { stream: `sku-${at % 7}` }),
  )
  const answered = new Map<string, number>()
  let unanswered: readonly Claim[] = claims

  /** Submits what has no answer yet, so that `upTo` could have one, until all have or the link ends. */
  async function submitRest(client: SocketClient, upTo: number): Promise<void> {
    const batches = unanswered.slice(0, upTo - answered.size)
    for (let at = 0; at < batches.length; at += 25) {
      client.send(submit(at + 1, batches.slice(at, at + 25)))
    }
    let read = 0
    const hear = (): boolean => {
      for (const frame of client.frames.slice(read)) {
        read += 1
        if (frame.type !== 'verdicts') continue
        for (const [at, { position = 0 }] of frame.verdicts.entries()) {
          const id = batches[frame.n - 1 + at]?.id ?? ''
          expect(answered.get(id) ?? position).toBe(position)
          answered.set(id, position)
        }
      }
      return answered.size === claims.length
    }
    await client.until(hear)
    hear()
    unanswered = claims.filter(({ id }) => !answered.has(id))
  }

  const killsAt = [200, 700, 1_300, 2_000]
  let kills = 0
  while (unanswered.length > 0) {
    const client = await connect(await start()).welcomed()
    const killAt = killsAt[kills]
    if (killAt !== undefined) {
      client.socket.on('message', () => {
        const verdicts = client.frames.flatMap((each) =>
          each.type === 'verdicts' ? each.verdicts : [],
        )
        if (child && answered.size + verdicts.length > killAt) void kill('SIGKILL')
      })
    }
    // A slow test may find all of it answered before it can kill: some is left for the kills to come.
    await submitRest(client, killAt === undefined ? claims.length : killAt + 300)
    if (child === undefined) kills += 1
  }
  expect(kills).toBe(killsAt.length)

  const reader = await connect(await restart()).welcomed({ subscriptions: [name] })
  await reader.frame('caughtUp')
  const ids = reader.entries.map(({ id }) => id)
  expect(new Set(ids).size).toBe(ids.length)
  expect(ids.toSorted()).toEqual(claims.map(({ id }) => id).toSorted())
  for (const { id, position } of reader.entries) expect(answered.get(id)).toBe(position)
})

async function restart(): Promise<string> {
  await kill('SIGKILL')
  return await start()
}

test('[N8] SIGTERM sends clients away, and the process is gone in time', async () => {
  const client = await connect(await start()).welcomed()
  const before = system.mono()
  expect(await kill('SIGTERM')).toBe(0)
  expect(system.mono() - before).toBeLessThan(8_000)
  expect(client.frames.at(-1)).toMatchObject({ type: 'goaway' })
  expect((await client.ended()).code).toBe(1001)
})

test('[N11] it refuses to serve others without `authenticate`', async () => {
  await expect(start({ HOST: '0.0.0.0' })).rejects.toThrow(
    /ended with 1: Refusing to serve 0.0.0.0/,
  )
})

/** Fails where the process is gone, or one that was connected before is not served any more. */
async function expectToGoOn(address: string, client: SocketClient): Promise<void> {
  client.send({ type: 'ping' })
  await client.frame('pong')
  await connect(address).welcomed()
  expect([child?.exitCode, child?.signalCode]).toEqual([null, null])
}

test('[N9] an upgrade whose target is no address is answered, and the process and its clients go on', async () => {
  const address = await start()
  const client = await connect(address).welcomed()
  for (const target of ['//', 'http://', '//[', 'http://:0:0/sync', '*']) {
    expect(await statusLineOf(address, target), target).toMatch(/^HTTP\/1.1 40[04] /)
  }
  await expectToGoOn(address, client)
})

test('[N9] upgrades that are reset while they are refused, or served, end nothing but themselves', async () => {
  const address = await start()
  const client = await connect(address).welcomed()
  for (let round = 0; round < 200; round += 1) {
    const socket = await rawUpgrade(address, round % 2 === 0 ? '/nope' : '/sync')
    socket.resetAndDestroy()
  }
  await expectToGoOn(address, client)
})
