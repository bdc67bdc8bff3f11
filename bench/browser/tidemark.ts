/** Tidemark's side of the browser rows: the client as an app has it, but for the socket. */
import { createClient } from '@tidemark/client'
import {
  type Connect,
  defaultLimits,
  type FrameOf,
  parseClientFrame,
  type Position,
  type SocketHandlers,
  system,
  writeFrame,
} from '@tidemark/shared'
import { v7 } from 'uuid'
import { inventory, log, makeData, makeStream } from '../inventory.ts'
import { epoch, writeFrames } from './entries.ts'

/** Appends `count` events at once, and says how many a second. */
export const appendConcurrent = (count: number): Promise<number> =>
  measureAppends(count, async (client) => {
    await Promise.all(Array.from({ length: count }, (_, n) => client.append(makeDraft(n))))
  })

/** Appends `count` events, in batches of `size`, each when the one before it is stored, and says how many a second. */
export const appendInTurn = (count: number, size: number): Promise<number> =>
  measureAppends(count, async (client) => {
    for (let first = 0; first < count; first += size) {
      await client.append(Array.from({ length: size }, (_, at) => makeDraft(first + at)))
    }
  })

type Device = ReturnType<typeof openClient>

const makeDraft = (n: number) => inventory.stream(makeStream(n)).StockPicked(makeData(n))

/** A device without a network: everything stays pending. */
async function measureAppends(
  count: number,
  append: (client: Device) => Promise<void>,
): Promise<number> {
  const client = openClient(() => ({ send: () => undefined, close: () => undefined }))
  // The first append opens the database, which is not what is measured.
  await client.append(makeDraft(0))
  const start = performance.now()
  await append(client)
  const ms = performance.now() - start
  const { pending } = client.status.getSnapshot()
  if (pending !== count + 1) throw new Error(`appended ${count + 1}, pending ${pending}`)
  await client.close()
  await deleteDatabases()
  return (count / ms) * 1_000
}

/** Receives a log of `count` entries, and says how many a second are stored. */
export async function tidemarkApply(count: number): Promise<number> {
  const frames = writeFrames(count)
  let start = 0
  let onDone: () => void = () => undefined
  const done = new Promise<void>((resolve) => {
    onDone = resolve
  })
  const gateway = scriptedGateway(frames, {
    onHello() {
      start = performance.now()
    },
    onApplied: (upTo) => upTo === count && onDone(),
  })
  const client = openClient(gateway)
  await done
  const ms = performance.now() - start
  await checkEntries(client, count)
  await client.close()
  await deleteDatabases()
  return (count / ms) * 1_000
}

/** Throws unless the device holds the entries 1 to `count`, in order. */
async function checkEntries(client: Device, count: number): Promise<void> {
  let last = 0
  for (;;) {
    const entries = await client.entries(inventory, last)
    if (entries.length === 0) break
    for (const { position } of entries) {
      if (position !== last + 1) throw new Error(`entry ${position} comes after ${last}`)
      last = position
    }
  }
  if (last !== count) throw new Error(`applied ${count} entries, ${last} are stored`)
}

const openClient = (connect: Connect) =>
  createClient({
    url: 'ws://gateway.invalid',
    user: v7(),
    scope: log.scope,
    topics: [inventory],
    connect,
    onError: (error) => console.error(error),
  })

async function deleteDatabases(): Promise<void> {
  for (const { name } of await indexedDB.databases()) {
    if (name !== undefined) indexedDB.deleteDatabase(name)
  }
}

/**
 * A gateway that has these frames to deliver and nothing else. It keeps to what the client has applied,
 * as a real one does, and each frame comes in a task of its own, as from a real socket.
 */
function scriptedGateway(
  frames: readonly string[],
  heard: { onHello(): void; onApplied(upTo: number): void },
): Connect {
  return (_url, handlers) => {
    let next = 0
    let unapplied = 0
    let sending = false
    const sizes = new Map<number, number>()
    const send = async (): Promise<void> => {
      if (sending) return
      sending = true
      while (next < frames.length && unapplied < defaultLimits.unappliedBytesMax) {
        await system.breathe()
        const frame = frames[next] ?? ''
        next += 1
        unapplied += frame.length
        sizes.set(readUpTo(frame), frame.length)
        handlers.onMessage(frame)
      }
      sending = false
    }
    const onApply = ({ upTo }: FrameOf<'applied'>): void => {
      for (const [position, size] of sizes) {
        if (position > upTo) break
        unapplied -= size
        sizes.delete(position)
      }
      heard.onApplied(upTo)
      void send()
    }
    void system.breathe().then(() => handlers.onOpen())
    return {
      send(message) {
        const frame = parseClientFrame(message as string)
        if (frame.type === 'hello') {
          greet(handlers, readUpTo(frames.at(-1) ?? ''))
          heard.onHello()
          void send()
        }
        if (frame.type === 'applied') onApply(frame)
      },
      close: () => handlers.onClose(1000, ''),
    }
  }
}

const readUpTo = (frame: string): number =>
  (JSON.parse(frame.slice(0, frame.indexOf('\n'))) as FrameOf<'deliver'>).upTo

function greet(handlers: SocketHandlers, head: number): void {
  const author = 'u-42'
  const session = v7()
  handlers.onMessage(
    writeFrame({ type: 'welcome', protocol: 1, session, author, limits: defaultLimits }),
  )
  handlers.onMessage(writeFrame({ type: 'subscribed', ...log, epoch, head: head as Position }))
}
