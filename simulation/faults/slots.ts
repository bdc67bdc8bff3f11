/**
 * Places in which one process after the other lives and is killed. For each kind a spare is kept warm, so
 * that a place is not empty for long. Only these processes are ever killed, each by its own handle.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { openSync } from 'node:fs'
import { join } from 'node:path'
import type { FromChild, Orders, ToChild } from './child.ts'
import type { Plan } from './fuse.ts'
import type { Kind } from './gaps.ts'

/** How a process ended. */
export interface End {
  readonly pid: number
  /** `SIGKILL`, or an exit code. */
  readonly how: string
}

/** A process, loaded and told to begin or not yet. */
interface Child {
  readonly process: ChildProcess
  readonly warm: Promise<void>
  readonly ended: Promise<End>
}

type Script = Kind | 'broker'

/** Loads a script in a process of its own. */
function load(script: Script, folder: string): Child {
  const output = openSync(join(folder, `${script}.log`), 'a')
  const child = fork(join(import.meta.dirname, `${script}.ts`), [], {
    execArgv: ['-C', '@tidemark/source', '--disable-warning=ExperimentalWarning'],
    stdio: ['ignore', output, output, 'ipc'],
  })
  const ended = new Promise<End>((resolve) => {
    child.once('exit', (code, signal) => resolve({ pid: child.pid ?? 0, how: signal ?? `${code}` }))
  })
  const warm = hear(child, 'warm').then(() => undefined)
  return { process: child, warm, ended }
}

/** Waits for what a process says first of this type, or for its end. */
function hear(child: ChildProcess, type: FromChild['type']): Promise<FromChild | undefined> {
  return new Promise((resolve) => {
    child.on('message', (message: FromChild) => {
      if (message.type === type) resolve(message)
    })
    child.once('exit', () => resolve(undefined))
  })
}

const tell = (child: ChildProcess, message: ToChild): void => {
  if (child.connected) child.send(message, () => {})
}

async function begin(child: Child, orders: Orders): Promise<string | undefined> {
  await child.warm
  const ready = hear(child.process, 'ready')
  tell(child.process, { type: 'begin', orders })
  const said = await ready
  return said?.type === 'ready' ? said.address : undefined
}

/** A running broker. */
export interface BrokerProcess {
  readonly connectionString: string
  /** Cuts all its connections, or sends something that is no event. */
  do(what: 'cut' | 'malform'): void
  close(): Promise<void>
}

/** Starts the broker. */
export async function startBroker(orders: Orders): Promise<BrokerProcess> {
  const child = load('broker', orders.folder)
  const connectionString = await begin(child, orders)
  if (connectionString === undefined) throw new Error('the broker did not start: see broker.log')
  return {
    connectionString,
    do: (what) => tell(child.process, { type: 'do', what }),
    async close() {
      child.process.kill('SIGKILL')
      await child.ended
    },
  }
}

/** A place for processes of one kind. */
export interface Slot {
  readonly kind: Kind
  /** The address of the one that lives there now; none while it is starting. */
  readonly address: string | undefined
  /** Hands a plan to the one that lives there now. */
  arm(plan: Plan): void
  /** Lets it stand still, as a machine does that is swapping or being moved. */
  freeze(ms: number): void
  close(): Promise<void>
}

/** Keeps a place filled until it is closed. `onBegin` is told of each new process, `onEnd` of each end. */
export function openSlot(options: {
  readonly kind: Kind
  readonly orders: Orders
  readonly onBegin: (slot: Slot) => void
  readonly onEnd: (kind: Kind, end: End) => void
}): Slot {
  const { kind, orders, onBegin, onEnd } = options
  let isClosed = false
  let now = load(kind, orders.folder)
  let spare: Child | undefined
  let address: string | undefined
  const slot: Slot = {
    kind,
    get address() {
      return address
    },
    arm: (plan) => tell(now.process, { type: 'arm', plan }),
    freeze(ms) {
      const { process } = now
      process.kill('SIGSTOP')
      setTimeout(() => process.kill('SIGCONT'), ms)
    },
    async close() {
      isClosed = true
      spare?.process.kill('SIGKILL')
      now.process.kill('SIGKILL')
      await Promise.all([spare?.ended, now.ended, life])
    },
  }
  const live = async (): Promise<void> => {
    for (;;) {
      address = await begin(now, orders)
      if (isClosed) return
      if (address !== undefined) onBegin(slot)
      // The next one loads while this one lives, and not while it starts.
      spare ??= load(kind, orders.folder)
      const end = await now.ended
      address = undefined
      if (isClosed) return
      onEnd(kind, end)
      now = spare ?? load(kind, orders.folder)
      spare = undefined
    }
  }
  const life = live()
  return slot
}
