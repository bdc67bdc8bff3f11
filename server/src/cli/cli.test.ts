/** The command line as people use it: processes of their own, against a gateway and an emulator. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ServiceBusClient, type ServiceBusReceivedMessage } from '@azure/service-bus'
import { system } from '@tidemark/shared'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Emulator, startEmulator } from '../emulator/index.ts'
import { planTopology, toEmulatorConfig } from '../operate/provision.ts'
import { someClaim, submit } from '../testing/client.ts'
import { SocketClient } from '../testing/socket-client.ts'
import { config } from './testing/tidemark.config.ts'

const here = join(import.meta.dirname, 'testing')
const cli = join(import.meta.dirname, '../cli.ts')
const folder = mkdtempSync(join(tmpdir(), 'tidemark-cli-'))
let emulator: Emulator
let gateway: ChildProcess
let address: string

/** Starts the command line as a process. */
function start(...args: readonly string[]): ChildProcess {
  return spawn(process.execPath, ['-C', '@tidemark/source', cli, ...args], {
    cwd: here,
    env: {
      ...process.env,
      NODE_OPTIONS: '--disable-warning=ExperimentalWarning',
      SERVICEBUS_CONNECTION_STRING: emulator.connectionString,
      TIDEMARK_LOG: join(folder, 'log.db'),
      TIDEMARK_TEST_PROCESSED: join(folder, 'purchasing.db'),
      PORT: '0',
    },
  })
}

/** Waits until a process has said something. */
function heard(child: ChildProcess, pattern: RegExp): Promise<RegExpExecArray> {
  let output = ''
  return new Promise((resolve, reject) => {
    const hear = (data: Buffer): void => {
      output += data.toString()
      const match = pattern.exec(output)
      if (match) resolve(match)
    }
    child.stdout?.on('data', hear)
    child.stderr?.on('data', hear)
    child.once('exit', (code) => reject(new Error(`ended with ${code}: ${output}`)))
  })
}

/** Runs a command to its end. */
async function run(...args: readonly string[]) {
  const child = start(...args)
  let [out, err] = ['', '']
  child.stdout?.on('data', (data: Buffer) => (out += data.toString()))
  child.stderr?.on('data', (data: Buffer) => (err += data.toString()))
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { code, out, err }
}

const end = (child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> =>
  new Promise((resolve) => {
    child.once('exit', resolve)
    child.kill(signal)
  })

beforeAll(async () => {
  const { topics, consumers = [] } = config
  const plan = planTopology({ topics, consumers })
  emulator = await startEmulator({ config: JSON.stringify(toEmulatorConfig(plan)) })
  gateway = start('gateway')
  address = (await heard(gateway, /listening at (http:[^"]+)"/))[1] ?? ''
}, 30_000)
afterAll(async () => {
  await end(gateway, 'SIGTERM')
  await emulator.close()
  rmSync(folder, { recursive: true, force: true })
})

/** Reads everything that lies in the subscription `reporting`, until `count` have come. */
async function readReporting(count: number): Promise<readonly ServiceBusReceivedMessage[]> {
  const client = new ServiceBusClient(emulator.connectionString)
  const receiver = client.createReceiver('inventory', 'reporting', {
    receiveMode: 'receiveAndDelete',
  })
  const taken: ServiceBusReceivedMessage[] = []
  while (taken.length < count) taken.push(...(await receiver.receiveMessages(count - taken.length)))
  await client.close()
  return taken
}

test('[O12] the gateway of a configuration runs, and history reaches a service that came late', async () => {
  const client = await new SocketClient(`${address.replace('http', 'ws')}/sync`).welcomed()
  const claims = [1, 2, 3].map((quantity) => someClaim(system, { data: { quantity } }))
  client.send(submit(1, claims))
  await client.frame('verdicts')
  client.socket.close()
  expect((await readReporting(3)).map(({ body }) => body.quantity)).toEqual([1, 2, 3])

  const why = ['--why', 'reporting came late', '--by', 'ann']
  const log = ['--topic', 'inventory', '--scope', 'shop-7']
  const replayed = await run('replay', ...log, '--from', '2', ...why, 'reporting')
  expect(replayed).toMatchObject({ code: 0, err: '' })
  expect(replayed.out).toContain('Published 2 of inventory/shop-7, up to 3.')
  const again = await readReporting(2)
  expect(again.map(({ body }) => body.quantity)).toEqual([2, 3])
  expect(again[0]?.applicationProperties).toMatchObject({
    cloudEvents_id: claims[1]?.id,
    cloudEvents_replayed: 'true',
    cloudEvents_onlyfor: 'reporting',
  })
  // The rules that `provision` writes have kept it from the other subscriptions.
  const other = new ServiceBusClient(emulator.connectionString)
  const lying = await other.createReceiver('inventory', 'purchasing').peekMessages(10)
  expect(lying.map(({ body }) => body.quantity)).toEqual([1, 2, 3])
  await other.close()
  const feed = await fetch(`${address}/feed/inventory/shop-7?after=1`)
  expect((await feed.text()).trim().split('\n')).toHaveLength(2)
}, 60_000)

test('[O12] a message that is no event is listed, shown, redriven and discarded from the command line', async () => {
  const client = new ServiceBusClient(emulator.connectionString)
  const sender = client.createSender('inventory')
  await sender.sendMessages({
    body: Buffer.from('not json'),
    messageId: 'odd-1',
    subject: 'OrderCreated',
    sessionId: 'shop-7/sku-1',
    applicationProperties: { tenant: 'seven' },
  })
  await client.close()
  const source = 'broker/inventory/gateway'
  const waiting = async (): Promise<string> => {
    for (;;) {
      const { out } = await run('dead-letters', 'list', '--source', source, '--json')
      const [found] = JSON.parse(out).items
      if (found) return found.ref
    }
  }
  const ref = await waiting()
  const shown = await run('dead-letters', 'show', ref)
  expect(shown.out).toContain('MESSAGE_MALFORMED')
  expect(shown.out).toContain('not json')
  expect(shown.out).toContain('tenant: seven')
  const why = ['--why', 'try again', '--by', 'ann']
  expect(await run('dead-letters', 'redrive', ref, ...why)).toMatchObject({ code: 0 })
  const next = await waiting()
  expect(next).not.toBe(ref)
  const both = await run('dead-letters', 'discard', next, ref, ...why)
  expect(both.out).toBe(`Discarded: ${next}\n`)
  expect(both).toMatchObject({ code: 1, err: `There is nothing left to do for ${ref}\n` })
  const audit = JSON.parse((await run('dead-letters', 'audit', '--json')).out)
  expect(audit.slice(0, 2)).toMatchObject([
    { by: 'ann', action: 'discard', subject: `${next} odd-1#gateway.1`, note: 'try again' },
    { by: 'ann', action: 'redrive', subject: `${ref} odd-1`, note: 'try again' },
  ])
  expect((await run('dead-letters', 'list', '--source', source)).out).toBe('Nothing waits.\n')
}, 60_000)

test('[O12] the doctor finds a provisioned emulator as declared, and ends with 1 where something is wrong', async () => {
  const { code, out } = await run('doctor')
  expect(out).toContain('Nothing is wrong.')
  expect(code).toBe(0)
  const other = await startEmulator({ config: { topics: [] } })
  const wrong = await run('doctor', '--connection-string', other.connectionString)
  expect(wrong.out).toContain('WRONG    inventory: The topic does not exist.')
  expect(wrong.code).toBe(1)
  await other.close()
}, 60_000)

test('[O12] the emulator runs by the configuration or a Config.json, says that it keeps nothing, and ends when asked', async () => {
  const child = start('emulator', '--port', '0')
  const [output, port] = await heard(child, /[\s\S]*Endpoint=sb:\/\/127\.0\.0\.1:(\d+)/)
  expect(output).toContain('every message is lost when it stops')
  const taken = await run('emulator', '--port', port ?? '')
  expect(taken).toMatchObject({ code: 1, err: `Port ${port} is taken.\n` })
  expect(await end(child, 'SIGINT')).toBe(0)
}, 60_000)
